"""Which message is answered when: not before `initialize`, after `shutdown`, or without sense."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Any, cast

from lsprotocol import types
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInvalidParams,
    JsonRpcInvalidRequest,
    JsonRpcParseError,
    JsonRpcServerNotInitialized,
)
from pygls.protocol import LanguageServerProtocol
from pygls.protocol.json_rpc import RPCMessage
from pygls.protocol.language_server import lsp_method


class Protocol(LanguageServerProtocol):
    """pygls's protocol with the rules of the specification on a connection's life."""

    #: Gets the exit status when the client ends the server.
    ended: Callable[[int], None]

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        #: What else to do when the client cancels a request, by the request's id.
        self.on_cancel: dict[int | str, Callable[[], None]] = {}

    @property
    def has_shut_down(self) -> bool:
        """Whether the client has said that it will end the server."""
        return self._shutdown

    def receive(self, body: bytes) -> None:
        """Handle one message's bytes; what is no message is answered with an error."""
        try:
            data: Any = json.loads(body)
        except (ValueError, RecursionError):
            self._refuse(None, JsonRpcParseError("This is not JSON."))
            return
        if not isinstance(data, dict) or "jsonrpc" not in data:
            self._refuse(None, JsonRpcInvalidRequest("This is not a message of JSON-RPC 2.0."))
            return
        if "id" in data and not isinstance(data["id"], (int, str)):  # a dict breaks pygls's tables
            if "method" in data:
                self._refuse(None, JsonRpcInvalidRequest("An `id` is a number or a string."))
            return
        try:
            message: Any = self.structure_message(data)  # pyright: ignore[reportUnknownArgumentType]
        except JsonRpcException as error:
            if "method" in data and "id" in data:
                self._refuse(cast("int | str", data["id"]), error)
            return
        self.handle_message(message)

    def handle_message(self, message: RPCMessage) -> None:
        """Answer requests out of their time with an error, and drop such notifications."""
        method = getattr(message, "method", None)
        if method is None or method == types.EXIT:
            super().handle_message(message)
            return
        problem: JsonRpcException | None = None
        if self._shutdown:
            problem = JsonRpcInvalidRequest("The server has been shut down.")
        elif self._workspace is None and method != types.INITIALIZE:
            problem = JsonRpcServerNotInitialized("`initialize` has to come first.")
        elif self._workspace is not None and method == types.INITIALIZE:
            problem = JsonRpcInvalidRequest("`initialize` may come only once.")
        if problem is None:
            super().handle_message(message)
        elif (number := getattr(message, "id", None)) is not None:
            self._refuse(number, problem)

    def _execute_handler(
        self,
        msg_id: int | str,
        handler: Any,
        callback: Callable[[Any], None],
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        """As pygls does it, which keeps what came of each notification for good."""

        def done(future: Any) -> None:
            if not future.cancelled():  # then somebody is going through them
                self._request_futures.pop(msg_id, None)
            callback(future)

        super()._execute_handler(msg_id, handler, done, args, kwargs)

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(
        self, params: types.InitializeParams
    ) -> Generator[Any, Any, types.InitializeResult]:
        """As pygls does it; and commands may come with a token for their progress."""
        result = yield from super().lsp_initialize(params)
        if result.capabilities.execute_command_provider is not None:
            result.capabilities.execute_command_provider.work_done_progress = True
        return result

    def _handle_cancel_notification(self, msg_id: int | str) -> None:
        super()._handle_cancel_notification(msg_id)
        if (cancel := self.on_cancel.pop(msg_id, None)) is not None:
            cancel()

    @lsp_method(types.WORKSPACE_EXECUTE_COMMAND)
    def lsp_workspace__execute_command(
        self, params: types.ExecuteCommandParams
    ) -> Generator[Any, Any, Any]:
        """As pygls does it, which keeps the token for the work's progress to itself."""
        commands = cast("dict[str, Any]", self.fm.commands)  # pyright: ignore[reportUnknownMemberType]
        handler = commands.get(params.command)
        if handler is None:
            raise JsonRpcInvalidParams(f"There is no command {params.command}.")
        return (yield handler, (params.arguments or (), params.work_done_token), None)

    def _refuse(self, number: int | str | None, error: JsonRpcException) -> None:
        # pygls would leave out an `id` that is null.
        problem = {"code": error.code, "message": error.message}
        self._send_data({"jsonrpc": self.VERSION, "id": number, "error": problem})

    def _handle_response(
        self,
        msg_id: int | str,
        result: Any | None = None,
        error: types.ResponseError | None = None,
    ) -> None:
        future = self._request_futures.get(msg_id)
        if future is not None and future.done():  # nobody wants the answer any more
            self._request_futures.pop(msg_id, None)
            return
        super()._handle_response(msg_id, result, error)

    @lsp_method(types.EXIT)
    def lsp_exit(self, *args: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """End the server; that nobody announced it is an error."""
        self.ended(0 if self._shutdown else 1)
