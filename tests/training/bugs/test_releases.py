"""Releases come from the index as data, and archives cannot reach out of their folder."""

import contextlib
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from training.bugs.bugs import BugError
from training.bugs.releases import fetch_release, find_releases, requirements, unpack


def sdist(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


@pytest.fixture
def index(monkeypatch):
    """A package index with one package; its files by name can be added to."""
    files = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.rstrip("/").rpartition("/")[2]
            if self.path == "/simple/tools/":
                kind = "application/vnd.pypi.simple.v1+json"
                entries = [
                    {"filename": n, "url": f"/files/{n}", "hashes": {"sha256": digest}}
                    for n, (_, digest) in files.items()
                ]
                meta = {"meta": {"api-version": "1.0"}, "name": "tools", "files": entries}
                body = json.dumps(meta).encode()
            elif name in files:
                kind, body = "application/octet-stream", files[name][0]
            else:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple/")
    yield files
    server.shutdown()
    thread.join()
    server.server_close()


def add(files, name, data, digest=None):
    files[name] = data, digest or hashlib.sha256(data).hexdigest()


def test_final_releases_in_order(index, tmp_path):
    for version in ("1.10", "1.9", "2.0rc1", "1.2"):
        add(index, f"tools-{version}.tar.gz", sdist({f"tools-{version}/tools.py": version}))
    add(index, "tools-3.0-py3-none-any.whl", b"no sdist")
    found = find_releases("tools")
    assert [release.version for release in found] == ["1.2", "1.9", "1.10"]
    tree = fetch_release(found[-1], "tools", tmp_path)
    assert (tree / "tools.py").read_text() == "1.10"
    index.clear()
    assert fetch_release(found[-1], "tools", tmp_path) == tree  # nothing is fetched again


def test_damaged_files_are_refused(index, tmp_path):
    add(index, "tools-1.0.tar.gz", sdist({"tools-1.0/tools.py": "x"}), digest="0" * 64)
    with pytest.raises(BugError, match="cannot be fetched"):
        fetch_release(find_releases("tools")[0], "tools", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_unknown_packages_are_told(index):
    with pytest.raises(BugError, match="no package nothing"):
        find_releases("nothing")


@pytest.mark.parametrize("name", ["../outside.py", "/tmp/coe-outside.py"])
def test_names_that_lead_out_stay_inside(tmp_path, name):
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(sdist({name: "x"}))
    with contextlib.suppress(tarfile.TarError):
        unpack(archive, tmp_path / "tree")
    assert not (tmp_path / "outside.py").exists()
    assert [p for p in tmp_path.rglob("*.py") if not p.is_relative_to(tmp_path / "tree")] == []


def test_links_are_left_out(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("tools/passwords")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    (tmp_path / "a.tar.gz").write_bytes(buffer.getvalue())
    unpack(tmp_path / "a.tar.gz", tmp_path / "tree")
    assert not (tmp_path / "tree/tools/passwords").is_symlink()


def test_far_too_many_files_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(20_001):
            archive.writestr(f"f{number}", "")
    with pytest.raises(BugError, match="too large"):
        unpack(tmp_path / "a.zip", tmp_path / "tree")


def test_needs_of_this_machine_without_extras(tmp_path):
    (tmp_path / "PKG-INFO").write_text(
        "Metadata-Version: 2.1\nName: tools\n"
        "Requires-Dist: six>=1.0\n"
        'Requires-Dist: backport; python_version < "3"\n'
        'Requires-Dist: sphinx; extra == "docs"\n\nDescription\n'
    )
    assert requirements(tmp_path) == ["six>=1.0"]
    assert requirements(tmp_path / "nowhere") == []
