"""The search for repairs of one target: states, candidates, their tests, their ranking."""
