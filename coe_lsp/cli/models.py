"""`coe-lsp models`: what is known, what is here, fetch it, check it."""

from __future__ import annotations

from rich.table import Table

from coe_lsp.cli.progress import BarProgress
from coe_lsp.cli.view import error_console, plain_console
from coe_lsp.models.adapters import find_adapter
from coe_lsp.models.download import NotDownloadedError, cached, ensure, location, verify
from coe_lsp.models.merged import mend, merged_files, verify_merged
from coe_lsp.models.registry import load_registry, resolve


def models(action: str, name: str | None) -> int:
    """Run one action; returns the exit status."""
    if action == "list":
        _list()
        return 0
    ref = resolve(name)
    if action == "pull":
        if ref.note:
            error_console().print(ref.note, markup=False)
        with BarProgress() as progress:
            path = ensure(ref, progress=progress)
            mend(path, find_adapter(ref.base_key or ""), progress)
        print(path)
    elif action == "verify":
        print(f"{verify(ref)}  {location(ref)}")
        for path in merged_files(location(ref)):
            print(f"{verify_merged(path, ref.name)}  {path}")
    else:
        path = cached(ref)
        if path is None:
            raise NotDownloadedError(
                f"{ref.name} is not here yet: run coe-lsp models pull {ref.name}."
            )
        print(path)
    return 0


def _list() -> None:
    table = Table("name", "size", "licence", "here", "adapter")
    for spec in load_registry().models:
        adapter = find_adapter(spec.base_key)
        here = cached(resolve(spec.name)) is not None
        name = f"{spec.name} (default)" if spec.default else spec.name
        table.add_row(
            name,
            f"{spec.size / 1e6:.0f} MB",
            spec.licence,
            "yes" if here else "no",
            adapter.name if adapter else "none",
        )
    plain_console().print(table)
