"""What of an episode is learned: masks, tokens and batches."""

import pytest
from training_toys import toy_records, two_turns

from coe_lsp.chain.episode import Episode
from coe_lsp.chain.prompt import Segment, TaskDescription
from coe_lsp.chain.scratchpad import Scratchpad
from training.model.encode import NO_LABEL, collate, encode, make_batches


@pytest.mark.parametrize("masked", [(), (0,), (1,)])
def test_only_commands_and_their_ends_have_labels(tiny_tokenizer, masked):
    builder = tiny_tokenizer.builder(instructed=False)
    example = encode(two_turns(), tiny_tokenizer, builder, masked=masked)
    (end,) = tiny_tokenizer.encode(builder.command_end)
    learned = [label for label in example.labels if label != NO_LABEL]
    commands = ["### DELL 2", "### REPL 1 >>>c"]
    wanted = []
    for number, command in enumerate(commands):
        if number not in masked:
            wanted += [*tiny_tokenizer.encode(Segment(command)), end]
    assert learned == wanted
    for token, label in zip(example.ids, example.labels, strict=True):
        assert label in (NO_LABEL, token)
    # The state after the last turn is shown to nobody, so a command's end is the last token.
    assert example.ids[-1] == end


def test_tokens_are_those_of_the_serving_engine(tiny_tokenizer, tiny_gguf):
    from coe_lsp.chain.episode import episode_segments
    from coe_lsp.engine.engine import Engine

    odd = 'def f(x):\n\treturn "<|im_end|> é 🎉" >>>  # \u3000\n'
    episode = Episode(TaskDescription(odd, odd, (odd,)), Scratchpad(tuple(odd.split("\n")), odd))
    episode = episode.extend(episode.attempt(f"### REPL 1 >>>{odd[:9]}"), odd, False)
    builder = tiny_tokenizer.builder(instructed=True)
    segments = [segment for segment, _ in episode_segments(builder, episode)]
    with Engine(tiny_gguf, context_tokens=256) as engine:
        assert tiny_tokenizer.tokenize(segments, add_bos=True) == engine.tokenize(
            segments, add_bos=True
        )


def test_batches_hold_everything_once_and_fit(tiny_tokenizer):
    builder = tiny_tokenizer.builder(instructed=False)
    examples = [encode(record.episode, tiny_tokenizer, builder) for record in toy_records(40)]
    made = list(make_batches(examples, 300, "0/0"))
    assert sorted(e.ids for batch in made for e in batch) == sorted(e.ids for e in examples)
    assert all(max(len(e.ids) for e in batch) * len(batch) <= 300 for batch in made)
    assert list(make_batches(examples, 300, "0/0")) == made
    assert list(make_batches(examples, 300, "0/1")) != made
    batch = collate(made[0])
    assert batch.ids.shape == batch.mask.shape == batch.labels.shape
    assert int(batch.mask.sum()) == sum(len(e.ids) for e in made[0])
