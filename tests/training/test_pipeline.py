"""What decides about a run: who is held out, how long it takes, what is told first, how it ends."""

import copy
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from attrs import evolve
from training_toys import CONFIG

from training.files import write_lines
from training.interruption import Interrupted, finishing_steps, handling_signals, stop_asked
from training.model.checkpoint import list_checkpoints, read_adapter
from training.pipeline.card import write_card
from training.pipeline.comparison import judge
from training.pipeline.config import RunConfig, read_config
from training.pipeline.estimate import Probe, estimate
from training.pipeline.held_out import choose_held_out, is_held_out
from training.pipeline.stages import run_tasks
from training.pipeline.starts import read_starts, run_held_out, run_starts, split_held_out
from training.pipeline.workspace import TrainingRun
from training.sampling.rollouts import Rollout
from training.session import Session
from training.sft import _Plan, train_sft
from training.tasks.tasks import Cleaned, Place, Task, load_tasks, save_tasks

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "training" / "configs"


def tasks_of(packages, others=0):
    made = [
        Task(
            f"{name}/{n}",
            "def f(): pass",
            ("t",),
            source=name,
            place=Place("/x", "m.py", f"f{n}", "python"),
        )
        for name, count in packages.items()
        for n in range(count)
    ]
    return made + [Task(f"plain/{n}", "def f(): pass", ("assert f",)) for n in range(others)]


def test_whole_packages_are_held_out_where_there_are_several():
    tasks = tasks_of({f"p{n}": 5 for n in range(20)} | {"large": 100}, others=50)
    held = choose_held_out(tasks, 0.1, seed=3)
    by_package = {}
    for task in tasks:
        by_package.setdefault(task.source, set()).add(task.task_id in held)
    assert all(len(found) == 1 for name, found in by_package.items() if name)
    assert by_package["large"] == {False}
    assert sum(task.place is not None for task in tasks if task.task_id in held) == 20
    assert sum(name.startswith("plain/") for name in held) == 5
    assert held == choose_held_out(tasks[::-1], 0.1, seed=3)
    assert held != choose_held_out(tasks, 0.1, seed=4)


def test_what_people_mended_in_a_function_is_held_out_with_it():
    one = tasks_of({"own": 20})
    both = [*one, *(evolve(task, task_id=f"{task.task_id}#mended") for task in one)]
    held = choose_held_out(both, 0.2, 0)
    assert len(held) == 8 and all(f"{name}#mended" in held for name in held if "#" not in name)
    packages = {f"p{n}": 5 for n in range(6)} | {"jinja2": 5, "pallets/jinja": 5}
    for seed in range(10):
        held = choose_held_out(tasks_of(packages), 0.3, seed)
        assert len({name in held for name in ("jinja2/0", "pallets/jinja/0")}) == 1


def test_of_one_package_functions_are_held_out_and_of_few_none():
    assert len(choose_held_out(tasks_of({"own": 30}), 0.1, 0)) == 3
    assert len(choose_held_out(tasks_of({"own": 6}), 0.1, 0)) == 1
    assert choose_held_out(tasks_of({"own": 4}), 0.1, 0) == frozenset()
    assert choose_held_out(tasks_of({"own": 30}), 0.0, 0) == frozenset()
    assert is_held_out("a#1/b#2#0", {"a#1/b"}, {"a#1/b"})
    assert not is_held_out("a#1", {"a#1/b"}, {"a#1/b"})


def test_the_estimate_counts_what_the_settings_allow():
    config = RunConfig("x", processes=2, stages=("rejection",))
    config = evolve(
        config,
        demonstrations=evolve(config.demonstrations, per_task=10),
        sft=evolve(config.sft, epochs=2.0),
        starts=evolve(config.starts, corrupted=2, written=0, tasks=50, held_out=30),
        rejection=evolve(config.rejection, each=4),
    )
    measured = Probe(chain_tokens=500, test_seconds=0.3, tokens_per_second=100)
    found = estimate(config, 100, 10, measured)
    assert (found.functions, found.demonstrations) == (100, 1000)
    assert found.tokens == 90 * 10 * 500 * 2
    assert found.sft_minutes == pytest.approx(900_000 / 100 / 60)
    assert found.demonstrations_minutes == pytest.approx(1000 * 4 * 0.3 / 2 / 60)
    # 100 starts are tried by one chain and then by four; three arms repair 30 in the end.
    assert found.chains == 3 * 30 + 100 * 5
    bounded = estimate(
        evolve(config, sft=evolve(config.sft, most_tokens=60_000)), 100, 10, measured
    )
    assert bounded.tokens == 60_000 and bounded.sft_minutes == pytest.approx(10)
    assert "About 3.5 hours for 100 functions" in str(found)
    assert "sft.most_tokens" in str(found)


