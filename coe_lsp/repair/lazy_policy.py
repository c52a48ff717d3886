"""A policy that is loaded when a repair first needs it, once, and can be interrupted at any time.

Loading is not searching: it takes nothing of a repair's time. What cannot be loaded is a `problem`
to be told if nothing is found without.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Self

from coe_lsp.errors import CoeError
from coe_lsp.repair.deadline import Deadline
from coe_lsp.repair.policy.protocol import LoadedPolicy, Policy


class LazyPolicy:
    """The policy of one repair, a context that frees it; `interrupt` comes from any thread."""

    def __init__(self, load: Callable[[], AbstractContextManager[LoadedPolicy]] | None) -> None:
        """Without `load` there is none, and none is wanted."""
        self._load = load
        self._stack = ExitStack()
        self._lock = threading.RLock()  # an interrupt may come from a signal in the midst of it
        self._policy: Policy | None = None
        self._interrupted = False
        #: The policy, once it is loaded.
        self.loaded: LoadedPolicy | None = None
        #: Why it could not be loaded.
        self.problem: CoeError | None = None
        #: Seconds that loading took.
        self.seconds = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._policy = None
        self._stack.__exit__(kind, value, trace)

    @property
    def waits(self) -> bool:
        """Whether there is one to load."""
        return self._load is not None and self.loaded is None and self.problem is None

    def load(self, deadline: Deadline) -> None:
        """Load it, unless that was tried; the deadline is put off by as long as that takes."""
        if self._load is None or not self.waits:
            return
        began = time.monotonic()
        try:
            with deadline.held():
                self.loaded = self._stack.enter_context(self._load())
        except CoeError as error:
            self.problem = error
        else:
            with self._lock:
                self._policy = self.loaded.policy
                if self._interrupted:
                    self._policy.interrupt()
        self.seconds = time.monotonic() - began

    def interrupt(self) -> None:
        """End what the policy does, now and from now on."""
        self._interrupted = True
        with self._lock:
            if self._policy is not None:
                self._policy.interrupt()
