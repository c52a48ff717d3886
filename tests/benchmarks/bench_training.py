"""Training against TRL's own trainer, and rollouts against `generate`, in one run.

    pip install -e ".[train]" trl
    python tests/benchmarks/bench_training.py runs/laptop/demonstrations.jsonl

SFT: the same adapter on the same base and the same examples, on the processor; TRL in batches of
four, ours in batches of about as many tokens. Both take turns, and the table has medians over
rounds of tokens a second in steps, without the first round. TRL keeps what gradients need
(`gradient_checkpointing` is off), and scores all tokens, as it does where there is no Triton: on a
GPU the ratio is another one.
Rollouts: commands a second from the states that the demonstrations begin with, four of each. The
serving engine has its quantised weights and a grammar, and reads what commands share but once;
`generate` has the weights as they are trained. A command ends where the edit does. Compare ratios.
"""

import argparse
import json
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path

import torch
from attrs import evolve
from datasets import Dataset
from transformers import AutoTokenizer, GenerationConfig, TrainerCallback
from trl import SFTConfig as TrlConfig
from trl import SFTTrainer

from coe_lsp.chain.commands import find_end
from coe_lsp.chain.prompt import detect_format
from coe_lsp.engine.engine import Engine
from coe_lsp.engine.sampling import Sampling
from coe_lsp.repair.policy.llama import LlamaPolicy
from training.model.base import load_model, load_tokenizer
from training.model.encode import encode, encode_all
from training.model.policy_model import PolicyModel
from training.model.source import find_base
from training.sampling.hf_generate import sample_continuations
from training.session import Session
from training.settings import Lora, SftConfig
from training.sft import train_sft
from training.tasks.records import read_records

