"""Where the next command comes from: the protocol that a search asks, and llama.cpp behind it."""
