"""Work that may block and that nobody must wait for: ending processes, mostly."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future


def aside(work: Callable[[], object]) -> Future[None]:
    """Do it on a thread of its own, which ends with the process."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, name="coe-aside", daemon=True).start()
    return done