def test_a_bound_on_tokens_ends_training_early(toy):
    whole = _Plan(toy, CONFIG, 1, 1)
    tokens = sum(len(example.ids) for example in toy)
    half = _Plan(toy, evolve(CONFIG, most_tokens=2 * tokens), 1, 1)
    assert half.steps == whole.steps // 2
    assert _Plan(toy, evolve(CONFIG, most_tokens=99 * tokens), 1, 1).steps == whole.steps


def test_the_laptop_has_limits():
    config = read_config(CONFIGS / "laptop.toml")
    assert config.tasks.most and config.sft.most_tokens
    slow = Probe(chain_tokens=450, test_seconds=0.5, tokens_per_second=100)
    found = estimate(config, config.tasks.most, round(0.1 * config.tasks.most), slow)
    assert found.demonstrations_minutes + found.sft_minutes + found.sampling_minutes < 5 * 60


def test_sft_keeps_the_step_of_the_lowest_validation_loss(tiny_model, toy, tmp_path, monkeypatch):
    losses, adapters = iter([0.5, 0.2, 0.9, 0.3]), []

    def validate(model, *_):
        adapters.append({name: value.clone() for name, value in model.adapter_state().items()})
        return {"validation_loss": next(losses, 1.0), "command_accuracy": 0.0}

    monkeypatch.setattr("training.sft.validate", validate)
    config = evolve(CONFIG, evaluate_every=1, epochs=1)
    assert train_sft(tiny_model, toy, toy[:2], config, Session(tmp_path, 1, device="cpu"))
    assert len(adapters) > 2
    kept = read_adapter(tmp_path / "adapter")
    assert all((value == kept[name]).all() for name, value in adapters[1].items())
    assert any((value != kept[name]).any() for name, value in adapters[-1].items())


def test_sft_ends_where_held_out_functions_gain_nothing_more(
    tiny_model, toy, tmp_path, monkeypatch
):
    """Two evaluations after the best one, whether it was interrupted or not; else at the end."""
    losses = iter([0.5, 0.2, 0.9, 0.3, 0.1])

    def validate(*_):
        return {"validation_loss": next(losses), "command_accuracy": 0.0}

    monkeypatch.setattr("training.sft.validate", validate)
    config = evolve(CONFIG, evaluate_every=1, patience=2, save_every=1)
    steps = []
    for minutes in (0.0, 0.0, 0.0, float("inf")):
        session = Session(tmp_path, 1, device="cpu", minutes=minutes)
        done = train_sft(
            copy.deepcopy(tiny_model), toy, toy[:2], config, session, lambda s: steps.append(s.step)
        )
        assert done == (minutes > 0)
    assert steps == [1, 2, 3, 4] and _Plan(toy, config, 1, 1).steps > 4
    assert json.loads((tmp_path / "best" / "state.json").read_text())["step"] == 2


@pytest.mark.parametrize("config", ["nope", "bad.toml", "project.toml"])
def test_what_is_wrong_is_told_before_pytorch_is_loaded(config, tmp_path):
    (tmp_path / "bad.toml").write_text('out = "x"\n[sft]\nepochs = "many"')
    (tmp_path / "project.toml").write_text(
        f'out = "{tmp_path}/out"\n[model]\nbase = "{tmp_path}"\n[tasks]\nproject = "{tmp_path}/none"'
    )
    code = (
        "import sys\nfrom training.__main__ import main\n"
        f"code = main(['run', '--config', {config!r}])\n"
        "heavy = [n for n in ('torch', 'transformers', 'peft', 'accelerate') if n in sys.modules]\n"
        "print(code, heavy)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[-2] == "2 []", done.stdout
    said = {"nope": "cannot be read", "bad.toml": "got 'many'", "project.toml": "is no folder"}
    assert said[config] in done.stderr


def test_a_step_is_finished_before_a_signal_ends_it():
    with pytest.raises(Interrupted) as caught, handling_signals(), finishing_steps():
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop_asked()
        os.kill(os.getpid(), signal.SIGTERM)  # once more
        pytest.fail("the second signal does not wait")
    assert caught.value.exit_code == 143
    with handling_signals():
        assert not stop_asked()
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGINT)


