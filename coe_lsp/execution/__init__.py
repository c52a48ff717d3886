"""Runs the user's tests against candidate texts, in the user's own Python, inside a sandbox."""
