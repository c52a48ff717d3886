"""Repairs a failing Python function on the user's machine and proves it with the user's tests."""

__version__ = "0.1.0"
