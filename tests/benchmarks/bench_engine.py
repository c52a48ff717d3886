"""Tokens a second of the engine, against two yardsticks, in one run.

    python tests/benchmarks/bench_engine.py --model FILE.gguf [--json OUT]

"bare" is llama.cpp's C API called in a loop with fixed tokens (same batch, threads and context
settings, no sampling and no bookkeeping): what the engine could reach at most. "Llama" is the
high-level class of llama-cpp-python, one sequence, same threads and sampling settings. The three
take turns in short rounds and the table shows medians over rounds, so that a noisy machine hits
them alike; compare the ratios, not the rates. Decoding happens after a shared prefix of 256 tokens.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from unittest.mock import patch

from coe_lsp.engine.binding import Batch, lib, model_parameters
from coe_lsp.engine.context import BATCH_TOKENS, Context, Piece
from coe_lsp.engine.engine import Engine
from coe_lsp.engine.sampling import Sampling

PREFIX, PROMPT, STEPS, CONTEXT = 256, 512, 8, 4096
SAMPLING = {"temperature": 0.8, "top_k": 40, "top_p": 0.95}
SOURCE = Path(json.__file__).with_name("decoder.py").read_text(encoding="utf-8")


class EngineRun:
    """`count` sequences that always have a job, on the engine."""

    def __init__(self, engine, prompt, count):
        self.engine, self.count = engine, count
        prefix = engine.sequence()
        prefix.append(prompt)
        self.sequences = [prefix.fork() for _ in range(count)]
        prefix.release()
        self.newline = engine.tokenize([Text("\n")], add_bos=False)
        self.seed = 0
        for sequence in self.sequences:
            self.submit(sequence)

    def submit(self, sequence):
        self.seed += 1
        self.engine.submit(sequence, Sampling(**SAMPLING, seed=self.seed))

    def rate(self):
        started, before = time.perf_counter(), self.engine.stats.sampled
        for _ in range(STEPS):
            for completion in self.engine.step():
                sequence = completion.job.sequence
                if not sequence.pending:
                    sequence.append(self.newline)
                self.submit(sequence)
        return (self.engine.stats.sampled - before) / (time.perf_counter() - started)

    def close(self):
        for sequence in self.sequences:
            sequence.release()


class BareRun:
    """The same number of sequences through `llama_decode` alone."""

    def __init__(self, context, prompt, count):
        self.context, self.position = context, PREFIX
        prefix = context.open_slot()
        for start in range(0, PREFIX, BATCH_TOKENS):
            context.decode([Piece(prefix, prompt[start : start + BATCH_TOKENS], 0)])
        self.slots = [prefix] + [context.copy(prefix, PREFIX) for _ in range(count - 1)]
        self.batch = Batch(count)
        self.token = prompt[0]

    def rate(self):
        started = time.perf_counter()
        for _ in range(STEPS):
            self.batch.clear()
            for slot in self.slots:
                self.batch.add([self.token], self.position, slot.id, 1)
            assert self.batch.decode(self.context.handle) == 0
            self.position += 1
        return len(self.slots) * STEPS / (time.perf_counter() - started)

    def close(self):
        memory = lib.llama_get_memory(self.context.handle)
        for slot in self.slots:
            lib.llama_memory_seq_rm(memory, slot.id, PREFIX, -1)  # unknown to the context's ledger
            self.context.close_slot(slot)


class Text:
    special = False

    def __init__(self, text):
        self.text = text


def high_level_decode(llama, prompt, seed):
    llama.set_seed(seed)
    tokens = llama.generate(
        prompt,
        top_k=SAMPLING["top_k"],
        top_p=SAMPLING["top_p"],
        temp=SAMPLING["temperature"],
        min_p=0.0,
        repeat_penalty=1.0,
    )
    next(tokens)  # reads what is new of the prompt
    started = time.perf_counter()
    for _ in range(STEPS):
        next(tokens)
    return STEPS / (time.perf_counter() - started)


def prefill_rates(engine, context, llama, prompt):
    sequence = engine.sequence()
    sequence.append(prompt)
    started = time.perf_counter()
    list(engine.run([engine.submit(sequence, Sampling(max_tokens=1))]))
    ours = len(prompt) / (time.perf_counter() - started)
    sequence.release()

    slot, batch = context.open_slot(), Batch(BATCH_TOKENS)
    started = time.perf_counter()
    for start in range(0, len(prompt), BATCH_TOKENS):
        batch.clear()
        batch.add(prompt[start : start + BATCH_TOKENS], start, slot.id, 0)
        assert batch.decode(context.handle) == 0
    bare = len(prompt) / (time.perf_counter() - started)
    lib.llama_memory_seq_rm(lib.llama_get_memory(context.handle), slot.id, -1, -1)
    context.close_slot(slot)

    llama.reset()
    started = time.perf_counter()
    llama.eval(prompt)
    return ours, bare, len(prompt) / (time.perf_counter() - started)


def summary(rows):
    ours, bare, high = (statistics.median(column) for column in zip(*rows, strict=True))
    return {
        "engine": round(ours, 1),
        "bare": round(bare, 1),
        "llama": round(high, 1),
        "share_of_bare": round(statistics.median(row[0] / row[1] for row in rows), 3),
        "times_llama": round(statistics.median(row[0] / row[2] for row in rows), 2),
    }


def report(name, row):
    print(
        f"{name:12}{row['engine']:9.1f}{row['bare']:9.1f}{row['llama']:9.1f}"
        f"{row['share_of_bare']:9.0%}{row['times_llama']:9.2f}",
        flush=True,
    )
    return row


def measure(model, rounds, counts):
    from llama_cpp import Llama

    most = max(counts)
    result = {"model": model.name, "prompt_tokens": PROMPT, "prefix_tokens": PREFIX}
    with Engine(model, context_tokens=CONTEXT, max_sequences=most + 1) as engine:
        threads = result["threads"] = engine.threads
        context = Context(model, None, CONTEXT, most + 1, threads)
        with patch("llama_cpp.llama_cpp.llama_model_default_params", model_parameters):
            llama = Llama(
                str(model), n_ctx=1024, n_threads=threads, n_threads_batch=threads, verbose=False
            )
        prompt = engine.tokenize([Text(SOURCE)], add_bos=True)[:PROMPT]
        rows = [prefill_rates(engine, context, llama, prompt) for _ in range(rounds + 1)]
        # The first round reads the weights from the disk.
        result["prefill"] = report("prefill", summary(rows[1:]))
        result["decode"] = {}
        for count in counts:
            ours = EngineRun(engine, prompt[:PREFIX], count)
            bare = BareRun(context, prompt[:PREFIX], count)
            rows = []
            for turn in range(rounds + 1):
                high = high_level_decode(llama, prompt[:PREFIX], turn)
                rows.append((ours.rate(), bare.rate(), high))
            result["decode"][count] = report(f"decode x{count}", summary(rows[1:]))
            ours.close()
            bare.close()
        context.close()
        llama.close()
        stats = engine.stats
        share = stats.sample_seconds / (stats.sample_seconds + stats.decode_seconds)
        result["share_of_time_sampling"] = round(share, 3)
    return result


def main():
    parser = argparse.ArgumentParser(description="Benchmark the sampling engine.")
    parser.add_argument("--model", type=Path, required=True, help="a GGUF file")
    parser.add_argument("--json", type=Path, help="write the result there as well")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sequences", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    arguments = parser.parse_args()
    print(f"{arguments.model.name}; tokens/s, medians over {arguments.rounds} rounds")
    print(f"{'':12}{'engine':>9}{'bare':>9}{'Llama':>9}{'of bare':>9}{'x Llama':>9}")
    result = measure(arguments.model, arguments.rounds, arguments.sequences)
    print(f"threads: {result['threads']}")
    print(f"share of the engine's time spent sampling: {result['share_of_time_sampling']:.1%}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
