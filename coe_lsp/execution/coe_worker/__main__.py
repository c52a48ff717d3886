"""Entry point: `python .../coe_worker` makes the package importable, then serves requests."""

import os
import sys

_here = os.path.dirname(os.path.abspath(__file__))

if __name__ == "__main__":
    # Only the package itself may be found here, so that no module of ours shadows the user's.
    sys.path[:] = [p for p in sys.path if os.path.abspath(p or os.getcwd()) != _here]
    sys.path.insert(0, os.path.dirname(_here))
    import coe_worker.zygote

    del sys.path[0]
    coe_worker.zygote.main()
