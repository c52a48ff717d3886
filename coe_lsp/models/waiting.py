"""How threads that compute together wait for one another; to be said before their library loads.

llama.cpp and PyTorch both use OpenMP, whose threads meet hundreds of times a token. By default they
spin until the last one is there, which is ruinous as soon as anything else (the tests, say) wants
a core: 5 times slower in llama.cpp, 10 times in training, as measured on two cores. To sleep at once
costs a third on virtual machines where nothing else runs; a moment's spinning (GNU's OpenMP alone
knows that setting) wins it back, for a tenth beside a busy core.
"""

import os


def wait_briefly() -> None:
    """Spin for a moment, then sleep; unless the user has chosen otherwise."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
