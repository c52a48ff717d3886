"""Runs GGUF models in this process through llama.cpp; knows nothing of repairs or downloads."""
