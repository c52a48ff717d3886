"""The Chain-of-Edits method (arXiv 2507.05065), pure: no I/O, no model, no clock.

Serving, training and evaluation all use this package, so that what is trained is what is served.
"""
