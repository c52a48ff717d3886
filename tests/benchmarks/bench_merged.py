"""An adapter beside its model against both merged and requantised: how fast, and how much worse.

    python tests/benchmarks/bench_merged.py --model FILE.gguf --adapter FILE.gguf \
        --demonstrations DEMONSTRATIONS.jsonl [--json OUT]

Speed: the engine's prefill of 512 tokens, and decoding for one and for sixteen sequences; all arms in
memory together, taking turns, medians over rounds. Quality: the log-probability of the commands that
repair (one of each task, `--count` tasks) in nats a command: the average, and how far an arm is from
the adapter beside the model, with a 95% bootstrap interval over tasks.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from random import Random

from bench_engine import PREFIX, PROMPT, SOURCE, EngineRun, Text

from coe_lsp.chain.episode import Episode
from coe_lsp.chain.prompt import PromptBuilder, detect_format
from coe_lsp.engine.engine import Engine
from coe_lsp.engine.sampling import Sampling
from coe_lsp.models.lora_gguf import merge_lora
from coe_lsp.repair.policy.llama import LlamaPolicy
from training.tasks.records import read_records

KINDS = ("Q8_0", "Q4_0")


def commands(path, count, seed):
    """The first command of one demonstration of each of `count` tasks, with where it starts."""
    by_task = {}
    for record in read_records(path):
        if len(record.episode.turns) == 1:
            by_task.setdefault(record.task_id, []).append(record.episode)
    random = Random(seed)
    chosen = random.sample(sorted(by_task), min(count, len(by_task)))
    for name in chosen:
        done = random.choice(by_task[name])
        yield Episode(done.task, done.start), done.turns[0].command_text


def likelihoods(engine, found):
    builder = PromptBuilder(detect_format(engine.chat_template), instructed=False)
    policy = LlamaPolicy(engine, builder)
    scores = [policy.likelihoods(start, [text])[0] for start, text in found]
    policy.close()
    return scores


def prefill(engine, prompt):
    sequence = engine.sequence()
    sequence.append(prompt)
    started = time.perf_counter()
    list(engine.run([engine.submit(sequence, Sampling(max_tokens=1))]))
    rate = len(prompt) / (time.perf_counter() - started)
    sequence.release()
    return rate


def decode(engine, prompt, count):
    run = EngineRun(engine, prompt[:PREFIX], count)
    run.rate()  # the first steps read what the fork left
    rate = run.rate()
    run.close()
    return rate


def interval(differences, seed):
    random = Random(seed)
    means = sorted(
        statistics.fmean(random.choices(differences, k=len(differences))) for _ in range(2000)
    )
    return means[50], means[1950]


def measure(options, folder):
    engines, merging = {}, {}
    engines["beside"] = Engine(options.model, adapter=options.adapter, context_tokens=4096)
    for kind in KINDS:
        target, started = folder / f"{kind}.gguf", time.perf_counter()
        merge_lora(options.model, options.adapter, target, kind)
        merging[kind] = time.perf_counter() - started
        engines[kind] = Engine(target, context_tokens=4096)
    prompt = engines["beside"].tokenize([Text(SOURCE)], add_bos=True)[:PROMPT]
    rates = {name: {"prefill": [], "decode x1": [], "decode x16": []} for name in engines}
    for _ in range(options.rounds):
        for name, engine in engines.items():
            rates[name]["prefill"].append(prefill(engine, prompt))
            rates[name]["decode x1"].append(decode(engine, prompt, 1))
            rates[name]["decode x16"].append(decode(engine, prompt, 16))
    found = list(commands(options.demonstrations, options.count, options.seed))
    beside = likelihoods(engines["beside"], found)
    result = {"model": options.model.name, "tasks": len(found), "arms": {}}
    for name, engine in engines.items():
        scores = beside if name == "beside" else likelihoods(engine, found)
        row = {key: round(statistics.median(values), 1) for key, values in rates[name].items()}
        row["nats"] = round(statistics.fmean(scores), 3)
        if name != "beside":
            differences = [one - two for one, two in zip(scores, beside, strict=True)]
            row["worse"] = round(statistics.fmean(differences), 3)
            row["interval"] = [round(x, 3) for x in interval(differences, options.seed)]
            row["merging_seconds"] = round(merging[name], 1)
            row["megabytes"] = round((folder / f"{name}.gguf").stat().st_size / 1e6)
        result["arms"][name] = row
        print(name, json.dumps(row), flush=True)
        engine.close()
    return result


def main():
    parser = argparse.ArgumentParser(description="Benchmark merged and requantised models.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--adapter", type=Path, required=True)
    parser.add_argument("--demonstrations", type=Path, required=True)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options, Path(folder))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
