"""Adapters merged into models: the same answers, made once, nothing left behind."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from coe_lsp.engine.engine import Engine
from coe_lsp.models import merged as merged_module
from coe_lsp.models.adapters import find_adapter
from coe_lsp.models.download import NoProgress
from coe_lsp.models.lora_gguf import LoraError, merge_lora
from coe_lsp.models.merged import DamagedError, ensure_merged, mend, merged_files, verify_merged
from coe_lsp.models.sources.fetch import NoSpaceError
from coe_lsp.repair.policy.loading import ModelOptions, load_model

TEXT = "def total(numbers):\n    result = 0\n    for number in numbers:\n        result += number\n"


def write_adapter(path, base, seed=0, wrong=False):
    """A LoRA of rank 4 on two layers' matrices, with a visible effect."""
    import gguf

    random = np.random.default_rng(seed)
    reader = gguf.GGUFReader(base)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, 8.0)
    for tensor in reader.tensors:
        if tensor.name in ("blk.3.ffn_down.weight", "blk.20.attn_q.weight"):
            columns, rows = (int(n) for n in tensor.shape)
            rows += wrong
            a = random.normal(size=(4, columns)) * 0.3
            b = random.normal(size=(rows, 4)) * 0.3
            writer.add_tensor(f"{tensor.name}.lora_a", a.astype(np.float16))
            writer.add_tensor(f"{tensor.name}.lora_b", b.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def tiny(tmp_path):
    """Enough of a model to be merged into, not to be run."""
    import gguf

    writer = gguf.GGUFWriter(tmp_path / "tiny.gguf", "llama")
    writer.add_block_count(32)
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    random = np.random.default_rng(0)
    for name in ("blk.3.ffn_down.weight", "blk.20.attn_q.weight", "blk.21.attn_q.weight"):
        writer.add_tensor(name, random.normal(size=(32, 64)).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / "tiny.gguf"


class Said(NoProgress):
    def __init__(self):
        self.texts, self.total, self.done = [], 0, 0

    def start(self, total, description):
        self.total = total

    def advance(self, count):
        self.done += count

    def message(self, text):
        self.texts.append(text)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COE_LSP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models" / "merged"


def likelihood(path, adapter=None):
    class Whole:
        text, special = TEXT, False

    with Engine(path, adapter=adapter, context_tokens=256) as engine:
        tokens = engine.tokenize([Whole()], add_bos=True)
        sequence = engine.sequence()
        sequence.append(tokens[:2])
        return np.array(engine.score(sequence, [tokens[2:]])[0])


@pytest.mark.model
def test_a_merged_model_answers_as_model_and_adapter_do(small_model, tmp_path):
    adapter = write_adapter(tmp_path / "adapter.gguf", small_model)
    plain, beside = likelihood(small_model), likelihood(small_model, adapter)
    effect = np.abs(plain - beside).mean()
    assert effect > 0.5
    for kind, most in (("F16", 0.2), ("Q8_0", 0.2), ("Q4_0", 0.4)):
        path = tmp_path / f"{kind}.gguf"
        merge_lora(small_model, adapter, path, kind)
        assert np.abs(likelihood(path) - beside).mean() < most * effect, kind


def test_what_does_not_fit_is_refused_and_leaves_nothing(tiny, tmp_path):
    adapter = write_adapter(tmp_path / "adapter.gguf", tiny, wrong=True)
    with pytest.raises(LoraError, match="does not belong to this model"):
        merge_lora(tiny, adapter, tmp_path / "merged.gguf", "Q4_0")
    with pytest.raises(LoraError, match="not a LoRA adapter"):
        merge_lora(tiny, tiny, tmp_path / "merged.gguf", "Q4_0")
    good = write_adapter(tmp_path / "good.gguf", tiny)

    def cancel(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge_lora(tiny, good, tmp_path / "merged.gguf", "Q4_0", cancel)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["adapter.gguf", "good.gguf", "tiny.gguf"]


def test_a_pair_is_merged_once_and_the_newest_are_kept(tiny, cache, tmp_path):
    one, two, three = (write_adapter(tmp_path / f"{seed}.gguf", tiny, seed) for seed in (1, 2, 3))
    said = Said()
    first = ensure_merged(tiny, one, said)
    assert said.done <= said.total == tiny.stat().st_size
    assert said.done == 3 * 32 * 64 * 4
    import gguf

    made, given = gguf.GGUFReader(first), gguf.GGUFReader(tiny)
    assert [t.tensor_type.name for t in made.tensors] == ["Q8_0", "Q8_0", "F32"]
    assert (made.tensors[2].data == given.tensors[2].data).all()
    assert made.fields["tokenizer.ggml.tokens"].contents() == ["a", "b"]
    born = first.stat().st_ino
    assert ensure_merged(tiny, one, NoProgress()) == first
    assert first.stat().st_ino == born
    second = ensure_merged(tiny, two, NoProgress())
    third = ensure_merged(tiny, three, NoProgress())
    assert {path.name for path in cache.glob("*.gguf")} == {second.name, third.name}
    write_adapter(two, tiny, 4)  # trained anew
    assert ensure_merged(tiny, two, NoProgress()) not in (second, third)


@pytest.mark.model
def test_without_room_the_adapter_stays_beside_the_model(small_model, cache, tmp_path, monkeypatch):
    adapter = write_adapter(tmp_path / "adapter.gguf", small_model)
    folder = cache.parent
    folder.mkdir(parents=True)
    (folder / small_model.name).symlink_to(small_model)

    def full(folder, needed):
        raise NoSpaceError("There is not enough room.")

    monkeypatch.setattr(merged_module, "require_space", full)
    said = Said()
    model = load_model(ModelOptions("smollm2-135m", str(adapter), samples=1), said)
    try:
        with model.policy() as loaded:
            assert loaded.model.adapter == "adapter.gguf"
            assert loaded.trained
    finally:
        model.close()
    assert any("stays beside the model" in text for text in said.texts)
    assert not list(cache.glob("*.gguf"))


def test_merging_can_be_stopped_at_any_time(tiny, cache, tmp_path, monkeypatch):
    adapter = write_adapter(tmp_path / "adapter.gguf", tiny)
    begun, go = threading.Event(), threading.Event()

    def slow(model, adapter, target, kind, on_bytes):
        begun.set()
        go.wait(10)
        merge_lora(model, adapter, target, kind, on_bytes)

    class Stop(NoProgress):
        def advance(self, count):
            if begun.is_set():
                raise KeyboardInterrupt

    monkeypatch.setattr("coe_lsp.models.lora_gguf.merge_lora", slow)
    with pytest.raises(KeyboardInterrupt):
        ensure_merged(tiny, adapter, Stop())
    assert not go.is_set()
    go.set()
    for thread in threading.enumerate():
        if thread.name == "coe-merge":
            thread.join(10)
    assert [path.name for path in cache.iterdir() if path.suffix != ""] == []
    assert ensure_merged(tiny, adapter, NoProgress()).is_file()


def flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[:-100], lambda data: b"GGUF" + bytes(100), flip],
    ids=["empty", "truncated", "garbage", "flipped"],
)
def test_a_damaged_file_is_made_anew(tiny, cache, tmp_path, damage):
    adapter = write_adapter(tmp_path / "adapter.gguf", tiny)
    path = ensure_merged(tiny, adapter, NoProgress())
    good, stat = path.read_bytes(), path.stat()
    path.write_bytes(damage(good))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a failing disk would leave it
    with pytest.raises(DamagedError, match="damaged"):
        verify_merged(path, "tiny")
    said = Said()
    assert ensure_merged(tiny, adapter, said) == path
    assert path.read_bytes() == good
    assert any("made anew" in text for text in said.texts)
    assert len(verify_merged(path, "tiny")) == 64
    assert sorted(p.suffix for p in cache.iterdir() if p.suffix) == [".gguf", ".sha256"]


def test_a_file_without_its_sum_is_made_anew(tiny, cache, tmp_path):
    """A kill came between the two."""
    adapter = write_adapter(tmp_path / "adapter.gguf", tiny)
    path = ensure_merged(tiny, adapter, NoProgress())
    path.with_name(path.name + ".sha256").unlink()
    said = Said()
    assert ensure_merged(tiny, adapter, said) == path
    assert said.total and path.with_name(path.name + ".sha256").is_file()


def test_what_is_damaged_is_mended_or_removed(tiny, cache, tmp_path):
    one, two = (write_adapter(tmp_path / f"{seed}.gguf", tiny, seed) for seed in (1, 2))
    first, second = ensure_merged(tiny, one, NoProgress()), ensure_merged(tiny, two, NoProgress())
    good = first.read_bytes()
    for path in (first, second):
        path.write_bytes(b"GGUF")
    assert merged_files(tiny) == sorted([first, second])
    mend(tiny, one, NoProgress())
    assert (first.read_bytes(), merged_files(tiny)) == (good, [first])


def test_what_a_kill_left_is_removed_at_the_next_use(tiny, cache, tmp_path):
    """Row 71: although the file itself is there; but not what another process still writes."""
    adapter = write_adapter(tmp_path / "adapter.gguf", tiny)
    code = (
        "import os, sys, pathlib, signal, coe_lsp.models.merged as m\n"
        "from coe_lsp.models.download import NoProgress\n"
        "class Kill(NoProgress):\n"
        "    def advance(self, count):\n"
        "        if list(m._folder().glob('*.part')): os.kill(os.getpid(), signal.SIGKILL)\n"
        "m._POLL = 0.0001\n"
        "m.ensure_merged(*map(pathlib.Path, sys.argv[1:]), Kill())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tiny, adapter], check=False, timeout=60)
    left = list(cache.glob("*.part"))
    assert (done.returncode, len(left), list(cache.glob("*.gguf"))) == (-9, 1, [])
    content = left[0].read_bytes()
    path = ensure_merged(tiny, adapter, NoProgress())
    assert list(cache.glob("*.part")) == []
    left[0].write_bytes(content)
    holder = subprocess.Popen(
        [sys.executable, "-c", "import filelock, sys\nwith filelock.FileLock(sys.argv[1]):\n"
         "    print(flush=True)\n    sys.stdin.read()", cache / "lock"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    holder.stdout.readline()
    assert ensure_merged(tiny, adapter, NoProgress()) == path
    assert list(cache.glob("*.part")) == left
    holder.communicate()
    assert ensure_merged(tiny, adapter, NoProgress()) == path
    assert list(cache.glob("*.part")) == []


@pytest.mark.model
def test_verify_names_what_is_damaged_and_pull_mends_it(small_model, cache):
    """Row 73, as a user would do it."""
    cache.mkdir(parents=True)
    model = cache.parent / small_model.name
    model.symlink_to(small_model)
    path = ensure_merged(model, find_adapter("smollm2-135m"), NoProgress())
    path.write_bytes(flip(path.read_bytes()))

    def models(action):
        return subprocess.run(
            [sys.executable, "-m", "coe_lsp", "models", action, "smollm2-135m"],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    done = models("verify")
    assert done.returncode == 2
    assert path.name in done.stderr.replace("\n", "") and "models pull smollm2-135m" in done.stderr
    assert models("pull").returncode == 0
    done = models("verify")
    assert (done.returncode, path.name in done.stdout) == (0, True), done
