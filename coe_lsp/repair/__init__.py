"""From a failing test to a verified patch: brings chain, execution and models together."""
