"""Runs pytest suites, through pytest's public hooks; assertion rewriting alone has none.

`pytest.main` is entered once in the zygote; our `pytest_collection` hook parks when the session has
started: configuration, plugins and the first conftest files are loaded, no test module is. Each
child returns from there and goes on to collect and run the tests it was asked for.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
from typing import Any, Generator

from coe_worker.child import Child, TestTimeout
from coe_worker.messages import SuiteSpec


def serve(suite: SuiteSpec, zygote: Any) -> None:
    """Import pytest, configure it, park on the way, run the tests in the child."""
    sys.path.insert(0, suite.root)  # as `python -m pytest` does
    child = zygote.park("bare")
    if child is not None:
        child.begin()
    import pytest

    if child is None:
        zygote.rewriter = _rewrite_always
        child = zygote.park("imported")
        if child is not None:
            _use_rewritten(zygote.compiled)
            child.begin(_rewriter)
    plugin = _Plugin(pytest, suite, zygote, child)
    # What pytest itself prints goes where nobody reads; the child takes its stream back.
    sys.stdout = open(os.devnull, "w", encoding="utf-8")
    # The cache plugin stays, since options of the user's may belong to it; it finds an empty cache.
    cache = os.path.join(os.environ["COE_SCRATCH"], "pytest-cache")
    options = ["-s", "-q", "-o", "cache_dir=" + cache, "--tb=native", "--color=no", "--maxfail=0"]
    # Plugins that spawn workers, reorder tests or trace lines get in the way of all we do.
    if importlib.util.find_spec("xdist"):
        options += ["-n", "0"]
    if importlib.util.find_spec("pytest_cov"):
        options += ["--no-cov"]
    options += ["-p", "no:randomly", "-p", "no:coe"]
    # A file that cannot be imported must not keep the others from being run.
    options += ["--continue-on-collection-errors"]
    code = pytest.main([*options, "--", *suite.args], plugins=[plugin])
    if plugin.child is not None and not plugin.ran:
        plugin.child.result("pytest", "error", f"pytest stopped before any test (status {code})")


def _rewriter(path: str, config: Any = None) -> Any:
    """Pytest's assertion rewriting, if the file is a test module by its name."""
    name = os.path.basename(path)
    if not (name.startswith("test_") or name.endswith("_test.py") or name == "conftest.py"):
        return None
    return _rewrite_always(path, config)


def _rewrite_always(path: str, config: Any = None) -> Any:
    def rewrite(tree: ast.Module, source: bytes) -> None:
        from _pytest.assertion.rewrite import rewrite_asserts

        rewrite_asserts(tree, source, path, config)

    return rewrite


def _use_rewritten(compiled: Any) -> None:
    """Let pytest take test modules that the zygote rewrote; else each child rewrites them again.

    That is most of a child's time where test files are long. Only where pytest is configured in the
    child: in a zygote that is, what it compiled comes before pytest's own hook.
    """
    from _pytest.assertion import rewrite

    name = "_rewrite_test"
    own = getattr(rewrite, name, None)
    if own is None:  # a pytest that is built differently: it rewrites them itself
        return

    def rewrite_test(path: Any, config: Any) -> Any:
        code = compiled.code(str(path))
        if code is None or config.getini("enable_assertion_pass_hook"):
            return own(path, config)
        return os.stat(path), code

    setattr(rewrite, name, rewrite_test)


