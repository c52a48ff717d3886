"""The root of the project's exceptions.

Every error that a user can meet derives from `CoeError`; its message is one or two sentences that
say what happened and what to do about it. It holds no behaviour: showing it is the caller's task.
"""


class CoeError(Exception):
    """Something went wrong that the user can understand and act on."""