BATCH, EACH, COMMAND_TOKENS = 4, 4, 64


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("demonstrations", type=Path)
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--max-tokens", type=int, default=1024)
    parser.add_argument("--examples", type=int, default=8)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rounds", type=int, default=4)
    chosen = parser.parse_args()
    source = find_base(chosen.model)
    tokenizer = load_tokenizer(source)
    builder = tokenizer.builder(instructed=False)
    records = list(islice(read_records(chosen.demonstrations), 4 * chosen.examples))
    examples, _ = encode_all(records, tokenizer, builder, max_tokens=chosen.max_tokens)
    examples = examples[: chosen.examples]
    dtype = getattr(torch, chosen.dtype)
    model = PolicyModel(load_model(source, dtype=dtype), Lora())
    print(f"{chosen.model} in {dtype}, {sum(len(e.ids) for e in examples)} tokens a round")
    native = AutoTokenizer.from_pretrained(source.path.parent, gguf_file=source.path.name)
    rounds = [(ours(model, examples), trl(model, native, examples)) for _ in range(chosen.rounds)]
    show("SFT, tokens a second", ("ours", "TRL"), rounds[1:])

    starts = [evolve(record.episode, turns=()) for record in records[: chosen.examples // 2]]
    contexts = [encode(start, tokenizer, builder).ids for start in starts for _ in range(EACH)]
    with Engine(source.path, context_tokens=32768, max_sequences=len(contexts) + 2) as engine:
        format = detect_format(engine.chat_template)
        assert format == tokenizer.format
        rounds = [
            (
                served(engine, builder, starts, seed),
                transformers(model, tokenizer, contexts, seed),
                plain(model, tokenizer, contexts),
            )
            for seed in range(chosen.rounds)
        ]
    names = ("engine", "ours on transformers", "`generate`")
    show("rollouts, commands a second", names, rounds[1:])


def ours(model, examples):
    """Tokens a second of our trainer, in its steps alone."""
    most = max(len(example.ids) for example in examples)
    config = SftConfig(batch_tokens=BATCH * most, micro_tokens=most, warmup=0, save_every=10**6)
    with tempfile.TemporaryDirectory() as folder:
        session = Session(Path(folder), 0, device="cpu")
        train_sft(model, examples, [], config, session)
        lines = (Path(folder) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    steps = [json.loads(line) for line in lines]
    return sum(s["tokens"] for s in steps) / sum(s["seconds"] for s in steps)


class Clock(TrainerCallback):
    """How long a trainer's steps take, without what is before and after them."""

    seconds = 0.0

    def on_step_begin(self, args, state, control, **kwargs):
        self.began = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
        self.seconds += time.perf_counter() - self.began


def trl(model, native, examples):
    """Tokens a second of TRL's trainer on the same model, in its steps alone."""
    rows = [{"input_ids": list(e.ids), "labels": list(e.labels)} for e in examples]
    with tempfile.TemporaryDirectory() as folder:
        settings = TrlConfig(
            output_dir=folder,
            per_device_train_batch_size=1,
            gradient_accumulation_steps=BATCH,
            num_train_epochs=1,
            max_length=None,
            gradient_checkpointing=False,
            use_cpu=True,
            bf16=model.peft.get_base_model().dtype is torch.bfloat16,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataset_kwargs={"skip_prepare_dataset": True},
        )
        clock, rows = Clock(), Dataset.from_list(rows)
        trainer = SFTTrainer(
            model.peft,
            settings,
            train_dataset=rows,
            processing_class=native,
            callbacks=[clock],
        )
        trainer.train()
    return sum(len(e.ids) for e in examples) / clock.seconds


def served(engine, builder, starts, seed):
    """Commands a second of the serving engine."""
    sampling = Sampling(temperature=1.0, top_k=0, top_p=1.0, max_tokens=COMMAND_TOKENS)
    policy = LlamaPolicy(engine, builder, seed=seed, sampling=sampling)
    episodes = dict(enumerate(start for start in starts for _ in range(EACH)))
    began = time.perf_counter()
    count = len(list(policy.propose(episodes)))
    spent = time.perf_counter() - began
    policy.close()
    return count / spent


def transformers(model, tokenizer, contexts, seed):
    """Commands a second of what samples where there is no engine."""
    began = time.perf_counter()
    for first in range(0, len(contexts), 8):
        sample_continuations(
            model.peft,
            contexts[first : first + 8],
            ends=tokenizer.answer_ends,
            most=COMMAND_TOKENS,
            temperature=1.0,
            seed=seed,
            has_ended=lambda tokens: find_end(tokenizer.decode(tokens).encode()) is not None,
        )
    return len(contexts) / (time.perf_counter() - began)


def plain(model, tokenizer, contexts):
    """Commands a second of transformers' `generate`, which knows the end of a turn alone."""
    pad = tokenizer.answer_ends[0]
    sampling = GenerationConfig(
        do_sample=True,
        top_k=0,
        max_new_tokens=COMMAND_TOKENS,
        eos_token_id=list(tokenizer.answer_ends),
        pad_token_id=pad,
    )
    began = time.perf_counter()
    for first in range(0, len(contexts), 8):
        some = contexts[first : first + 8]
        longest = max(map(len, some))
        ids = torch.tensor([[pad] * (longest - len(c)) + list(c) for c in some])
        mask = torch.tensor([[0] * (longest - len(c)) + [1] * len(c) for c in some])
        with torch.no_grad():
            model.peft.generate(input_ids=ids, attention_mask=mask, generation_config=sampling)
    return len(contexts) / (time.perf_counter() - began)


def show(title, names, rounds):
    """Medians over rounds, and each against the last, by medians of ratios."""
    print(f"\n{title}, {len(rounds)} rounds")
    for number, name in enumerate(names):
        rates = [rates[number] for rates in rounds]
        ratios = [rates[number] / rates[-1] for rates in rounds]
        spread = f"{min(rates):.2f} to {max(rates):.2f}"
        ratio = f"{statistics.median(ratios):.2f} times {names[-1]}"
        print(f"  {name:24}{statistics.median(rates):8.2f} ({spread}), {ratio}")


if __name__ == "__main__":
    main()
