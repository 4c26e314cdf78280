"""The Web API endpoint: checks planned faults, rate limits and the token, runs the method, records the call."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from bot.sandbox.api import chat_methods, directory_methods, file_methods, view_methods
from bot.sandbox.rules.check_payload import Violation
from bot.sandbox.rules.errors import BrokenRulesError, MethodError
from bot.sandbox.workspace import people
from bot.sandbox.workspace.changes import ChangeNotifier
from bot.sandbox.workspace.faults import Fault
from bot.sandbox.workspace.slack_state import ApiCall, SlackState
from bot.sandbox.workspace.workspace import UnknownNameError

Json = dict[str, Any]
Method = Callable[[SlackState, Json], Json]

METHODS: dict[str, Method] = {
    "auth.test": directory_methods.auth_test,
    "chat.postMessage": chat_methods.post_message,
    "chat.postEphemeral": chat_methods.post_ephemeral,
    "chat.update": chat_methods.update_message,
    "chat.delete": chat_methods.delete_message,
    "conversations.list": directory_methods.conversations_list,
    "conversations.info": directory_methods.conversations_info,
    "conversations.history": directory_methods.conversations_history,
    "conversations.replies": directory_methods.conversations_replies,
    "users.list": directory_methods.users_list,
    "users.info": directory_methods.users_info,
    "usergroups.list": directory_methods.usergroups_list,
    "usergroups.users.list": directory_methods.usergroups_users_list,
    "views.open": view_methods.views_open,
    "views.update": view_methods.views_update,
    "views.publish": view_methods.views_publish,
    "files.getUploadURLExternal": file_methods.get_upload_url,
    "files.completeUploadExternal": file_methods.complete_upload,
}
_OPEN_CONNECTION = "apps.connections.open"
_MAY_BE_JSON = ("blocks", "view", "metadata", "files", "attachments")
_REFERENCE = "https://docs.slack.dev/reference/methods"


@dataclass(frozen=True, slots=True, kw_only=True)
class LostResponse:
    """An ASGI response that never arrives: the connection is cut (`is_cut`), or hangs until the caller gives up."""

    is_cut: bool
    changes: ChangeNotifier

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Announce a body that is never sent; unless `is_cut`, wait until the caller leaves or the server stops."""
        if not self.is_cut:
            waiting = {
                asyncio.ensure_future(_wait_for_disconnect(receive)),
                asyncio.ensure_future(self.changes.wait_until_closed()),
            }
            _, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in left:
                task.cancel()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxWebApi:
    """Serves `/api/{method}`; `new_socket_url` returns the address of a new Socket Mode connection."""

    slack: SlackState
    new_socket_url: Callable[[], str]

    async def handle_call(self, request: Request) -> Response | LostResponse:
        """Answer and record one Web API call, or lose its answer if a fault says so."""
        begun = self.slack.monotonic()
        method = str(request.path_params["method"])
        args, token = await _read_arguments(request)
        fault = self.slack.faults.take(method, str(args.get("channel") or ""))
        answer, status, headers = self._answer_call(method, args, token, fault)
        lost = fault is not None and fault.kind.startswith(("timeout", "cut"))
        self.slack.record_call(
            ApiCall(
                method=method,
                args=args,
                status=0 if lost else status,
                answer=answer,
                ms=(self.slack.monotonic() - begun) * 1000,
                at=self.slack.workspace.clock(),
            )
        )
        if lost and fault is not None:
            return LostResponse(is_cut=fault.kind.startswith("cut"), changes=self.slack.workspace.changes)
        return JSONResponse(answer, status_code=status, headers=headers)

    def _answer_call(
        self, method: str, args: Json, token: str, fault: Fault | None
    ) -> tuple[Json, int, dict[str, str]]:
        if fault and fault.kind == "429":
            return {"ok": False, "error": "ratelimited"}, 429, {"retry-after": str(fault.retry_after)}
        if fault and fault.kind == "500":
            return {"ok": False, "error": "internal_error"}, 500, {}
        if fault and fault.kind == "503":
            return {"ok": False, "error": "service_unavailable"}, 503, {}
        if fault and fault.kind.startswith("error:"):
            return {"ok": False, "error": fault.kind.removeprefix("error:")}, 200, {}
        if fault and not fault.has_effect:
            return {"ok": False, "error": "(never reached Slack)"}, 0, {}
        wait = self.slack.rate_limits.seconds_to_wait(method, self._channel_id(args))
        if wait:
            return {"ok": False, "error": "ratelimited"}, 429, {"retry-after": str(wait)}
        try:
            return (
                {"ok": True, **self._call_method(method, args, token)},
                200,
                {"x-oauth-scopes": "chat:write,commands"},
            )
        except BrokenRulesError as broken:
            self.slack.record_violations(broken.violations)
            return broken.to_json(), 200, {}
        except MethodError as refused:
            return refused.to_json(), 200, {}

    def _channel_id(self, args: Json) -> str:
        try:
            return self.slack.workspace.find_channel(str(args.get("channel") or "")).id
        except UnknownNameError:
            return ""

    def _call_method(self, method: str, args: Json, token: str) -> Json:
        if not token:
            raise MethodError("not_authed")
        if method not in METHODS and method != _OPEN_CONNECTION:
            unknown = f"{method} is not among the methods of this sandbox"
            violation = Violation(rule="unknown_method", where=f"/api/{method}", message=unknown, source=_REFERENCE)
            raise BrokenRulesError("unknown_method", [violation])
        if token not in (people.BOT_TOKEN, people.APP_TOKEN):
            raise MethodError("invalid_auth")
        if (token == people.APP_TOKEN) != (method == _OPEN_CONNECTION):
            raise MethodError("not_allowed_token_type")
        if method == _OPEN_CONNECTION:
            return {"url": self.new_socket_url()}
        with self.slack.workspace.changes.lock:
            return METHODS[method](self.slack, args)


async def _wait_for_disconnect(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def _read_arguments(request: Request) -> tuple[Json, str]:
    """(arguments, token): arguments from query, form or JSON body; token from the header or the arguments."""
    args: Json = dict(request.query_params)
    kind = request.headers.get("content-type", "")
    if kind.startswith("application/json"):
        body = await request.body()
        try:
            given = json.loads(body or b"{}")
        except ValueError:
            given = {}
        args |= given if isinstance(given, dict) else {}
    elif request.method == "POST":
        async with request.form() as form:
            args |= {name: value for name, value in form.items() if not isinstance(value, UploadFile)}
    for name in _MAY_BE_JSON:
        if isinstance(args.get(name), str):
            args[name] = _decode_json_or_text(args[name])
    token = str(args.pop("token", "") or "")
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    return args, bearer.strip() if scheme.lower() == "bearer" else token


def _decode_json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
