"""What is told of work under way: in plain words, each thing once, with the time that is left."""

import asyncio
import re

import pytest
from lsprotocol import types

NO_HELP = "### REPL 5 >>>        return value - low + {}"


async def opened(editor, project):
    await editor.start(project)
    uri = editor.open(project / "ranges.py")
    await editor.diagnostics(uri)
    return uri


def reports(editor):
    return [p.value for p in editor.seen("progress") if p.value["kind"] == "report"]


async def test_what_is_tried_is_said_in_plain_words_with_the_time(editor, script, clamp_project):
    path = clamp_project / "ranges.py"
    path.write_text("# A comment above.\n" + path.read_text())
    script(
        delay=0.7,
        clamp=[NO_HELP.format(n) for n in range(4)] + ["### REPL 5 >>>        return high"],
    )
    editor.configuration = {"budget": 40}
    uri = await opened(editor, clamp_project)
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    await editor.wait("preview")
    (begin, *_) = editor.seen("progress")
    assert (begin.value["title"], begin.value["percentage"]) == ("Repair with CoE: clamp", 0)
    texts = [value["message"] for value in reports(editor)]
    said = re.compile(
        r"[0-2]/3 tests( \([0-2] at the best\))?, \d+/40 s: "
        r"line 6 changed to `return value - low \+ \d`"
    )
    assert any(said.fullmatch(text) for text in texts), texts
    assert not [text for text in texts if re.search("###|clamp|\\bturn", text)]
    percentages = [value["percentage"] for value in reports(editor) if "percentage" in value]
    assert percentages and percentages == sorted(percentages) and percentages[-1] < 100
    statuses = [s for s in editor.seen("status") if s.state == "repairing"]
    assert all(s.message.count("clamp") == 1 for s in statuses)
    assert [s.percentage for s in statuses if getattr(s, "percentage", None) is not None]


async def test_the_seconds_go_on_where_nothing_else_is_told(editor, script, clamp_project):
    script(delay=30, clamp=["### EXIT"])
    editor.configuration = {"budget": 30}
    uri = await opened(editor, clamp_project)
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    await editor.wait("progress", lambda p: "3/30 s: " in p.value.get("message", ""), seconds=20)
    said = [re.search(r"(\d+)/30 s: ", value["message"]) for value in reports(editor)]
    assert len({found[1] for found in said if found}) >= 3
    await editor.execute("coe.cancel")


async def test_what_is_fetched_is_counted_by_itself(editor, script, clamp_project):
    script(more={"fetching": 8}, clamp=["### REPL 5 >>>        return high"])
    uri = await opened(editor, clamp_project)
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    await editor.wait("preview")
    (begin, *told) = [p for p in editor.seen("work") if editor.titles[p.token] == "CoE"]
    assert begin.value["message"] == "the script from the hub"
    assert {p.token for p in told} == {begin.token} and told[-1].value["kind"] == "end"
    assert "fetching the model: 4 of 8 MB" in [p.value.get("message") for p in told]
    percentages = [p.value["percentage"] for p in told if "percentage" in p.value]
    assert percentages == sorted(percentages) and percentages[-1] == 100
    fetching = [s for s in editor.seen("status") if s.state == "fetching"]
    assert 50 in [getattr(s, "percentage", None) for s in fetching]
    # None of that is the repair's time.
    assert not [v for v in reports(editor) if "fetching" in v["message"]]
    assert all(
        re.search(r"\b[01]/60 s", v["message"]) for v in reports(editor) if "/60 s" in v["message"]
    )


async def test_fetching_can_be_cancelled(editor, script, clamp_project):
    script(more={"fetching": 1000}, clamp=["### EXIT"])
    uri = await opened(editor, clamp_project)
    await editor.execute("coe.repair", {"uri": uri, "function": "clamp"})
    told = await editor.wait("work", lambda p: "fetching" in p.value.get("message", ""))
    editor.cancel_progress(told.token)
    await editor.wait("status", lambda s: (s.state, s.message) == ("idle", "clamp: cancelled"))
    assert editor.messages() == []


