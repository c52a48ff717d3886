"""Model weights on this machine: which there are, where their bytes come from, how they are run.

`registry` names models, `download` brings verified bytes into the user's cache, `adapters` finds
LoRA weights, `engine` samples from them. Nothing is imported here, so that looking at the registry
does not load llama.cpp.
"""
