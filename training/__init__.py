"""How the models that coe-lsp serves are made; see training/README.md.

Depends on coe_lsp, never the other way round: prompts, states, feedback and tests are those of
serving.
"""