async def test_tests_that_take_long_are_told_and_can_be_stopped(editor, clamp_project, write):
    write("tests/test_ranges.py", "import ranges, time\ndef test_a():\n    time.sleep(4)\n")
    await editor.start(clamp_project)
    uri = editor.open(clamp_project / "ranges.py")
    begun = await editor.wait("work", lambda p: p.value["kind"] == "begin")
    assert begun.value["title"] == "Tests of ranges.py"
    await editor.wait("work", lambda p: p.value.get("message") == "running for 3 s")
    editor.cancel_progress(begun.token)
    await editor.wait("work", lambda p: p.value["kind"] == "end", seconds=20)
    await editor.wait("status", lambda s: s.message == "ranges.py: the tests were stopped")
    assert editor.seen("diagnostics") == [] and editor.messages() == []
    editor.save(uri)  # the next check is one like any other
    await editor.wait("status", lambda s: s.message == "ranges.py: 1 passed, 0 failed")
    assert [p.value["kind"] for p in editor.seen("work")].count("end") == 2
    ends = [n for n, (k, p) in enumerate(editor.log) if k == "work" and p.value["kind"] == "end"]
    said = [n for n, (k, p) in enumerate(editor.log) if k == "status" and "1 passed" in p.message]
    assert ends[-1] < said[0]


async def test_tests_that_do_not_run_in_time_are_named(editor, clamp_project, write):
    tests = "".join(f"def test_{n}():\n    time.sleep(0.45)\n" for n in range(20))
    write("tests/test_ranges.py", f"import ranges, time\n{tests}")
    editor.configuration = {"testTimeout": 0.5}  # six seconds for all of them
    await editor.start(clamp_project)
    editor.open(clamp_project / "ranges.py")
    told = await editor.wait("message")
    assert re.match(r"ranges\.py: \d+ tests? did not run \(still running after 6 s\)", told.message)
    assert "of tests/test_ranges.py::test_" in told.message
    assert "coe.testTimeout" in told.message
    await editor.wait("status", lambda s: s.message.endswith(" not run"))


# -- a client that says where it wants to read of the progress


async def test_a_token_of_the_clients_is_used_and_answered_at_the_end(editor, clamp_project):
    uri = await opened(editor, clamp_project)
    editor.titles["mine"] = "Repair with CoE"
    answer = await editor.execute("coe.repair", {"uri": uri, "function": "clamp"}, token="mine")
    assert answer["repair"] == 1
    kinds = [p.value["kind"] for p in editor.seen("progress")]
    assert kinds[0] == "begin" and kinds[-1] == "end" and kinds.count("end") == 1
    assert {p.token for p in editor.seen("progress")} == {"mine"}
    assert editor.seen("progress")[-1].value["message"].startswith("`clamp` is repaired")
    await editor.wait("apply")


async def test_cancelling_the_request_cancels_the_repair(editor, script, clamp_project):
    script(delay=30, clamp=["### EXIT"])
    uri = await opened(editor, clamp_project)
    parameters = types.ExecuteCommandParams(
        "coe.repair", [{"uri": uri, "function": "clamp"}], "mine"
    )
    request = editor.lsp.protocol.send_request_async(
        "workspace/executeCommand", parameters, msg_id="the request"
    )
    waiting = asyncio.create_task(request)
    await editor.wait("status", lambda s: s.state == "repairing")
    editor.lsp.cancel_request(types.CancelParams("the request"))
    ended = await editor.wait("progress", lambda p: p.value["kind"] == "end", seconds=10)
    assert (ended.token, ended.value["message"]) == ("mine", "clamp: cancelled")
    with pytest.raises(Exception, match="cancel"):
        await waiting


async def test_the_server_says_that_commands_take_tokens(editor, clamp_project):
    result = await editor.start(clamp_project)
    assert result.capabilities.execute_command_provider.work_done_progress is True
