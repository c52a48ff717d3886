"""The language server: a thin layer over `coe_lsp.repair` and `coe_lsp.execution`."""
