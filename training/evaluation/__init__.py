"""Measures models on held-out tasks, and the tables of it."""
