"""Start programs that are hard: what a model got wrong itself.

Two sources, as in the paper: the base model writes programs for a task from a few examples, and the
tuned model leaves states behind when its chains fail at a high temperature. A program is kept if it
fails, differs from the others of its task, and is not absurdly long. The result is a task file with
`code`, for RLVR and for evaluation alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from random import Random

from attrs import evolve, frozen

from coe_lsp.chain.prompt import TaskDescription
from coe_lsp.chain.scratchpad import Scratchpad
from coe_lsp.engine.sampling import Sampling
from coe_lsp.execution.sandbox import Sandbox
from training.sampling.direct_prompt import DirectPrompt, extract_program
from training.sampling.rollouts import AttemptTester, Generator, make_starts, roll_out
from training.sampling.whole_programs import Question, Writer
from training.tasks.environment import open_environments
from training.tasks.tasks import Task

_ANSWER_TOKENS = 384
_LONGER = 3


@frozen
class ProgramSampling:
    """How many programs a task gets, and how they are drawn."""

    each: int = 4
    shots: int = 3
    temperature: float = 1.0
    seed: int = 0


def write_faulty_programs(
    tasks: Sequence[Task],
    writer: Writer,
    sampling: ProgramSampling,
    sandbox: Sandbox,
    *,
    threads: int,
) -> Iterator[Task]:
    """Faulty programs that the model writes from the tasks' words and tests, all at once."""
    prompt = DirectPrompt(sampling.shots, write=True)
    questions: list[Question] = []
    for task in tasks:
        described = TaskDescription(task.prompt, "", task.tests[:3])
        seed = Random(f"{sampling.seed}/{task.task_id}").getrandbits(31)
        question = prompt.segments(writer.format, described, Scratchpad(()))
        questions.append(Question(tuple(question), seed))
    drawing = Sampling(temperature=sampling.temperature, max_tokens=_ANSWER_TOKENS)
    found = writer.answers(questions, sampling.each, drawing)
    programs = [[extract_program(answer.text) for answer in some] for some in found]
    yield from keep_faulty(tasks, programs, sandbox, threads)


def collect_failed_states(
    tasks: Sequence[Task],
    generator: Generator,
    *,
    each: int,
    max_turns: int,
    with_instructions: float,
    sandbox: Sandbox,
    threads: int,
) -> Iterator[Task]:
    """Last states of chains that failed; `tasks` have the programs to start from as `code`."""
    with ExitStack() as stack:
        environments = open_environments(tasks, sandbox, stack)
        starts = make_starts(environments, with_instructions, threads)
        groups = roll_out(
            generator,
            starts,
            each=each,
            max_turns=max_turns,
            tester=AttemptTester(threads),
        )
    states = [[c.episode.pad.text for c in chains if not c.right] for chains in groups]
    tasks = [start.environment.task for start in starts]
    yield from keep_faulty(tasks, states, sandbox, threads)


def keep_faulty(
    tasks: Sequence[Task], programs: Sequence[Sequence[str]], sandbox: Sandbox, threads: int
) -> Iterator[Task]:
    """Of each task's programs those that fail, as tasks named by task and number."""
    with ThreadPoolExecutor(threads) as pool:
        for found in pool.map(partial(_faulty, sandbox=sandbox), tasks, programs):
            yield from found


def _faulty(task: Task, programs: Sequence[str], sandbox: Sandbox) -> list[Task]:
    longest = max(10, _LONGER * (task.reference.count("\n") + 1))
    different = [p for p in dict.fromkeys(programs) if p and p.count("\n") < longest]
    if not different:
        return []
    with ExitStack() as stack:
        return [
            evolve(task, task_id=f"{task.task_id}#{number}", code=program)
            for environment in open_environments([task], sandbox, stack)
            # With tests that the reference fails, anything would be faulty.
            if environment.calibrate()
            for number, program in enumerate(different)
            if program != task.start and not environment.evaluate(program.split("\n")).solved
        ]
