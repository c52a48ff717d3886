"""The worker that runs the user's tests inside the user's own interpreter.

It is started by path, never imported by `coe_lsp`: it needs Python 3.9 or newer and the standard
library, plus whatever the user's environment holds (pytest, usually). One worker serves one suite
of tests. It keeps no policy of its own: what to run and under which limits comes with each request.
It is not the sandbox: isolation is put around this process by `coe_lsp.execution.sandbox`.

    zygote  imports pytest and the project's dependencies once, forks a child for each candidate,
            watches it and ends all its processes
    prefork has one program imported and its tests collected, and forks hot candidates from there
    child   loads the candidate text in place of the file, runs the tests, reports each result

The worker's life: read an `Opening` (the suite and where to park), answer `Ready` or `Stale`, then
answer requests until the pipe closes. `messages` has all that is said, between whom.
"""
