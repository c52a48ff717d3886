"""Would it pay to draft tokens by looking them up in the prompt, or to skip those that are forced?

    python tests/benchmarks/bench_drafting.py DATA/humanevalfix-dev.jsonl [--count 20]

Samples commands as a repair does, without testing them: free ones, and ones that continue a given
line. Then, on paper: with prompt lookup (what followed the last time that the two newest tokens
stood together, up to three tokens) in how many decoding steps these commands would have been
written, and what such a step costs with one and with many sequences, measured in the same run. And
how many of a free command's tokens the grammar left no choice about.
"""

import argparse
import re
import statistics
import time

from coe_lsp.chain.prompt import PromptBuilder, Segment, detect_format
from coe_lsp.engine.context import BATCH_TOKENS, Context, Piece
from coe_lsp.engine.engine import Engine
from coe_lsp.execution.sandbox import find_sandbox
from coe_lsp.models.adapters import resolve_adapter
from coe_lsp.models.download import ensure
from coe_lsp.models.registry import resolve
from coe_lsp.repair.policy.llama import LlamaPolicy
from coe_lsp.repair.policy.protocol import CommandRequest
from training.sampling.rollouts import make_start
from training.tasks.environment import TaskEnvironment
from training.tasks.tasks import load_tasks

DRAFT, EACH, WIDTHS, ROUNDS = 3, 8, (1, 16), 9
# What the grammar leaves no choice about, given the letters before it.
FORCED = re.compile(r"### |(?<=### A)DDL |(?<=### R)EP|(?<=REP[LW]) |(?<=### D)ELL |(?<=### E)XIT")


def lookup(prompt, written):
    """Decoding steps with prompt lookup, and the tokens evaluated in them."""
    known, done, steps, evaluated = list(prompt), 0, 0, 0
    while done < len(written):
        pair, draft = known[-2:], []
        for place in range(len(known) - 2, 0, -1):
            if known[place - 1 : place + 1] == pair and place + 1 < len(known):
                draft = known[place + 1 : place + 1 + DRAFT]
                break
        right = 0
        while right < len(draft) and written[done + right : done + right + 1] == [draft[right]]:
            right += 1
        taken = min(right + 1, len(written) - done)
        known += written[done : done + taken]
        done, steps, evaluated = done + taken, steps + 1, evaluated + 1 + len(draft)
    return steps, evaluated


def forced(engine, written, lines):
    """Tokens of a free command whose letters are all forced."""
    text, places = engine.detokenize(written), set()
    for match in FORCED.finditer(text):
        places |= set(range(*match.span()))
    number = re.match(r"### [A-Z]+ (\d+)( >>>)", text)
    if number:
        certain = 10 * int(number[1]) > lines + 1  # no further digit can follow
        places |= set(range(number.start(2) + (not certain), number.end(2)))
    count = start = 0
    for n in range(1, len(written) + 1):
        end = len(engine.detokenize(written[:n]))
        count += end > start and set(range(start, end)) <= places
        start = end
    return count


def step_seconds(path, adapter):
    """Seconds of one decoding step by sequences and tokens for each: the median of some rounds."""
    found = {}
    context = Context(path, adapter, 4096, max(WIDTHS) + 1, 2)
    prompt = context.vocabulary.encode(("x = [1, 2, 3]\n" * 60).encode())[:200]
    root = context.open_slot()
    for begin in range(0, len(prompt), BATCH_TOKENS):
        context.decode([Piece(root, prompt[begin : begin + BATCH_TOKENS], 0)])
    for width in WIDTHS:
        for count in (1, 1 + DRAFT):
            times = []
            for _ in range(ROUNDS):
                slots = [context.copy(root, len(prompt)) for _ in range(width)]
                began = time.perf_counter()
                context.decode([Piece(slot, prompt[:count], count) for slot in slots])
                times.append(time.perf_counter() - began)
                for slot in slots:
                    context.close_slot(slot)
            found[width, count] = statistics.median(times)
    context.close()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tasks")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    options = parser.parse_args()
    known = resolve(options.model)
    path, adapter = ensure(known), resolve_adapter(None, known.base_key)
    totals = {"free": [0, 0, 0], "given": [0, 0, 0]}
    skipped = 0
    sandbox = find_sandbox("auto")
    with Engine(path, adapter=adapter, context_tokens=16384, max_sequences=2 * EACH + 2) as engine:
        builder = PromptBuilder(detect_format(engine.chat_template), instructed=adapter is None)
        for task in load_tasks(options.tasks)[: options.count]:
            with TaskEnvironment(task, sandbox) as environment:
                episode = make_start(environment, 0.0).episode(1)
            lines = [n for n, line in enumerate(episode.pad.lines, 1) if line.strip()]
            policy = LlamaPolicy(engine, builder)
            end = engine.tokenize([builder.command_end], add_bos=False)[:1]
            waiting = 0
            for number in range(2 * EACH):
                target = lines[number % len(lines)] if number >= EACH else None
                waiting += policy.ask(
                    CommandRequest(number + 1, episode, None, target, seed=number + 1)
                )
            opening = engine.tokenize(builder.opening(episode.task, episode.start), add_bos=True)
            while waiting:
                for proposal in policy.step():
                    waiting -= 1
                    written = list(proposal.tokens)
                    rest = engine.detokenize(written)
                    written += end
                    given = Segment(proposal.text.removesuffix(rest))
                    before = [*opening, *engine.tokenize([given], add_bos=False)]
                    free = proposal.id <= EACH
                    total = totals["free" if free else "given"]
                    steps, evaluated = lookup(before, written)
                    for index, count in enumerate((len(written), steps, evaluated)):
                        total[index] += count
                    if free:
                        skipped += forced(engine, written, len(episode.pad.lines))
            policy.close()
    seconds = step_seconds(path, adapter)
    for kind, (tokens, steps, evaluated) in totals.items():
        print(f"{kind}: {tokens} tokens, {steps} steps with lookup, {evaluated} evaluated in them")
        for width in WIDTHS:
            # Between one token and a full draft the cost is taken to grow evenly.
            share = (evaluated / steps - 1) / DRAFT
            one, full = seconds[width, 1], seconds[width, 1 + DRAFT]
            gain = tokens * one / (steps * (one + share * (full - one)))
            print(f"   {width:2} sequences: a step {1000 * one:.0f} ms, with a draft of {DRAFT} "
                  f"{1000 * full:.0f} ms: {gain:.2f} times as fast with lookup")  # fmt: skip
    tokens = totals["free"][0]
    print(f"forced: {skipped} of {tokens} tokens of free commands ({skipped / tokens:.0%})")


if __name__ == "__main__":
    main()
