"""Workers that end with their test."""

import pytest

from coe_lsp.execution.suite import Limits, Suite
from coe_lsp.execution.worker import Worker


@pytest.fixture
def worker_for(interpreter, sandbox):
    workers = []

    def make(suite: Suite, limits: Limits | None = None, **options) -> Worker:
        workers.append(Worker(suite, interpreter, sandbox, limits, **options))
        return workers[-1]

    yield make
    for worker in workers:
        worker.close()
