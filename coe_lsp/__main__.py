"""`python -m coe_lsp`, and the console script, are the command line.

Signals are taken before all else is imported, which takes a while.
"""

from coe_lsp.cli import interrupts


def run() -> None:
    """The console script."""
    interrupts.hold()
    from coe_lsp.cli.main import main

    raise SystemExit(main())


if __name__ == "__main__":
    run()
