"""A client that speaks the protocol byte by byte, wrongly if need be."""

import asyncio
import json


class Wire:
    """One connection with a server process."""

    def __init__(self, command):
        self._command = command
        self.process = None
        self._waiting = []

    async def start(self):
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            *map(str, self._command), stdin=pipe, stdout=pipe, stderr=pipe
        )

    def send_bytes(self, data):
        self.process.stdin.write(data)

    def send(self, method, params=None, **more):
        body = {"jsonrpc": "2.0", "method": method, "params": params, **more}
        data = json.dumps(body).encode()
        self.send_bytes(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))

    async def answer(self, number, seconds=30):
        """The answer to a request; other messages are dropped."""
        async with asyncio.timeout(seconds):
            while True:
                head = await self.process.stdout.readuntil(b"\r\n\r\n")
                length = int(head.split(b"\r\n")[0].partition(b":")[2])
                message = json.loads(await self.process.stdout.readexactly(length))
                if "method" not in message and message.get("id") == number:
                    return message

    async def initialize(self, root=None):
        uri = root.as_uri() if root else None
        self.send("initialize", {"capabilities": {}, "rootUri": uri}, id="initialize")
        answer = await self.answer("initialize")
        self.send("initialized", {})
        return answer

    async def ended(self, seconds=10):
        """The exit status, and what was written to standard error."""
        async with asyncio.timeout(seconds):
            errors = await self.process.stderr.read()
            return await self.process.wait(), errors.decode()
