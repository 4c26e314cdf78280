"""The sandbox's Web API without a socket: the real client asks the real methods, and a time-out takes no time."""

import asyncio
import itertools
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPMessage
from io import BytesIO
from typing import Any
from urllib.error import HTTPError
from urllib.response import addinfourl

from slack_sdk import WebClient
from starlette.requests import Request

from bot.sandbox.api.web_api import LostResponse, SandboxWebApi
from bot.sandbox.rules.slack_rate_limits import RateLimits
from bot.sandbox.workspace import people
from bot.sandbox.workspace.changes import ChangeNotifier
from bot.sandbox.workspace.faults import FaultPlan
from bot.sandbox.workspace.slack_state import SlackState
from bot.sandbox.workspace.trigger_ids import TriggerIds
from bot.sandbox.workspace.workspace import Clock, SandboxMessage, SandboxWorkspace

_ids = itertools.count(1)
_workspaces: dict[str, "Slack"] = {}  # by the host under which they are asked


class Slack:
    """A workspace of its own, reached at its own address while `in_process` is installed."""

    def __init__(self, clock: Clock) -> None:
        self.side = SlackState(
            workspace=SandboxWorkspace(clock=clock, changes=ChangeNotifier()),
            faults=FaultPlan(),
            rate_limits=RateLimits(lambda: 0.0, "off"),
            triggers=TriggerIds(lambda: 0.0),
            monotonic=lambda: 0.0,
        )
        self.door = SandboxWebApi(slack=self.side, new_socket_url=lambda: "")
        self._host = f"slack-{next(_ids)}.trial"
        _workspaces[self._host] = self

    @property
    def client(self) -> WebClient:
        return WebClient(token=people.BOT_TOKEN, base_url=f"http://{self._host}/api/")

    def close(self) -> None:
        del _workspaces[self._host]

    def heal(self) -> None:
        """No planned failure is left."""
        self.side.faults = FaultPlan()

    def posted(self) -> list[SandboxMessage]:
        """Everything that was ever said, in the order in which it came."""
        return [said.message for said in self.side.workspace.journal if said.action == "posted"]

    def shown(self, channel: str, ts: str) -> SandboxMessage:
        """A message as it stands."""
        found = self.side.workspace.find_message(channel, ts)
        assert found is not None
        return found


@contextmanager
def in_process() -> Iterator[None]:
    """For the block every call of a client ends in this process."""
    urllib.request.install_opener(urllib.request.build_opener(_Wire(), urllib.request.ProxyHandler({})))
    try:
        yield
    finally:
        urllib.request.install_opener(None)  # type: ignore[arg-type]


class _Wire(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> Any:
        """What urllib calls instead of opening a connection."""
        answer = asyncio.run(_workspaces[req.host].door.handle_call(_request(req)))
        if isinstance(answer, LostResponse):
            raise ConnectionResetError("cut") if answer.is_cut else TimeoutError("timed out")
        headers = HTTPMessage()
        for name, value in answer.headers.items():
            headers[name] = value
        body = BytesIO(bytes(answer.body))
        if answer.status_code >= 400:
            raise HTTPError(req.full_url, answer.status_code, "", headers, body)
        return _Answer(body, headers, req.full_url, answer.status_code)


class _Answer(addinfourl):
    msg = "OK"  # urllib's own answers have it


def _request(req: urllib.request.Request) -> Request:
    path, _, query = req.selector.partition("?")
    body = req.data or b""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {
        "type": "http",
        "method": req.get_method(),
        "path": path,
        "path_params": {"method": path.rpartition("/")[2]},
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), str(value).encode()) for name, value in req.header_items()],
    }
    return Request(scope, receive)
