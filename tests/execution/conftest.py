"""Workers that end with their test, and a project under attack."""

import pytest
from attacks import Target

from coe_lsp.execution.suite import Limits, Suite
from coe_lsp.execution.worker import Worker


@pytest.fixture
def worker_for(interpreter, sandbox):
    workers = []

    def make(suite: Suite, limits: Limits | None = None, **options) -> Worker:
        options = {"interpreter": interpreter, "sandbox": sandbox} | options
        workers.append(Worker(suite, limits=limits, **options))
        return workers[-1]

    yield make
    for worker in workers:
        worker.close()


@pytest.fixture(scope="module")
def target(tmp_path_factory, interpreter, sandbox):
    made = Target(tmp_path_factory.mktemp("hostile"), interpreter, sandbox)
    yield made
    made.worker.close()
