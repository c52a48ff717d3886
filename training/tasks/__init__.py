"""Programs with tests: where they come from, how they are run, what is recorded of them."""