def test_training_that_is_asked_to_stop_saves_the_step(tiny_model, toy, tmp_path):
    def report(state):
        if state.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    config = evolve(CONFIG, save_every=100)
    with pytest.raises(Interrupted), handling_signals():
        session = Session(tmp_path, 1, device="cpu")
        assert not train_sft(tiny_model, toy, [], config, session, report)
        assert [path.name for path in list_checkpoints(tmp_path)] == ["step-2"]
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX")
def test_a_run_says_that_it_was_terminated_and_its_exit_code_says_so_too(task, tmp_path):
    """While demonstrations are made; what was made before is kept."""
    tasks = [
        evolve(task, task_id=f"t/{n}", reference=task.reference.replace("total", f"total{n}"))
        for n in range(40)
    ]
    save_tasks(tmp_path / "tasks.jsonl", tasks)
    code = (
        "import sys\nfrom training.__main__ import main\n"
        "from training.pipeline import run\n"
        "run.check_request = run.check_machine = lambda *_: None\n"
        "run.run_estimate = lambda _: True\n"
        "sys.exit(main(['run', '--config', 'x.toml']))"
    )
    (tmp_path / "x.toml").write_text(
        'out = "out"\nprocesses = 1\n[tasks]\nfiles = ["tasks.jsonl"]\n[demonstrations]\nper_task = 2'
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    part = tmp_path / "out" / "demonstrations.jsonl.part"
    end = time.monotonic() + 120
    try:
        while not (part.exists() and part.read_text().count("\n") > 2):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.05)
    finally:
        process.terminate()
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143, said
    assert "interrupted; the same command goes on" in said
    assert part.read_text().count("\n") > 2


def test_the_new_adapter_has_to_be_better_to_be_used():
    def arm(*right):
        return {f"t{n}": float(n in right) for n in range(8)}

    better = judge({"new": arm(0, 1, 2), "shipped": arm(0), "none": arm()})
    assert (better.use, better.right) == ("new", {"new": 3, "shipped": 1, "none": 0})
    assert (better.against.more, better.against.fewer) == (2, 0)
    said = " ".join(better.lines())
    assert "Use the new adapter. The difference may be chance." in said
    assert "the new adapter 3, the shipped one 1, no adapter 0" in said
    assert judge({"new": arm(0), "shipped": arm(1), "none": arm()}).use == "shipped"
    assert judge({"new": arm(), "none": arm()}).use == "none"
    sure = judge({"new": arm(*range(8)), "none": arm()})
    assert sure.use == "new" and "chance" not in " ".join(sure.lines())


def test_a_card_says_what_was_realised(tiny_gguf, tmp_path):
    config = evolve(RunConfig(str(tmp_path)), stages=("rlvr",))
    run = TrainingRun(evolve(config, model=evolve(config.model, base=str(tiny_gguf))), print)
    (tmp_path / "tasks.json").write_text(json.dumps({"kept": 7, "dropped": {"duplicate": 2}}))
    (tmp_path / "demonstrations.json").write_text(
        json.dumps(
            {
                "demonstrations": 50,
                "turns_mean": 1.5,
                "distance_mean": 9.0,
                "realised_mix": {"guard": 0.75, "human fix": 0.25},
                "commands": {"REPL": 40},
            }
        )
    )
    log = {"step": 3, "tokens": 100, "seconds": 60.0}
    write_lines(tmp_path / "sft" / "metrics.jsonl", [json.dumps(log)] * 3)
    step = {"step": 1, "groups": 5, "groups_alike": 3}
    write_lines(tmp_path / "rlvr" / "metrics.jsonl", [json.dumps(step)] * 13)
    card = write_card(run, tmp_path / "tiny-coe-v1.gguf").read_text()
    head, _, body = card.removeprefix("---\n").partition("\n---\n")
    keys = dict(line.split(": ", 1) for line in head.split("\n"))
    (tmp_path / "qwen2.5-coder-0.5b").mkdir()  # as on a rented machine
    named = evolve(
        run,
        config=evolve(
            run.config, model=evolve(run.config.model, base=str(tmp_path / "qwen2.5-coder-0.5b"))
        ),
    )
    assert (
        "base_model: Qwen/Qwen2.5-Coder-0.5B-Instruct\n"
        in write_card(named, tmp_path / "x.gguf").read_text()
    )
    assert keys["base_model"] == str(tiny_gguf) and keys["library_name"] == "gguf"
    assert keys["tags"].startswith("[lora")
    assert "| realised mix | guard 75%, human fix 25% |" in body
    assert "3 steps, 300 tokens, 3 minutes" in body
    assert f"13 of {config.rlvr.steps} steps, {13 * 8 * config.rlvr.num_generations} chains" in body