class _Plugin:
    """Our end of pytest's hooks. Methods get their markers in `__init__`, where pytest is known."""

    def __init__(self, pytest: Any, suite: SuiteSpec, zygote: Any, child: Child | None) -> None:
        self._pytest = pytest
        self._suite = suite
        self._zygote = zygote
        self.child = child
        self.ran = False
        self._root = ""
        self._running = ""
        first, wrapper = pytest.hookimpl(tryfirst=True), pytest.hookimpl(hookwrapper=True)
        cls = type(self)
        for method in (cls.pytest_collection, cls.pytest_runtestloop, cls.pytest_sessionfinish):
            first(method)
        for method in (
            cls.pytest_runtest_protocol,
            cls.pytest_runtest_setup,
            cls.pytest_runtest_call,
            cls.pytest_runtest_teardown,
            cls.pytest_runtest_makereport,
        ):
            wrapper(method)

    def pytest_addoption(self, parser: Any) -> None:
        # The project may set what `coe_lsp.pytest_plugin` knows, which takes no part here.
        parser.addoption("--coe", action="store_true")
        parser.addini("coe_hint", "", "bool", False)

    def pytest_collection(self, session: Any) -> None:
        config = session.config
        self._root = str(getattr(config, "rootpath", None) or config.rootdir)
        child = self.child
        if child is None:

            def rewriter(path: str) -> Any:
                return _rewrite_always(path, config)

            self._zygote.rewriter = rewriter
            child = self.child = self._zygote.park("configured")
            if child is None:
                return

            def rewriter_here(path: str) -> Any:
                return _rewriter(path, config)

            child.begin(rewriter_here)
        else:
            child.own_streams()
        if child.select is not None:
            start = str(config.invocation_params.dir)
            config.args[:] = [self._argument(test, start) for test in child.select]

    def _argument(self, test: str, start: str) -> str:
        # Relative, since pytest takes a bracket in the project's own path for a parameter's.
        path, separator, rest = test.partition("::")
        path = os.path.join(self._root, path)
        try:
            path = os.path.relpath(path, start)
        except ValueError:  # another drive
            pass
        return path + separator + rest

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and self.child is not None:
            error = getattr(report, "_coe_error", None)
            detail = _last_line(str(report.longrepr))
            self.child.result(report.nodeid or "collection", "error", detail, error)
            self.ran = True

    def pytest_exception_interact(self, node: Any, call: Any, report: Any) -> None:
        # Collection errors reach `pytest_collectreport` without their exception.
        if type(report).__name__ == "CollectReport" and self.child is not None:
            error = call.excinfo.value
            cause = error.__cause__ or error.__context__ or error
            detail = f"{type(cause).__name__}: {cause}"
            self.child.result(report.nodeid or "collection", "error", detail, cause)

    def pytest_collection_finish(self, session: Any) -> None:
        if self.child is not None:
            self.ran = True
            self.child.collected([item.nodeid for item in session.items])

    def pytest_runtestloop(self, session: Any) -> None:
        if self.child is None or not self.child.prefork:
            return
        if session.testsfailed:
            os._exit(0)
        for item in session.items:
            _ = item.location  # found out once, for all candidates
        child = self.child = self._zygote.serve_hot_runs(self.child)
        manager = session.config.pluginmanager
        manager.unregister(name="assertion")  # explains how two values differ, at length
        manager.register(_OutcomesOnly(self._pytest))
        items = {item.nodeid: item for item in session.items}
        session.items[:] = [items[test] for test in child.select or items if test in items]
        child.collected([item.nodeid for item in session.items])

    def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> Generator[None, Any, None]:
        assert self.child is not None
        self._running = item.nodeid
        self.child.start(item.nodeid)
        self.child.pause()
        yield
        self.child.stop(item.nodeid)

    # An alarm that rings in pytest's own code, as it does where a report takes as long as a test
    # may, would end the run. So time runs within these three only.

    def pytest_runtest_setup(self) -> Generator[None, Any, None]:
        yield from self._on_the_clock()

    def pytest_runtest_call(self) -> Generator[None, Any, None]:
        yield from self._on_the_clock()

    def pytest_runtest_teardown(self) -> Generator[None, Any, None]:
        yield from self._on_the_clock()

    def _on_the_clock(self) -> Generator[None, Any, None]:
        assert self.child is not None
        self.child.resume()
        yield
        self.child.pause()

    def pytest_runtest_makereport(self, item: Any, call: Any) -> Generator[None, Any, None]:
        assert self.child is not None
        with self.child.bound_report():
            outcome = yield
        report = outcome.get_result()
        test = item.nodeid
        if report.failed:
            self._report_failure(test, report, call)
        elif report.skipped:
            self.child.result(test, "skipped")
        elif report.when == "call":
            self.child.result(test, "passed")

    def _report_failure(self, test: str, report: Any, call: Any) -> None:
        child = self.child
        assert child is not None
        if child.hot:
            hung = call.excinfo is not None and isinstance(call.excinfo.value, TestTimeout)
            child.result(test, "timeout" if hung else "failed")
            return
        if call.excinfo is None:
            child.result(test, "failed", str(report.longrepr))
            return
        error = call.excinfo.value
        detail = call.excinfo.exconly(tryshort=True)
        if isinstance(error, TestTimeout):
            outcome, detail = "timeout", str(error)
        else:
            outcome = "failed" if report.when == "call" else "error"
        child.result(test, outcome, detail, error)

    def pytest_keyboard_interrupt(self, excinfo: Any) -> None:
        # pytest gives up at once and reports nothing of the test that did it.
        if self.child is not None and self._running:
            error = excinfo.value
            detail = f"{type(error).__name__} ended the test run"
            self.child.result(self._running, "failed", detail, error)

    def pytest_internalerror(self, excrepr: Any, excinfo: Any) -> None:
        if self.child is not None:
            if isinstance(excinfo.value, TestTimeout):
                self.child.failed(self._running, excinfo.value)
            else:
                self.child.result("pytest", "error", _last_line(str(excrepr)))
            self.ran = True

    def pytest_sessionfinish(self, session: Any) -> None:
        if self.child is not None and self.ran:
            # Skips the terminal summary and other plugins' reports: nobody would read them.
            self.child.finish()


class _OutcomesOnly:
    """Spares pytest the making of long reports, where all that matters is which tests pass."""

    def __init__(self, pytest: Any) -> None:
        self._report = pytest.TestReport
        self._special = (pytest.skip.Exception, pytest.xfail.Exception)
        pytest.hookimpl(tryfirst=True)(type(self).pytest_runtest_makereport)

    def pytest_runtest_makereport(self, item: Any, call: Any) -> Any:
        if call.excinfo is None or isinstance(call.excinfo.value, self._special):
            return None
        keywords = dict.fromkeys(item.keywords, 1)
        return self._report(item.nodeid, item.location, keywords, "failed", "", call.when)


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "error"
