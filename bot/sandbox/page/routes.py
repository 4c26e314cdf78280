"""The page's routes: the current screen, a person's actions, and a stream of change notifications."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from bot.sandbox.narration import Narrator
from bot.sandbox.page.rendering import FOLDER, Renderer
from bot.sandbox.persona import Persona, Reply
from bot.sandbox.workspace.people import Channel, Person
from bot.sandbox.workspace.slack_side import SlackSide
from bot.sandbox.workspace.workspace import Message, UnknownNameError, View

Json = dict[str, Any]
_STATIC = {"sandbox.css": "text/css", "sandbox.js": "text/javascript"}
_PICTURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
_HEARTBEAT = 15.0


class Page:
    """Serves the page under `/` and its requests under `/sandbox/`."""

    def __init__(
        self,
        *,
        side: SlackSide,
        narrator: Narrator,
        persona: Callable[[str], Persona],
        commands: tuple[str, ...],
        token: str,
    ) -> None:
        self._token = token
        self._side = side
        self._persona = persona
        self._commands = commands
        self._renderer = Renderer(side, narrator)
        self._seen: dict[tuple[str, str], str] = {}

    def routes(self) -> list[BaseRoute]:
        """The routes to mount."""
        return [
            Route("/", self._index),
            Route("/sandbox/static/{name}", self._static),
            Route("/sandbox/file/{file_id}", self._file),
            Route("/sandbox/look", self._look),
            Route("/sandbox/changes", self._changes),
            Route("/sandbox/say", self._acting(self._say), methods=["POST"]),
            Route("/sandbox/click", self._acting(self._click), methods=["POST"]),
            Route("/sandbox/submit", self._acting(self._submit), methods=["POST"]),
            Route("/sandbox/close", self._acting(self._close), methods=["POST"]),
            Route("/sandbox/home", self._acting(self._home), methods=["POST"]),
        ]

    def _index(self, _: Request) -> Response:
        return HTMLResponse(self._renderer.index(self._token, self._commands), headers={"cache-control": "no-store"})

    def _static(self, request: Request) -> Response:
        name = str(request.path_params["name"])
        if name not in _STATIC:
            return Response(status_code=404)
        return FileResponse(FOLDER / "static" / name, media_type=_STATIC[name], headers={"cache-control": "no-cache"})

    def _file(self, request: Request) -> Response:
        file = self._side.workspace.files.get(str(request.path_params["file_id"]))
        if file is None or file.content is None:
            return Response(status_code=404)
        kind = next((kind for magic, kind in _PICTURES.items() if file.content.startswith(magic)), None)
        if kind is None:
            headers = {"content-disposition": "attachment"}
            return Response(file.content, media_type="application/octet-stream", headers=headers)
        return Response(file.content, media_type=kind)

    def _look(self, request: Request) -> Response:
        """Everything on one person's screen as HTML fragments in a JSON object."""
        try:
            viewer = self._side.workspace.person(request.query_params.get("as", "ana"))
            where = request.query_params.get("channel", "ai-rollouts")
            with self._side.workspace.changes.lock:
                return JSONResponse(self._screen(viewer, where, request.query_params))
        except UnknownNameError as unknown:
            return JSONResponse({"message": str(unknown)}, status_code=404)

    def _screen(self, viewer: Person, where: str, asked: Any) -> Json:
        workspace = self._side.workspace
        home = where == "home"
        channel = workspace.channel("ai-rollouts" if home else where)
        if viewer.id not in channel.members:
            channel = next(c for c in workspace.channels.values() if viewer.id in c.members)
        if not home:
            self._seen[viewer.id, channel.id] = max(
                (m.ts for m in workspace.visible(channel.id, viewer.id)), default="0"
            )
        unread = {c.id: self._unread(viewer, c) for c in workspace.channels.values()}
        root = workspace.find(channel.id, asked.get("thread", ""))
        modal = next(reversed(workspace.modals.get(viewer.id) or []), None)
        published = workspace.homes.get(viewer.id)
        current = "home" if home else channel.id
        shown_home = self._renderer.view(viewer, published) if published else "<p class='empty'>Nothing here yet.</p>"
        return {
            "version": workspace.changes.version,
            "person": viewer.handle,
            "channel": "home" if home else channel.name,
            "title": "Rampart" if home else f"# {channel.name}",
            "topic": "The app's home tab" if home else channel.topic,
            "navigation": self._renderer.navigation(viewer, current, unread),
            "messages": shown_home if home else self._renderer.channel(viewer, channel),
            "thread": self._renderer.thread(viewer, root) if root else "",
            "modal": self._renderer.view(viewer, modal) if modal else "",
            "modal_key": f"{modal.id} {modal.hash}" if modal else "",
            "wire": self._renderer.wire(viewer) if asked.get("wire") else "",
            "narration": self._renderer.narration(),
            "violations": self._renderer.broken_rules(),
        }

    def _unread(self, viewer: Person, channel: Channel) -> int:
        seen = self._seen.get((viewer.id, channel.id), "0")
        return sum(m.ts > seen and m.user != viewer.id for m in self._side.workspace.visible(channel.id, viewer.id))

    async def _changes(self, _: Request) -> Response:
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        return StreamingResponse(self._versions(), media_type="text/event-stream", headers=headers)

    async def _versions(self) -> AsyncIterator[str]:
        changes = self._side.workspace.changes
        seen = changes.version
        yield f"data: {seen}\n\n"
        while not changes.closed:
            version = await changes.next_version(seen, _HEARTBEAT)
            yield f"data: {version}\n\n" if version != seen else ": still here\n\n"
            seen = version

    def _acting(self, act: Callable[[Persona, Json], Json]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            try:
                body = json.loads(await request.body())
                persona = self._persona(str(body["as"]))
                return JSONResponse(await run_in_threadpool(act, persona, body))
            except (LookupError, PermissionError, ValueError, TypeError) as refused:
                return JSONResponse({"message": str(refused)}, status_code=400)

        return endpoint

    def _say(self, persona: Persona, body: Json) -> Json:
        text, thread = str(body["text"]).strip(), str(body.get("thread") or "")
        root = self._message(body["channel"], thread) if thread else None
        if text.startswith("/") and root is not None:
            raise ValueError(
                "Slack takes no slash commands in threads; type it in the channel, or mention @rampart here"
            )
        if text.startswith("/"):
            return _told(persona.command(text, str(body["channel"])))
        persona.say(text, str(body["channel"]), root)
        return {"message": ""}

    def _click(self, persona: Persona, body: Json) -> Json:
        view = str(body.get("view") or "")
        place: Message | View = self._view(view) if view else self._message(body["channel"], str(body["ts"]))
        block, action = str(body["block"]), str(body["action"])
        return _told(persona.click(place, action, input=body.get("value"), block_id=block))

    def _submit(self, persona: Persona, body: Json) -> Json:
        return _told(persona.submit(self._view(str(body["view"])), body["values"]))

    def _close(self, persona: Persona, body: Json) -> Json:
        persona.close(self._view(str(body["view"])))
        return {"message": ""}

    def _home(self, persona: Persona, _: Json) -> Json:
        persona.open_home()
        return {"message": ""}

    def _message(self, channel: str, ts: str) -> Message:
        workspace = self._side.workspace
        message = workspace.find(workspace.channel(channel).id, ts)
        if message is None:
            raise LookupError("that message is no longer there")
        return message

    def _view(self, view_id: str) -> View:
        view = next((v for v in self._side.workspace.views() if v.id == view_id), None)
        if view is None:
            raise LookupError("that dialog is no longer open")
        return view


def _told(reply: Reply) -> Json:
    if reply.acked:
        return {"message": f"acknowledged in {reply.ms:.0f} ms", "errors": reply.errors}
    if reply.errors:
        return {"message": "", "errors": reply.errors}
    return {"message": reply.text or f"not acknowledged (status {reply.status}, {reply.ms:.0f} ms)", "errors": {}}
