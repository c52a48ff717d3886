"""Files that are replaced keep what the system knows of them, and nobody's edit is lost."""

import errno
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from coe_lsp import files
from coe_lsp.files import FileError, read_bounded, read_text_bounded, replace_file, replacing

NOBODY = 65534
as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can make files of others"
)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def by_nobody(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run some Python as an ordinary user, with `folder` as its working directory."""
    # What Python needs may be in a folder that only root can read: imported before.
    start = (
        f"import os, coe_lsp.files\nos.setgroups([])\nos.setgid({NOBODY})\nos.setuid({NOBODY})\n"
    )
    return subprocess.run(
        [sys.executable, "-c", start + textwrap.dedent(code)],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_new_file_has_the_usual_mode(tmp_path):
    before = os.umask(0o027)
    try:
        replace_file(tmp_path / "new", b"one\r\n")
    finally:
        os.umask(before)
    assert (tmp_path / "new").read_bytes() == b"one\r\n"
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640
    assert left(tmp_path) == ["new"]


@as_root
@pytest.mark.parametrize("expected", [None, b"old"])
def test_owner_mode_and_attributes_stay(tmp_path, expected):
    path = tmp_path / "mod.py"
    path.write_bytes(b"old")
    os.chown(path, 1234, 2345)
    path.chmod(0o640)
    os.setxattr(path, "user.note", b"mine")
    replace_file(path, b"new", expected=expected)
    now = path.stat()
    assert (now.st_uid, now.st_gid, now.st_mode & 0o7777) == (1234, 2345, 0o640)
    assert os.getxattr(path, "user.note") == b"mine"
    assert (path.read_bytes(), left(tmp_path)) == (b"new", ["mod.py"])


@as_root
def test_an_ordinary_user_does_not_take_over_another_s_file(tmp_path):
    """With a folder that all may write, a rename would make the file theirs."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own is closed to others
        place = Path(name)
        place.chmod(0o777)
        path = place / "mod.py"
        path.write_bytes(b"old")
        path.chmod(0o666)
        code = """
            try:
                coe_lsp.files.replace_file(coe_lsp.files.Path("mod.py"), b"new")
            except coe_lsp.files.FileError as error:
                print("refused:", error)
        """
        done = by_nobody(place, code)
        assert done.stdout.startswith("refused:") and "owner" in done.stdout, done
        assert (path.read_bytes(), path.stat().st_uid, left(place)) == (b"old", 0, ["mod.py"])
        os.chown(path, NOBODY, NOBODY)
        done = by_nobody(place, code)
        assert (done.stdout, path.read_bytes(), path.stat().st_uid) == ("", b"new", NOBODY), done


def test_other_names_and_read_only_files_are_refused(tmp_path):
    path = tmp_path / "mod.py"
    path.write_bytes(b"old")
    (tmp_path / "other.py").hardlink_to(path)
    with pytest.raises(FileError, match="2 names"):
        replace_file(path, b"new", expected=b"old")
    (tmp_path / "other.py").unlink()
    path.chmod(0o444)
    with pytest.raises(FileError, match="read-only"):
        replace_file(path, b"new", expected=b"old")
    with pytest.raises(FileError, match="not an ordinary file"):
        replace_file(tmp_path, b"new")
    assert (path.read_bytes(), left(tmp_path)) == (b"old", ["mod.py"])


def test_a_link_stays_and_what_it_names_is_replaced(tmp_path):
    target = tmp_path / "real" / "impl.py"
    target.parent.mkdir()
    target.write_bytes(b"old")
    (tmp_path / "link.py").symlink_to("real/impl.py")
    replace_file(tmp_path / "link.py", b"new", expected=b"old")
    assert (tmp_path / "link.py").readlink() == Path("real/impl.py")
    assert (target.read_bytes(), left(target.parent)) == (b"new", ["impl.py"])


@pytest.mark.parametrize("swap", [True, False])
def test_what_is_no_longer_there_is_not_made_again(tmp_path, monkeypatch, swap):
    if not swap:
        monkeypatch.setattr(files, "_exchanger", lambda: None)
    path = tmp_path / "mod.py"
    with pytest.raises(FileError, match="has changed"):
        replace_file(path, b"new", expected=b"old")
    path.write_bytes(b"mine")
    with pytest.raises(FileError, match="has changed"):
        replace_file(path, b"new", expected=b"old")
    assert (path.read_bytes(), left(tmp_path)) == (b"mine", ["mod.py"])


@pytest.mark.parametrize(
    "save",
    [
        lambda path, text: path.write_bytes(text),
        lambda path, text: (
            path.with_name("x").write_bytes(text),
            path.with_name("x").rename(path),
        ),
    ],
    ids=["in place", "by a rename"],
)
def test_an_edit_saved_at_the_last_moment_is_kept(tmp_path, monkeypatch, save):
    """Row 91: however late the editor saves, until the very exchange."""
    if sys.platform != "linux":
        pytest.skip("files can be exchanged on Linux only")
    path = tmp_path / "mod.py"
    path.write_bytes(b"old")
    exchange, calls = files._exchanger(), []

    def saved_just_before(one, other):
        if not calls:
            save(path, b"mine")
        if len(calls) == 1:  # and again, while the first save is being put back
            save(path, b"mine, too")
        calls.append(one)
        return exchange(one, other)

    monkeypatch.setattr(files, "_exchanger", lambda: saved_just_before)
    with pytest.raises(FileError, match="has changed"):
        replace_file(path, b"new", expected=b"old")
    assert (path.read_bytes(), left(tmp_path), len(calls)) == (b"mine, too", ["mod.py"], 3)


def test_a_block_that_raises_changes_nothing(tmp_path):
    path = tmp_path / "state.json"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), replacing(path) as part:
        part.write_bytes(b"half")
        raise KeyError
    assert (path.read_bytes(), left(tmp_path)) == (b"old", ["state.json"])


