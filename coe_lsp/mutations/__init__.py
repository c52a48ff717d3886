"""One-edit changes of a program, likeliest mistakes first: a policy without a model.

Pure, like `chain`: no I/O, no model, no clock. Nothing here runs or judges a program.
"""
