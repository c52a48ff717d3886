"""The natural-language arm: SFT on s1K's reasoning traces (Muennighoff et al. 2025).

A row asks a question and gives a trace of thought and an answer; the model learns to think, then
to answer. Rows come from the hub (`simplescaling/s1K`) or from a JSON-lines file with the
same fields: `question`, `thinking_trajectories` (list of text) and `attempt` or `solution`. LoRA
and trainer are those for chains of edits; evaluate with the policy `s1k`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from coe_lsp.chain.prompt import Segment, chat_turn, start_of_answer
from training.model.base import Tokenizer
from training.model.encode import NO_LABEL, NO_TURN, TokenizedExample
from training.tasks.tasks import TaskError


def load_traces(name: str) -> list[dict[str, Any]]:
    """Rows from a file, or from the hub by repository name. TaskError if they cannot be had."""
    path = Path(name)
    if path.is_file():
        try:
            rows = [
                json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line
            ]
        except ValueError as error:
            raise TaskError(f"{path} is not a file of JSON lines: {error}.") from error
    elif path.suffix in (".json", ".jsonl") or path.is_absolute():
        raise TaskError(f"There is no file {name}.")
    else:
        try:
            from datasets import load_dataset  # type: ignore[import-not-found]

            loaded: Any = load_dataset(name, split="train")
            rows = list(loaded)
        except ImportError as error:
            raise TaskError(
                f"There is no file {name}, and the hub needs: pip install datasets."
            ) from error
        except Exception as error:  # whatever the hub's client raises
            raise TaskError(f"{name} cannot be fetched ({error}); name a file by path.") from error
    for row in rows:
        if not isinstance(row.get("question"), str) or not row.get("thinking_trajectories"):
            raise TaskError(f"{name} has rows without question and thinking_trajectories.")
    return rows


def encode_traces(
    rows: Iterable[dict[str, Any]], tokenizer: Tokenizer, *, max_tokens: int
) -> list[TokenizedExample]:
    """Question as the user's turn, thought and answer as the model's.

    What is longer than `max_tokens` loses the end of its thought, so that each learns to answer;
    rows whose question and answer alone are too long are left out.
    """
    format = tokenizer.format
    end = tokenizer.builder(instructed=False).command_end
    examples: list[TokenizedExample] = []
    for row in rows:
        asked = tokenizer.tokenize(
            [*chat_turn(format, "user", row["question"]), *start_of_answer(format)], add_bos=True
        )
        answer = row.get("attempt") or row.get("solution") or ""
        thought = row["thinking_trajectories"][0].strip()
        answered = tokenizer.encode(Segment(f"\n\nAnswer:\n{answer}")) + tokenizer.encode(end)
        room = max_tokens - len(asked) - len(answered)
        if room > 0:
            said = [*tokenizer.encode(Segment(thought))[:room], *answered]
            examples.append(
                TokenizedExample(
                    (*asked, *said),
                    (*[NO_LABEL] * len(asked), *said),
                    (*[NO_TURN] * len(asked), *[0] * len(said)),
                )
            )
    return examples
