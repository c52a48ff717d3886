"""Sees in a candidate's text that it reaches for what judges it: the test runner, frames, memory.

Code under test runs in the process that reports its results, so what sets out to forge them can
(`docs/security.md`). A repair of ordinary code has no use for what is named here, unless its file
used it before; a candidate that does is not run. What hides better is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_MACHINERY = re.compile(
    r"""
      \b(?:import|from) \s+ (?:[\w.]+ \s* , \s*)*
      (?:gc|ctypes|_pytest|pluggy|pytest|unittest|coe_worker)\b
    | \b(?:gc|ctypes) \s* \. \s* \w+
    | \b_pytest\b | \bcoe_worker\b | \bunittest \s* \. \s* mock\b | \bmock \s* \. \s* ANY\b
    | \b(?:_getframe|_current_frames|currentframe|settrace|setprofile)\b
    | \b(?:f_back|f_locals|f_globals|f_code|tb_frame|gi_frame|cr_frame|__code__|__subclasses__)\b
    | \binspect \s* \. \s* (?:stack|trace|getouterframes)\b
    | \bsys \s* \. \s* modules\b
    | \bos \s* \. \s* (?:_exit|kill|fork|dup2)\b
    | ["']/proc\b
    | \b__import__\b | \bimportlib\b
    """,
    re.VERBOSE,
)


def machinery_in(new: Sequence[str], old: Sequence[str]) -> str | None:
    """What of the test machinery the new lines name that the old file does not; None if nothing."""
    named = [(line, _plain(match[0])) for line in new for match in _MACHINERY.finditer(line)]
    if not named:  # then the whole file, which is long, need not be read for each candidate
        return None
    known = {_plain(match[0]) for match in _MACHINERY.finditer("\n".join(old))}
    before = {line.strip() for line in old}
    fresh = (name for line, name in named if name not in known and line.strip() not in before)
    return next(fresh, None)


def _plain(text: str) -> str:
    return " ".join(text.split())
