"""Which of the user's environment variables the tests see: those that are known to be needed.

A list of what to keep out is never complete (`DATABASE_URL`, an index's address with a password),
so this one says what to let in; a project that needs more of it gets it by name (`coe.env`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

_KNOWN_VARIABLES = re.compile(
    r"""
    PATH | LANG | LANGUAGE | LC_\w+ | TZ | TZDIR | TERM | COLUMNS | LINES | USER | LOGNAME
    | PYTHON(PATH|UTF8|IOENCODING|WARNINGS|OPTIMIZE|DEVMODE|FAULTHANDLER|NOUSERSITE|SAFEPATH
      |PLATLIBDIR|MALLOC|TRACEMALLOC|COERCECLOCALE|INTMAXSTRDIGITS|_GIL)
    | VIRTUAL_ENV | CONDA_PREFIX | CONDA_DEFAULT_ENV | LD_LIBRARY_PATH | DYLD_LIBRARY_PATH
    | (OMP|MKL|OPENBLAS|NUMEXPR|VECLIB|BLIS)_\w+ | NUMBA_NUM_THREADS | CUDA_VISIBLE_DEVICES
    | SOURCE_DATE_EPOCH | CI | NO_COLOR
    """,
    re.VERBOSE,
)
# Windows starts nothing without these.
_WINDOWS = re.compile(r"SYSTEMROOT|SYSTEMDRIVE|WINDIR|COMSPEC|PATHEXT|PROCESSOR_\w+|NUMBER_OF_\w+")


def boxed_environment(scratch: str, wanted: Sequence[str] = ()) -> dict[str, str]:
    """The environment of the tests, with the folder `scratch` (as they see it) as their home.

    `wanted` has names of the user's variables to let in as well, or settings `NAME=value`.
    """
    environment = {name: value for name, value in os.environ.items() if _is_known(name)}
    for item in wanted:
        name, given, value = item.partition("=")
        if given:
            environment[name] = value
        elif name in os.environ:
            environment[name] = os.environ[name]
    for name in ("HOME", "TMPDIR", "TEMP", "TMP", "XDG_CACHE_HOME", "COE_SCRATCH"):
        environment[name] = scratch
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    # Each would map 64 MB of what a process may map, one for nearly every thread.
    environment["MALLOC_ARENA_MAX"] = "2"
    # The order of sets of strings must not differ between two runs of the same candidate.
    environment["PYTHONHASHSEED"] = "0"
    return environment


def _is_known(name: str) -> bool:
    if _KNOWN_VARIABLES.fullmatch(name):
        return True
    return os.name == "nt" and _WINDOWS.fullmatch(name.upper()) is not None
