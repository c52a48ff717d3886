"""What ends by itself at the very moment at which everything is ended."""

from concurrent.futures import Future

from coe_lsp.lsp.checks import Checks
from coe_lsp.repair.warm import WarmRunners


class Ending:
    """A check that is over as soon as it is cancelled, as one that waits to begin is."""

    def __init__(self, future):
        self._future = future

    def cancel(self):
        self._future.set_result(None)


def test_checks_end_while_they_are_being_ended():
    checks = Checks(None, None, None, WarmRunners(0), lambda uri: None)
    for _ in range(50):
        future = Future()
        checks._running[future] = Ending(future)
        future.add_done_callback(lambda done: checks._running.pop(done, None))
    for ended in checks.close():
        ended.result(10)
    assert checks._running == {}
