"""What of the disk the tests see: the system's programs, the Python that runs them, the project.

All else is absent, not hidden: the sandbox starts from an empty root, as nsjail's does, so that a
secret in a place that nobody thought of is out of reach as well. What is shown is read-only, or the
project is a copy-on-write view: what is written there lies in memory and ends with the sandbox.

Two things need more care. A project that *is* a home folder, or a temporary one, is shown without
what does not look like a part of a Python project. And Unix sockets in shown folders are masked,
since a read-only mount does not keep anybody from connecting to them; one that another program
makes there later, while the sandbox lives, is not.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from coe_lsp.errors import CoeError
from coe_lsp.execution.dependents import source_folders

SCRATCH = "/dev/shm"
"""Where the tests may write: a folder in memory. A place that no project can cover, as /tmp is."""
_SCRATCH_BYTES = 256 << 20

# Linked to /usr on current systems, folders of their own on older ones.
_SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# What packages of these systems are linked with.
_PACKAGE_STORES = ("/nix/store", "/gnu/store")
# Each is mounted by itself, which takes time: no more than Python and its packages ask for.
_ETC_FILES = [
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "fonts",
    "group",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "locale.alias",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "pki/ca-trust",
    "pki/tls/cert.pem",
    "pki/tls/certs",
    "protocols",
    "services",
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/openssl.cnf",
    "timezone",
]
_TEMPORARY_FOLDERS = (Path("/tmp"), Path("/var/tmp"))
_NEVER_PROJECTS = (Path("/proc"), Path("/sys"), Path("/dev"), Path("/etc"))
_PROCESSOR_FOLDERS = ("/sys/devices/system/cpu", "/sys/devices/system/node")

_PROJECT_SUFFIXES = {".py", ".pyi", ".toml", ".ini", ".cfg"}
_PYTHON_FILES = ("__init__.py", "conftest.py")
MAX_PROJECT_ENTRIES = 50_000


class HiddenError(CoeError):
    """A project cannot be shown without showing what must be hidden."""


@frozen
class View:
    """What is shown besides the system.

    `packages` are the folders of an interpreter and what is installed for it, `extra` those of
    other code that is used, and those that the user named; `links` are shown as they are on the
    disk, without what is around them. The project is `copied` on write if tests write into it.
    """

    project: Path
    packages: tuple[Path, ...] = ()
    extra: tuple[Path, ...] = ()
    links: tuple[tuple[Path, str], ...] = ()
    copied: bool = False

    @property
    def project_folders(self) -> tuple[Path, ...]:
        """The project's folder by all its names, its repository's, and the extra ones."""
        return _with_targets([*with_repository(self.project), *self.extra])

    @property
    def shown(self) -> tuple[Path, ...]:
        """All folders."""
        found = dict.fromkeys((*self.project_folders, *_with_targets(self.packages)))
        real = [folder for folder in found if folder == folder.resolve()]
        # A link in a folder that is shown leads on by itself.
        return tuple(f for f in found if f in real or not any(f.is_relative_to(r) for r in real))


def _with_targets(folders: Iterable[Path]) -> tuple[Path, ...]:
    """Each by the name that it was given and by its real one."""
    return tuple(dict.fromkeys(p for f in folders for p in (f.absolute(), f.resolve())))


def with_repository(project: Path) -> Iterator[Path]:
    """A project, and the repository that it is a part of, whose other parts its tests may need."""
    yield project
    for folder in project.resolve().parents:
        if covers_home(folder) or folder in (Path("/"), *_TEMPORARY_FOLDERS):
            return
        if (folder / ".git").exists():
            yield folder
            return


def home_folders() -> tuple[Path, ...]:
    """The user's home folder, by each name that it has; none where it is not known, or is `/`."""
    found: list[Path] = []
    with suppress(RuntimeError):  # a user without a name, as `docker run --user` makes one
        found.append(Path.home())
    if os.name == "posix":
        import pwd

        with suppress(KeyError):
            found.append(Path(pwd.getpwuid(os.getuid()).pw_dir))
    usable = (path for path in found if path.is_absolute() and path != Path("/"))
    return tuple(dict.fromkeys(path for home in usable for path in (home, home.resolve())))


def covers_home(folder: Path) -> bool:
    """Whether showing the folder would show a whole home folder."""
    return any(home.is_relative_to(folder) for home in home_folders())


def is_shared_place(folder: Path) -> bool:
    """Whether others, or other programs, put their own into it: temporary files and such."""
    places = (*_TEMPORARY_FOLDERS, Path(tempfile.gettempdir()))
    if any(place.resolve().is_relative_to(folder) for place in places):
        return True
    try:
        return os.name == "posix" and bool(folder.stat().st_mode & stat.S_IWOTH)
    except OSError:
        return False


def bubblewrap_mounts(view: View, strange: Sequence[Path]) -> list[str]:
    """The options for bubblewrap that show this, less what is `strange`, and nothing else.

    Raises HiddenError.
    """
    check_project(view.project)
    arguments = ["--dev", "/dev", "--size", str(_SCRATCH_BYTES), "--tmpfs", SCRATCH]
    arguments += ["--proc", "/proc", *_system()]
    shown = [folder for folder in view.shown if folder.exists()]
    # Outer folders first: what is shown deeper down lies on top of them.
    for folder in sorted(shown, key=lambda folder: len(folder.parts)):
        if view.copied and folder in _with_targets([view.project]) and not _is_shared(folder):
            arguments += ["--overlay-src", str(folder), "--tmp-overlay", str(folder)]
            continue
        entries = _entries_of_the_project(folder) if _is_shared(folder) else [folder]
        arguments += ["--dir", str(folder)] if _is_shared(folder) else []
        arguments += [item for path in entries for item in ("--ro-bind", str(path), str(path))]
    for path, target in view.links:
        if not any(path.is_relative_to(folder) for folder in shown):
            arguments += ["--symlink", target, str(path)]
    for path in strange:
        arguments += ["--ro-bind", "/dev/null", str(path)]
    for place in ("/proc", "/dev", "/"):
        arguments += ["--remount-ro", place]
    return [*arguments, "--chdir", str(view.project)]


