"""Sampling from a model: many sequences, one batch a step.

    with Engine(path, context_tokens=8192) as engine:
        prompt = engine.sequence()
        prompt.append(engine.tokenize(segments, add_bos=True))
        jobs = [engine.submit(prompt.fork(), Sampling(0.8, seed=n)) for n in range(16)]
        for completion in engine.run(jobs):
            ...  # submit further jobs here, the batch stays full

Sequences share what they have in common (`fork`), only appended tokens are ever decoded, and every
sequence with a job advances by one token in each `step`. An engine belongs to the thread that made
it; only `cancel` may be called from another. It is synchronous: running tests beside it is the
caller's thread's business. With equal submissions, seeds give equal tokens on the same machine;
the composition of a batch changes logits in the last digits, and so may, rarely, a draw.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from attrs import define

from coe_lsp.cores import available_cores
from coe_lsp.engine.context import (
    BATCH_TOKENS,
    SCORE_OUTPUTS,
    Cancelled,
    Context,
    EngineError,
    Piece,
    Slot,
)
from coe_lsp.engine.sampler import Row, Sampler, log_sum_exp
from coe_lsp.engine.sampling import Sampling
from coe_lsp.engine.sequence import Completion, Finished, Job, Sequence
from coe_lsp.engine.vocabulary import SegmentLike

__all__ = [
    "Cancelled",
    "Completion",
    "Engine",
    "EngineError",
    "Job",
    "Sampling",
    "Sequence",
    "Stats",
]


@define
class Stats:
    """Counters since the engine was made; times in seconds."""

    steps: int = 0
    decoded: int = 0
    sampled: int = 0
    rejected: int = 0
    decode_seconds: float = 0.0
    sample_seconds: float = 0.0


class Engine:
    """A loaded model that continues sequences.

    `context_tokens` is the room for all sequences together, a shared prefix counted once.
    `threads` defaults to all cores this process may use. EngineError if the model or the adapter
    cannot be loaded.
    """

    def __init__(
        self,
        model_path: Path,
        *,
        adapter: Path | None = None,
        context_tokens: int,
        max_sequences: int = 32,
        threads: int | None = None,
    ) -> None:
        self._thread = threading.get_ident()
        self.threads = threads or available_cores()
        self._context: Context | None = Context(
            model_path, adapter, context_tokens, max_sequences, self.threads
        )
        self._abort = self._context.abort
        self.stats = Stats()
        self.chat_template = self._context.chat_template
        #: The longest context the model was trained for, in tokens.
        self.context_length = self._context.trained_tokens
        #: The longest that one sequence can be.
        self.max_tokens = min(self.context_length, self._context.cells)
        self._jobs: list[Job] = []
        self._scratch = np.empty(self._context.vocabulary.size, np.float32)

    # -- life

    def close(self) -> None:
        """Free the model and all sequences. Doing it twice is harmless."""
        self._check_thread()
        if self._context is not None:
            self._drop_jobs()
            self._context.close()
            self._context = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def cancel(self) -> None:
        """Stop what is running, from any thread.

        The step, fork or score that runs now, or else the next one, raises `Cancelled`. All jobs
        are then dropped, their sequences are as they were at `submit`, and the engine can be used
        again.
        """
        self._abort.set()

    def clear_cancel(self) -> None:
        """Forget a `cancel` that has stopped nothing yet; call it when new work begins."""
        self._abort.clear()

    # -- text

    def tokenize(self, segments: Iterable[SegmentLike], *, add_bos: bool) -> list[int]:
        """Tokens of prompt segments; see `Vocabulary.tokenize`."""
        return self._native().vocabulary.tokenize(segments, add_bos=add_bos)

    def detokenize(self, tokens: Iterable[int]) -> str:
        """Text of tokens, control tokens left out."""
        return self._native().vocabulary.detokenize(tokens)

    # -- sequences

    @property
    def free_tokens(self) -> int:
        """Tokens that can still be evaluated before sequences must be released."""
        return self._native().free_cells

    def sequence(self) -> Sequence:
        """An empty sequence. EngineError when all are in use."""
        return Sequence(self, self._native().open_slot(), [])

    def fork(self, sequence: Sequence) -> Sequence:
        """See `Sequence.fork`."""
        self.check(sequence, busy=True)
        self._evaluate(sequence)
        slot = self._native().copy(sequence.slot, sequence.evaluated)
        return Sequence(self, slot, list(sequence.tokens))

    def trim(self, sequence: Sequence, length: int) -> None:
        """See `Sequence.truncate`; used also where a job owns the sequence."""
        del sequence.tokens[length:]
        self._native().trim(sequence.slot, length)

    def release(self, sequence: Sequence) -> None:
        """See `Sequence.release`."""
        self._check_thread()
        if sequence.released or self._context is None:
            return
        if sequence.job is not None:
            self.drop(sequence.job)
        sequence.released = True
        self._context.close_slot(sequence.slot)

    def check(self, sequence: Sequence, *, busy: bool = False) -> None:
        """EngineError unless the sequence can be used now (`busy`: also while it has a job)."""
        self._native()
        if sequence.released:
            raise EngineError("This sequence was released.")
        if sequence.job is not None and not busy:
            raise EngineError("This sequence has a running job.")

    # -- generation

    def submit(self, sequence: Sequence, sampling: Sampling) -> Job:
        """Ask for a continuation of `sequence`. Nothing runs before `step`.

        EngineError for an empty sequence, one that has a job, or a grammar that does not parse.
        """
        self.check(sequence)
        if not sequence.tokens:
            raise EngineError("An empty sequence cannot be continued; append tokens first.")
        try:
            sampler = Sampler(self._native().vocabulary, sampling)
        except ValueError as error:
            raise EngineError(f"Cannot sample: {error}.") from error
        job = Job(sequence, sampling, sampler, len(sequence.tokens))
        sequence.job = job
        if not (sequence.pending or job.prefill_only):
            # The logits of the last token are gone; it must be evaluated again.
            self._native().trim(sequence.slot, len(sequence.tokens) - 1)
        self._jobs.append(job)
        return job

    def drop(self, job: Job) -> None:
        """Have no more of a job; what its sequence holds by now stays."""
        job.sequence.job = None
        self.stats.rejected += job.sampler.rejections
        job.sampler.close()
        self._jobs.remove(job)

    def step(self) -> list[Completion]:
        """Evaluate one batch, sample, and return the jobs that finished (maybe none).

        Every sequence that waits for one token gets it; what is left of the batch reads pending
        prompts, oldest job first. `Cancelled` after `cancel`. EngineError when no job can advance
        because the context is full: the jobs stay, release some sequence and go on.
        """
        self._native()
        done = self._finish_evaluated()
        plan = self._plan()
        if not plan:
            if self._jobs and not done:
                raise self._native().full()
            return done
        logits = self._decode([piece for _, piece in plan])
        started = time.perf_counter()
        row = end = 0
        for job, piece in plan:
            end += len(piece.tokens)
            if piece.outputs:
                completion = self._sample(job, end - 1, logits[row])
                row += 1
                if completion is not None:
                    done.append(completion)
        self.stats.sampled += row
        self.stats.sample_seconds += time.perf_counter() - started
        return done + self._finish_evaluated()

    def run(self, jobs: Iterable[Job]) -> Iterator[Completion]:
        """Step until all of `jobs` are finished; yields each as it does.

        Other jobs advance as well; find their results in `Job.completion`.
        """
        waiting = {id(job): job for job in jobs}
        for job in list(waiting.values()):
            if job.completion is not None:
                del waiting[id(job)]
                yield job.completion
        while waiting:
            if not any(job.sequence.job is job for job in waiting.values()):
                return  # all others were released
            for completion in self.step():
                if waiting.pop(id(completion.job), None) is not None:
                    yield completion

    def score(self, sequence: Sequence, continuations: Seq[Seq[int]]) -> list[list[float]]:
        """Log-probabilities (natural) of the tokens of each continuation after `sequence`.

        Evaluated in shared batches, all at once, while other jobs wait; the sequence itself does
        not change. EngineError if there is no free sequence or no room.
        """
        self.check(sequence, busy=True)
        if not sequence.tokens:
            raise EngineError("Nothing can be scored after an empty sequence.")
        self._evaluate(sequence)
        context = self._native()
        base = min(sequence.evaluated, len(sequence.tokens) - 1)
        scores: list[list[float]] = [[] for _ in continuations]
        waiting = deque(index for index, tokens in enumerate(continuations) if tokens)
        slots: dict[int, Slot] = {}
        try:
            while waiting:
                plan: list[tuple[int, Piece]] = []
                space = SCORE_OUTPUTS
                for index in waiting:
                    if not space or (index not in slots and slots and not context.free_slots):
                        break
                    if index not in slots:
                        slots[index] = context.copy(sequence.slot, base)
                    begin = len(scores[index])
                    inputs = [sequence.tokens[-1], *continuations[index][:-1]]
                    part = inputs[begin : begin + space]
                    space -= len(part)
                    plan.append((index, Piece(slots[index], part, len(part))))
                logits = self._decode([piece for _, piece in plan])
                row = 0
                for index, piece in plan:
                    for _ in piece.tokens:
                        token = continuations[index][len(scores[index])]
                        scores[index].append(self._logprob(logits[row], token))
                        row += 1
                    if len(scores[index]) == len(continuations[index]):
                        waiting.remove(index)
                        context.close_slot(slots.pop(index))
        finally:
            for slot in slots.values():
                context.close_slot(slot)
        return scores

    def score_against(
        self, sequence: Sequence, tokens: Seq[int], others: Seq[Seq[int]]
    ) -> list[list[float]]:
        """Like `score` for one continuation, and what else could stand in each place of it.

        For each of `tokens`, the log-probability of it and of each of the `others` in its place.
        """
        self.check(sequence, busy=True)
        self._evaluate(sequence)
        context = self._native()
        base = min(sequence.evaluated, len(sequence.tokens) - 1)
        slot = context.copy(sequence.slot, base)
        inputs = [*sequence.tokens[base:], *tokens[:-1]]
        skipped = len(sequence.tokens) - base - 1
        scores: list[list[float]] = []
        try:
            for begin in range(0, len(inputs), SCORE_OUTPUTS):
                part = inputs[begin : begin + SCORE_OUTPUTS]
                rows = self._decode([Piece(slot, part, len(part))])
                for index in range(max(0, skipped - begin), len(part)):
                    place = begin + index - skipped
                    scores.append(
                        [self._logprob(rows[index], t) for t in (tokens[place], *others[place])]
                    )
        finally:
            context.close_slot(slot)
        return scores

    # -- inside

    def _plan(self) -> list[tuple[Job, Piece]]:
        context = self._native()
        space = min(BATCH_TOKENS, context.free_cells)
        plan: list[tuple[Job, Piece]] = []
        for job in sorted(self._jobs, key=lambda job: job.sequence.pending > 1):
            sequence = job.sequence
            ready = sequence.evaluated
            want = sequence.pending - job.prefill_only
            count = min(want, space)
            if count <= 0:
                break
            space -= count
            outputs = int(count == sequence.pending)
            tokens = sequence.tokens[ready : ready + count]
            plan.append((job, Piece(sequence.slot, tokens, outputs)))
        return plan

    def _finish_evaluated(self) -> list[Completion]:
        ready = [job for job in self._jobs if job.prefill_only and job.sequence.pending <= 1]
        return [self._finish(job, "length") for job in ready]

    def _decode(self, pieces: list[Piece]) -> Row:
        started = time.perf_counter()
        try:
            logits = self._native().decode(pieces)
        except Cancelled:
            self._drop_jobs()
            self._abort.clear()
            raise
        self.stats.steps += 1
        self.stats.decoded += sum(len(piece.tokens) for piece in pieces)
        self.stats.decode_seconds += time.perf_counter() - started
        return logits

    def _evaluate(self, sequence: Sequence) -> None:
        """Evaluate all pending tokens of a sequence but the last."""
        while sequence.pending > 1:
            ready = sequence.evaluated
            part = sequence.tokens[ready : min(ready + BATCH_TOKENS, len(sequence.tokens) - 1)]
            self._decode([Piece(sequence.slot, part, 0)])

    def _logprob(self, row: Row, token: int) -> float:
        return float(row[token]) - log_sum_exp(row, self._scratch)

    def _sample(self, job: Job, index: int, row: Row) -> Completion | None:
        context = self._native()
        token = job.sampler.choose(context.handle, index, row)
        if token is None:  # cannot happen with a grammar that has an end
            return self._finish(job, "eog")
        job.logprobs.append(self._logprob(row, token))
        piece = context.vocabulary.piece(token)
        if piece is None:
            if job.sampling.find_end and job.text.endswith(b"\n"):  # of a block: it ended there
                self._cut(job, len(job.text) - 1)
                return self._finish(job, "line")
            return self._finish(job, "eog")
        tokens = job.sequence.tokens
        tokens.append(token)
        job.text += piece
        job.token_ends.append(len(job.text))
        end = job.sampling.find_end(bytes(job.text)) if job.sampling.find_end else None
        if end is not None:
            self._cut(job, end)
            return self._finish(job, "line")
        if len(job.logprobs) == job.sampling.max_tokens or len(tokens) >= self.max_tokens:
            return self._finish(job, "length")
        return None

    def _cut(self, job: Job, end: int) -> None:
        r"""Keep what is before `end` in the text, and the score of the token that ended it too.

        Of a merged token such as b")\n" the context keeps only what is before the line end.
        """
        whole = bisect.bisect_right(job.token_ends, end)
        known = job.token_ends[whole - 1] if whole else 0
        self.trim(job.sequence, job.start + whole)
        job.sequence.tokens += self._native().vocabulary.encode(bytes(job.text[known:end]))
        del job.text[end:], job.token_ends[whole:], job.logprobs[whole + 1 :]

    def _finish(self, job: Job, finished: Finished) -> Completion:
        self.drop(job)
        job.completion = Completion(
            job,
            job.text.decode("utf-8", "replace"),
            tuple(job.sequence.tokens[job.start :]),
            tuple(job.logprobs),
            finished,
        )
        return job.completion

    def _drop_jobs(self) -> None:
        for job in list(self._jobs):
            self.drop(job)
            self.trim(job.sequence, job.start)

    def _check_thread(self) -> None:
        if threading.get_ident() != self._thread:
            raise EngineError("An engine can only be used by the thread that made it.")

    def _native(self) -> Context:
        self._check_thread()
        if self._context is None:
            raise EngineError("The engine is closed.")
        return self._context
