"""Real bugs: human changes taken back, with the tests that notice."""
