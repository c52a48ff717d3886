"""`python -m coe_lsp` is the command line."""

from coe_lsp.cli.main import run

if __name__ == "__main__":
    run()
