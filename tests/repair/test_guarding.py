"""What a repair from a red test must not break, and what it must not take for a failure."""

import subprocess
import sys
import threading
import time

import pytest
from red_tests import Told, repair

from coe_lsp.execution.project import Project, ProjectOptions
from coe_lsp.repair.repair import Repair
from coe_lsp.repair.request import Request
from coe_lsp.repair.scout import scout
from coe_lsp.repair.way_in import WayIn, find_way_in


def passes(root, outcome, patch, *tests):
    """Whether real pytest passes with a patch written."""
    before = {name: (root / name).read_bytes() for name in patch.patch.files}
    for source in patch.patch.apply(outcome.sources).values():
        source.path.write_bytes(source.encode(source.lines))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--doctest-modules", *tests],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    for name, data in before.items():
        (root / name).write_bytes(data)
    return done.returncode == 0


WEAK = """
    from level import level

    def test_ten():
        assert level(10) is True
"""
EXAMPLE = """(n):
        '''A level.

        >>> level(11)
        False
        '''
"""
LEVEL = """
    def level(n):
        low = n < 10
        return low
"""


@pytest.mark.parametrize(
    "guard",
    [
        # One that reaches it through another module.
        {
            "shop.py": "from level import level\n\ndef cheap(n):\n    return level(n)\n",
            "test_shop.py": "from shop import cheap\n\ndef test_dear():\n    assert not cheap(11)\n",
        },
        # An example in the file itself.
        {"level.py": LEVEL.replace("(n):\n", EXAMPLE, 1)},
        # One beside a file that cannot be imported.
        {
            "test_a_broken.py": "import no_such_module\nfrom level import level\n",
            "test_level_too.py": "from level import level\n\ndef test_it():\n    assert not level(11)\n",
        },
    ],
)  # fmt: skip
def test_what_guards_from_afar(project, guard):
    root = project({"level.py": LEVEL, "test_level.py": WEAK, **guard})
    outcome, _ = repair(root, "test_level.py::test_ten")
    assert outcome.status == "repaired", outcome.message
    names = [n for n in guard if n.startswith("test_") and "broken" not in n] or ["level.py"]
    for patch in outcome.patches:
        assert passes(root, outcome, patch, "test_level.py", *names), patch.diff


def test_a_second_round_keeps_what_passed_before_the_first(project):
    root = project(
        {
            "app.py": "from util import combine\n\ndef up(n):\n    return n - 1\n\n"
            "def bill(a, b):\n    return combine(a, b)\n",
            "util.py": "def combine(a, b):\n    return a - b\n",
            "test_app.py": "from app import bill, up\n\ndef test_up():\n    assert up(3) == 4\n"
            "    assert up(0) == 1\n\ndef test_bill():\n    assert bill(5, 0) == 5\n",
            "test_util.py": "from util import combine\n\ndef test_combine():\n"
            "    assert combine(2, 2) == 4\n",
        }
    )
    outcome, _ = repair(root, "test_app.py", "test_util.py")
    assert outcome.status == "repaired", outcome.message
    for patch in outcome.patches:
        assert passes(root, outcome, patch), patch.diff


def test_a_change_is_not_taken_back_if_others_need_it(project):
    root = project(
        {
            "level.py": "def level(n):\n    return n + 0.5\n",
            "test_level.py": "from level import level\n\ndef test_it():\n    assert level(1) == 1.5\n",
        }
    )

    def git(*arguments):
        name = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", root, *name, *arguments], check=True, capture_output=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    (root / "level.py").write_text(
        "def level(n):\n    return 'n'\n\n\ndef checked():\n    return 1\n"
    )
    (root / "test_other.py").write_text(
        "from level import checked\n\ndef test_other():\n    assert checked() == 1\n"
    )
    outcome, watcher = repair(root, "test_level.py", budget=5)
    assert watcher.scouted.changes.hunks  # without which the test passes
    # Not the whole of it, which another test needs.
    back = [patch.reason for patch in outcome.patches if patch.takes_back]
    assert back == ["takes back your change of line 2 of level.py"]
    for patch in outcome.patches:
        assert passes(root, outcome, patch), patch.diff


def test_a_repair_that_is_proved_when_its_turn_is_over_counts(project):
    """The guards take longer than a turn, and there are several places."""
    root = project(
        {
            "level.py": LEVEL + "\n\n    def same(n):\n        return level(n)\n",
            "test_level.py": WEAK.replace("level(10)", "same(10)").replace("import level", "import same"),
            "test_slow.py": "import time\nfrom level import level\n\ndef test_slow():\n"
            "    time.sleep(2.5)\n    assert not level(11)\n",
        }
    )  # fmt: skip
    began = time.monotonic()
    outcome, watcher = repair(root, "test_level.py::test_ten", budget=40)
    assert outcome.status == "repaired", outcome.message
    assert len(set(watcher.places)) > 1
    assert time.monotonic() - began < 40


def test_a_suite_that_is_cut_is_not_failing(project):
    tests = "import time\n\n" + "".join(
        f"def test_{n}():\n    time.sleep(0.4)\n\n" for n in range(12)
    )
    root = project({"test_slow.py": tests})
    opened = Project.of_tests(root, ("test_slow.py",), ProjectOptions())
    with opened.start_runner() as runner:
        found = scout(root, runner, ("test_slow.py",), 5.0)
    assert found.targets == ()
    assert found.missing
    assert len(found.passed) + len(found.missing) == 12


def test_what_pytest_remembers_may_be_out_of_date(project):
    root = project({"level.py": LEVEL, "test_level.py": WEAK})
    cache = root / ".pytest_cache/v/cache/lastfailed"
    cache.parent.mkdir(parents=True)
    cache.write_text('{"test_level.py::test_renamed": true}')
    way = find_way_in([], root)
    assert way.remembered
    watcher = Told()
    outcome = Repair(Request(way, budget=10), None, watcher).run()
    assert watcher.scouted.targets == ("test_level.py::test_ten",)
    assert outcome.status == "repaired"


def test_cancel_ends_a_search_of_several_places(project):
    """No repair is to be found, and places take turns."""
    root = project(
        {
            "level.py": LEVEL + "\n\n    def same(n):\n        return level(n)\n",
            "test_level.py": "from level import same\n\ndef test_it():\n    assert same(3) == 'x'\n",
        }
    )
    watcher = Told()
    job = Repair(Request(WayIn(root, tests=("test_level.py",)), budget=60), None, watcher)
    timer = threading.Timer(6, job.cancel)
    timer.start()
    began = time.monotonic()
    outcome = job.run()
    timer.cancel()
    assert outcome.status == "failed"
    assert time.monotonic() - began < 15