def test_starts_are_fresh_faults_that_a_greedy_chain_leaves(
    task, tiny_gguf, sandbox, tmp_path, monkeypatch
):
    """None of a held-out function, none that a demonstration begins with."""
    tasks = [
        evolve(task, task_id=f"t/{n}", reference=task.reference.replace("total", f"total{n}"))
        for n in range(5)
    ]
    config = RunConfig(str(tmp_path), processes=2, stages=("rlvr",), held_out=0.2)
    config = evolve(
        config,
        model=evolve(config.model, base=str(tiny_gguf), device="cpu"),
        starts=evolve(config.starts, corrupted=2, written=0, held_out=3),
    )
    run = TrainingRun(config, lambda *_: None)
    save_tasks(run.file("tasks.jsonl"), tasks)
    held = choose_held_out(tasks, 0.2, config.seed)
    assert len(held) == 1
    write_lines(run.file("demonstrations.jsonl"), [])
    monkeypatch.setattr("training.pipeline.starts.open_adapter_generator", NoModel)
    tried = []

    def chains(generator, starts, **options):
        programs = [start.program for start in starts]
        tried.extend(programs)
        return [[Rollout(solved_or_not(program))] for program in programs]

    from training_toys import ended

    easy = set()

    def solved_or_not(program):
        return ended("s") if program in easy else ended("m")

    monkeypatch.setattr("training.pipeline.starts.roll_out", chains)
    assert run_held_out(run)
    programs = read_starts(run, "held_out.jsonl")
    assert {p.task_id.rpartition("#")[0] for p in programs} == held and 1 < len(programs) <= 3
    assert run_starts(run)
    made = read_starts(run)
    assert len(made) == len(tried) >= 4
    names = {p.task_id.rpartition("#")[0] for p in made}
    assert names <= {t.task_id for t in tasks} - held
    # Once more, with one of them as a demonstration and another one easy.
    easy.add(tried[-1])
    shown = {
        "task_id": made[0].task_id.rpartition("#")[0],
        "start": {"lines": made[0].code.split("\n")},
    }
    write_lines(run.file("demonstrations.jsonl"), [json.dumps(shown)])
    run.file("starts.hard.jsonl").unlink()
    assert run_starts(run)
    again = {(p.task_id.rpartition("#")[0], p.code) for p in read_starts(run)}
    assert (shown["task_id"], made[0].code) not in again
    assert tried[-1] not in {code for _, code in again}


class NoModel:
    at_once = 4

    def __init__(self, *_, **__):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_functions_that_choose_a_step_do_not_compare(task, tmp_path):
    run = TrainingRun(RunConfig(str(tmp_path)), lambda *_: None)

    def split(*functions):
        ids = [f"{name}#{n}" for n in range(3) for name in functions]
        save_tasks(tmp_path / "held_out.jsonl", [evolve(task, task_id=each) for each in ids])
        return [{each.task_id[0] for each in part} for part in split_held_out(run)]

    assert split("a", "b", "c") == [{"b"}, {"a", "c"}]
    assert split("a") == [set(), {"a"}]
    plain = evolve(run, config=evolve(run.config, stages=()))
    assert [len(part) for part in split_held_out(plain)] == [0, 3]


def test_what_was_harvested_is_not_harvested_again(task, tmp_path, monkeypatch):
    """Each part is kept when it is done; when the time is up the next one waits for the next call."""
    asked = []

    def harvests(run):
        def harvest(name):
            asked.append(name)
            made = evolve(task, task_id=name, reference=task.reference.replace("total", name))
            return Cleaned((made,), Counter({"too long": 2}))

        return [(name, partial(harvest, name)) for name in ("project", "history")]

    monkeypatch.setattr("training.pipeline.stages.find_harvests", harvests)
    config = RunConfig(str(tmp_path))
    late = TrainingRun(config, lambda *_: None, deadline=0.0)
    assert not run_tasks(late) and asked == ["project"]
    assert run_tasks(late) and asked == ["project", "history"]
    assert {each.task_id for each in load_tasks(str(tmp_path / "tasks.jsonl"))} == set(asked)
    counts = json.loads((tmp_path / "tasks.json").read_text())
    assert counts == {"kept": 2, "dropped": {"too long": 4}}
