"""A project whose one function does whatever an attack asks of it."""

import textwrap

from coe_lsp.execution.suite import Limits, Suite
from coe_lsp.execution.worker import Worker

GOOD = b"def act():\n    return 1\n"
LIMITS = Limits(wall_seconds=3.0, test_seconds=1.0, memory_bytes=512 << 20)


class Target:
    """A project with three tests, of which `test_act` calls the function under attack."""

    def __init__(self, root, interpreter, sandbox):
        self.root = root
        (root / "mod.py").write_bytes(GOOD)
        (root / "test_mod.py").write_text(
            "import mod\n\ndef test_before():\n    pass\n\ndef test_act():\n    assert mod.act() == 1\n\n"
            "def test_after():\n    pass\n"
        )
        suite = Suite("pytest", root, root / "mod.py", ("test_mod.py",))
        self.worker = Worker(suite, interpreter, sandbox, LIMITS)

    def act(self, body: str, limits: Limits | None = None):
        """Run the tests with `act` doing something nasty, and then with a good one."""
        source = (
            f"import os, sys, time\n\ndef act():\n{textwrap.indent(body, '    ')}\n    return 1\n"
        )
        run = self.worker.run(source.encode(), limits=limits)
        after = self.worker.run(GOOD)
        assert (after.passed, after.status) == (3, "completed"), "the next request must work"
        return run, {r.id.rpartition("::")[2]: r for r in run.results}

    def value(self, expression: str, imports: str = "") -> str:
        """What an expression is inside the sandbox, as its `repr`, or the exception it raises."""
        body = (
            f"{imports}\ntry:\n    found = repr({expression})\nexcept BaseException as error:\n"
            "    found = f'{type(error).__name__}: {error}'\nassert False, 'FOUND ' + found"
        )
        _, results = self.act(body.strip())
        detail = results["test_act"].detail
        assert "FOUND " in detail, detail
        return detail.partition("FOUND ")[2].partition("\nassert")[0].strip()
