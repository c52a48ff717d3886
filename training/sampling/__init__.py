"""What is drawn from a model: rollouts of chains, whole programs, faulty programs."""
