"""How threads that compute together wait for one another; to be said before their library loads.

llama.cpp and PyTorch both use OpenMP, whose threads meet hundreds of times a token. By default they
spin until the last one is there, which is ruinous as soon as anything else (the tests, say) wants
a core. Measured on two cores: llama.cpp is 5 times slower then, training 10 times (76 tokens a
second of 762). To sleep at once costs a third (a quarter in training) where nothing else runs; to
spin for a moment first, which GNU's OpenMP alone can do, costs little either way:

| spins | training alone, tokens/s | beside a busy core |
| --- | --- | --- |
| 1000 | 600 | 423 |
| 10,000 | 749 | 309 |
| 50,000 | 757 | 184 |
"""

import os

SERVING, TRAINING = 1_000, 10_000


def limit_spinning(spins: int) -> None:
    """Spin so often, then sleep; unless the user has chosen otherwise."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", str(spins))
