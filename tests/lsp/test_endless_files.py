"""Before anybody is asked about trust: what a project's names lead to holds the server up not."""

import asyncio
import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no such files")


@pytest.mark.parametrize("kind", ["device", "pipe", "dots"])
@pytest.mark.parametrize("name", ["pyproject.toml", "setup.cfg", "odd.py"])
async def test_a_request_is_answered(editor, clamp_project, name, kind):
    path = clamp_project / name
    if name == "odd.py":
        (clamp_project / "pyproject.toml").write_text(
            '[tool.pytest.ini_options]\npython_files = ["odd.py"]\n'
        )
    path.unlink(missing_ok=True)
    if kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_text("a." * 100_000 + "a = 1\n")
    editor.trust = asyncio.get_running_loop().create_future()
    await editor.start(clamp_project)
    pid = editor.lsp._server.pid
    try:
        uri = editor.open(path, text="x = 1\n") if name == "odd.py" else None
        uri = uri or editor.open(clamp_project / "ranges.py")
        assert await asyncio.wait_for(editor.actions(uri, 0), 5) is not None
        # It answers on: the question has come, and nothing was read in the meantime.
        if name != "odd.py":
            await editor.wait("trust", seconds=10)
        status = Path(f"/proc/{pid}/status")
        if status.exists():
            peak = next(s for s in status.read_text().splitlines() if s.startswith("VmHWM"))
            assert int(peak.split()[1]) < 600_000, peak
    except BaseException:
        editor.lsp._server.kill()
        raise
    editor.trust.set_result("Not now")