def refused(path: Path, most: int = 100) -> OSError:
    with pytest.raises(OSError) as told:
        read_bounded(path, most)
    return told.value


def test_ordinary_files_are_read_up_to_a_size(tmp_path):
    path = tmp_path / "mod.py"
    for size in (0, 99, 100):
        path.write_bytes(b"x" * size)
        assert read_bounded(path, 100) == b"x" * size
    path.write_bytes(b"x" * 101)
    assert refused(path).errno == errno.EFBIG
    os.truncate(path, 1 << 40)
    assert refused(path).errno == errno.EFBIG
    assert isinstance(refused(tmp_path / "missing"), FileNotFoundError)
    (tmp_path / "loop").symlink_to("loop")
    assert refused(tmp_path / "loop").errno == errno.ELOOP
    path.write_bytes(b"a\r\nb\rc\xff\n")
    assert read_text_bounded(path, errors="replace") == path.read_text(errors="replace")
    with pytest.raises(UnicodeDecodeError):
        read_text_bounded(path)


@pytest.mark.skipif(os.name == "nt", reason="no such files")
def test_pipes_devices_and_folders_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, place in (("zero", "/dev/zero"), ("link", "pipe"), ("terminal", "/dev/tty")):
        (tmp_path / name).symlink_to(place)
        assert refused(tmp_path / name).errno in (errno.EINVAL, errno.ENOENT)
    assert refused(tmp_path / "pipe").errno == errno.EINVAL
    assert isinstance(refused(tmp_path), IsADirectoryError)
    # A pipe that takes the place of a file between the look and the opening.
    (tmp_path / "mod.py").write_bytes(b"x")
    before = (tmp_path / "mod.py").stat()

    class Swapped(type(tmp_path)):
        def stat(self, **_):
            return before

    assert refused(Swapped(tmp_path / "pipe")).errno == errno.EINVAL


@pytest.mark.skipif(sys.platform != "linux", reason="a file whose size is not told")
def test_a_file_that_tells_no_size_is_read_up_to_it():
    status = Path("/proc/self/status")
    assert status.stat().st_size == 0
    assert read_bounded(status).startswith(b"Name:")
    assert refused(status).errno == errno.EFBIG
