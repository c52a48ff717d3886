"""`python -m coe_lsp`, and the console script, are the command line.

Signals are taken before all else is imported, which takes a while.
"""

from coe_lsp.cli import interrupts


def run() -> None:
    """The console script."""
    interrupts.hold()
    from coe_lsp.cli.main import main

    status = main()
    interrupts.hold()  # nothing is to be raised while Python ends
    raise SystemExit(status)


if __name__ == "__main__":
    run()