def pins(view: View) -> tuple[tuple[Path, int], ...]:
    """Folders whose new and replaced files may not be seen: when they were changed, by `modified`.

    Those of which single entries are shown, and all of a project that is copied on write: a view
    that lies over it is not to be relied on once what is below has changed.
    """
    folders = [folder for folder in view.shown if _is_shared(folder)]
    if view.copied:
        folders += [folder for folder, _ in source_folders(view.project)]
    return tuple((folder, modified(folder)) for folder in folders)


def modified(folder: Path) -> int:
    """When an entry of the folder was last made, replaced or removed, in nanoseconds."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def _system() -> Iterator[str]:
    for name in (*_SYSTEM_FOLDERS, *_PACKAGE_STORES):
        path = Path(name)
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), name)
        elif path.is_dir():
            yield from ("--ro-bind", name, name)
    for path in (*(Path("/etc") / name for name in _ETC_FILES), *Path("/etc").glob("python3*")):
        if path.is_symlink() and path.resolve().is_relative_to("/usr"):
            yield from ("--symlink", str(path.resolve()), str(path))
        elif path.exists():
            yield from ("--ro-bind", str(path.resolve()), str(path))
    for name in _PROCESSOR_FOLDERS:
        if Path(name).is_dir():
            yield from ("--ro-bind", name, name)


def check_project(project: Path) -> None:
    """HiddenError if what must be hidden lies in the project's folder."""
    for name in (project.absolute(), project.resolve()):
        system = any(name.is_relative_to(place) for place in _NEVER_PROJECTS)
        if name == Path("/") or system or (covers_home(name) and not _is_shared(name)):
            what = "is the system's" if system else "holds whole home folders"
            raise HiddenError(
                f"The project's folder would be {name}, which {what}: put the code into a folder "
                "of its own, with a pyproject.toml to mark it as a project."
            )


def _is_shared(folder: Path) -> bool:
    """Whether much lies there that has nothing to do with a project that begins there."""
    return folder.resolve() in (*home_folders(), *_TEMPORARY_FOLDERS)


def _entries_of_the_project(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if not _is_foreign(entry)]


def _is_foreign(entry: os.DirEntry[str]) -> bool:
    if entry.is_symlink() or entry.name.startswith(".") or covers_home(Path(entry.path)):
        return True
    if entry.is_file():
        return Path(entry.name).suffix not in _PROJECT_SUFFIXES
    folder = Path(entry.path)
    try:
        return not entry.is_dir() or (
            not any((folder / name).is_file() for name in _PYTHON_FILES)
            and next(folder.glob("test_*.py"), None) is None
        )
    except OSError:
        return True


def strange_files(view: View) -> list[Path] | None:
    """What the view would show that is no file, folder or link: the sockets, pipes and devices of
    other programs. None if there is too much to look through.

    Installed packages are left out: they are many files, and no program keeps its sockets there.
    """
    found: list[Path] = []
    todo = [folder for folder in view.project_folders if not _is_shared(folder)]
    shared = [folder for folder in view.project_folders if _is_shared(folder)]
    todo += [path for folder in shared for path in _entries_of_the_project(folder) if path.is_dir()]
    seen = 0
    while todo:
        folder = todo.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        seen += len(entries)
        if seen > MAX_PROJECT_ENTRIES:
            return None
        for entry in entries:
            # A link leads to what is shown anyway, or to nothing.
            if entry.is_dir(follow_symlinks=False):
                if not _is_large(folder, entry.name):
                    todo.append(Path(entry.path))
            elif not entry.is_file(follow_symlinks=False) and not entry.is_symlink():
                found.append(Path(entry.path))
    return found


def _is_large(folder: Path, name: str) -> bool:
    """Whether a folder in `folder` is one of installed packages, or git's store of objects."""
    if name == "site-packages":
        return (folder.parent.parent / "pyvenv.cfg").is_file()
    return name == "objects" and folder.name == ".git"


def seatbelt_profile(view: View, scratch: Path) -> str:
    """The same for macOS's `sandbox-exec`, which can only forbid: homes and temporary folders."""

    def subpaths(folders: Iterable[Path]) -> str:
        return " ".join(f'(subpath "{folder}")' for folder in folders)

    check_project(view.project)
    hidden = [*home_folders(), Path("/Users"), Path("/private/tmp"), Path("/private/var/folders")]
    shown = [
        path
        for folder in view.shown
        for path in (_entries_of_the_project(folder) if _is_shared(folder) else [folder])
    ]
    lines = [
        "(version 1)",
        "(allow default)",
        "(deny network*)",
        '(deny file-write* (subpath "/"))',
        f'(allow file-write* {subpaths([scratch.resolve()])} (subpath "/dev"))',
        f"(deny file-read* {subpaths(hidden)})",
        f"(allow file-read* {subpaths([*shown, scratch.resolve()])})",
        f"(allow file-read-metadata {subpaths(hidden)})",
    ]
    return "\n".join(lines)
