"""One program tried, as it is told to whoever watches a search."""

from attrs import frozen

from coe_lsp.chain.commands import Command


@frozen
class Step:
    """A command and what the tests say of it.

    `candidate` numbers the programs of one search from 1, in the order in which they were asked for
    or found. `turn` is the length of the chain, `error` why nothing was tested, if so. `edit` has
    the commands themselves, whose line 1 is line `first_line` of the file.
    """

    candidate: int
    turn: int
    command: str
    passed: int
    total: int
    error: str | None
    edit: tuple[Command, ...] = ()
    first_line: int = 1
