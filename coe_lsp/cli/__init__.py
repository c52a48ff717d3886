"""The command line: `coe-lsp`, also `python -m coe_lsp`."""
