"""How a repair looks in a terminal: the failing tests, each turn, then the diff.

On a terminal the newest turns are redrawn in place; elsewhere only what matters is printed, line by
line, without colours.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from types import TracebackType

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.segment import Segment
from rich.spinner import Spinner
from rich.syntax import Syntax
from rich.text import Text

from coe_lsp.chain.wording import edit_in_words
from coe_lsp.escaping import printable
from coe_lsp.execution.suite import Suite, TestResult
from coe_lsp.repair.outcome import Outcome
from coe_lsp.repair.scout import Scouted
from coe_lsp.repair.search.step import Step
from coe_lsp.repair.target.baseline import Baseline
from coe_lsp.repair.target.source import Function

_SHOWN_FAILURES = 8
_SHOWN_TURNS = 8
_SHOWN_LINES = 3


class SafeConsole(Console):
    """A console that shows what a terminal would obey: names, messages and code are anyone's."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """See `Console.render`."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)


def plain_console() -> Console:
    """Standard output; text that is not for a terminal is left as long as it is."""
    console = SafeConsole(highlight=False)
    return console if console.is_terminal else SafeConsole(highlight=False, soft_wrap=True)


def error_console() -> Console:
    """Standard error."""
    return SafeConsole(stderr=True)


def missing_text(baseline: Baseline) -> str:
    """What to say of tests that were found and did not run; '' if all did."""
    if not baseline.missing:
        return ""
    names = ", ".join(baseline.missing[:3]) + (", ..." if len(baseline.missing) > 3 else "")
    why = f" ({baseline.detail})" if baseline.detail else ""
    return f"did not run{why}, so nothing is known of: {names}"


class RepairView:
    """A `Watcher` that draws on a console. Use as a context manager around the repair."""

    def __init__(self, console: Console, *, settles: bool = False) -> None:
        """If it `settles`, Ctrl-C ends it with the repair that is there, which is said."""
        self._console = console
        self._settles = settles
        self._solved = False
        self._targets: set[tuple[str, str]] = set()
        self._turns: deque[Text] = deque(maxlen=_SHOWN_TURNS)
        self._count = 0
        self._status = "running the tests"
        self._live = Live(console=console, transient=True, get_renderable=self._render)

    def __enter__(self) -> RepairView:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def pause(self) -> None:
        """Make way for something else that draws; the next turn draws again."""
        self._live.stop()

    def baseline(self, baseline: Baseline, suites: Sequence[Suite]) -> None:
        """Show which tests fail."""
        failing = baseline.failing
        self._console.print(
            f"{baseline.passed} passed, {len(failing)} failed in {baseline.seconds:.2f} s"
        )
        show_failures(self._console, failing)
        if missing := missing_text(baseline):
            self._console.print(missing, style="yellow", markup=False)
        self._status = "looking for the function" if failing else ""

    def scouted(self, scouted: Scouted) -> None:
        """Show which of the named tests fail."""
        show_scouted(self._console, scouted)
        self._status = "looking for the function" if scouted.targets else ""

    def target(self, file: str, function: Function, target_tests: Sequence[str]) -> None:
        """Show what is being repaired."""
        if (file, function.name) not in self._targets:
            self._targets.add((file, function.name))
            where = f"{file}, {lines_text(function)}"
            self._console.print(
                Text.assemble("repairing ", (function.name, "bold cyan"), f" ({where})")
            )
        self._status = "testing likely mistakes"

    def step(self, step: Step) -> None:
        """Show one turn; off a terminal nothing, since the outcome tells what counts."""
        if self._console.is_terminal and not self._live.is_started:
            self._live.start()
        self._count += 1
        self._turns.append(turn_text(step))
        self._solved |= step.passed == step.total
        tried = f"{plural(self._count, 'edit')} tried"
        if self._solved:
            tried += ", repaired; looking for better"
            tried += " (Ctrl-C shows this one)" if self._settles else ""
        self._status = tried

    def _render(self) -> RenderableType:
        return Group(*self._turns, Spinner("dots", text=self._status))


def lines_text(function: Function) -> str:
    """Where a function stands, in words."""
    if function.first == function.last:
        return f"line {function.first}"
    return f"lines {function.first} to {function.last}"


def plural(count: int, noun: str) -> str:
    """The count with its noun."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def show_failures(console: Console, failing: Sequence[TestResult]) -> None:
    """The first of some failing tests."""
    for failure in failing[:_SHOWN_FAILURES]:
        console.print(failure_text(failure))
    if len(failing) > _SHOWN_FAILURES:
        console.print(f"  and {len(failing) - _SHOWN_FAILURES} more")


def show_scouted(console: Console, scouted: Scouted) -> None:
    """Which of the named tests fail, and what else does."""
    failing = [scouted.results[test] for test in scouted.targets]
    console.print(f"{len(scouted.passed)} passed, {len(failing)} failed in {scouted.seconds:.2f} s")
    show_failures(console, failing)
    if scouted.missing:
        text = f"  {plural(len(scouted.missing), 'test')} did not run in time"
        console.print(text, style="yellow")
    if scouted.others:
        text = f"  {plural(len(scouted.others), 'other test')} of their files failed: set aside"
        console.print(text, style="dim")


def failure_text(failure: TestResult) -> Text:
    """One failing test with the first lines of its detail."""
    text = Text.assemble("  ", ("✗ ", "red"), (failure.id, "bold"))
    lines = failure.detail.splitlines()
    shown = lines[:_SHOWN_LINES]
    while len(shown) < len(lines) and shown[-1].rstrip().endswith(":"):
        shown.pop()  # what it announces is not shown
    for line in shown:
        text.append(f"\n      {line[:160]}", style="dim")
    return text


def turn_text(step: Step) -> Text:
    """One turn: which program, what it changes, tests passing."""
    colour = "green" if step.passed == step.total else "yellow" if step.passed else "red"
    text = Text.assemble(
        (f"  program {step.candidate:<4} turn {step.turn:<2} ", "dim"),
        (f"{step.passed}/{step.total} ", colour),
        edit_in_words(step.edit, step.first_line) or " ".join(step.command.split("\n"))[:100],
    )
    if step.error:
        text.append(f"  ({step.error.splitlines()[0][:60]})", style="dim red")
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def show_outcome(console: Console, outcome: Outcome) -> None:
    """The chain that led there, the diff, and one closing line."""
    if outcome.status == "repaired":
        for number, link in enumerate(outcome.chain, 1):
            total = link.passed + link.failed
            console.print(
                Text.assemble((f"  turn {number:<2} {link.passed}/{total} ", "green"), link.words)
            )
        console.print()
        if console.is_terminal:
            console.print(Syntax(outcome.diff.rstrip("\n"), "diff", background_color="default"))
        else:
            console.file.write(outcome.diff)  # to the byte, so that it can be applied
        console.print()
    if outcome.partly is not None:
        console.print()
        console.file.write(printable(outcome.partly.diff))
        console.print()
    if outcome.status == "failed" and len(outcome.places) > 1:
        for place in outcome.places:
            console.print(
                f"  {place.function} ({place.file}): {place.seconds:.1f} s, {place.passed} of "
                f"{plural(place.passed + place.failed, 'test')} at the best",
                style="dim",
                markup=False,
            )
    style = {"repaired": "bold green", "already_passing": "green"}.get(outcome.status, "bold red")
    console.print(Text(outcome.message, style))
    if outcome.attempts:
        seconds = outcome.seconds
        console.print(
            f"{plural(outcome.attempts, 'different program')} tested in {seconds.total:.1f} s",
            style="dim",
            highlight=False,
        )
