"""The page's routes: the current screen, a person's actions, and a stream of change notifications."""

import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from bot.sandbox.page.rendering import FOLDER, PageRenderer
from bot.sandbox.page_banner import Narrator
from bot.sandbox.persona import Persona, Reply
from bot.sandbox.workspace.people import Channel, SandboxPerson
from bot.sandbox.workspace.slack_state import SlackState
from bot.sandbox.workspace.workspace import SandboxMessage, UnknownNameError, View

Json = dict[str, Any]
_STATIC = {
    "sandbox.css": "text/css",
    "sandbox.js": "text/javascript",
    "controls.js": "text/javascript",
    "replace.js": "text/javascript",
}
_PICTURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
_HEARTBEAT_SECONDS = 15.0


class SandboxPage:
    """Serves the page under `/` and its requests under `/sandbox/`."""

    def __init__(
        self,
        *,
        slack: SlackState,
        narrator: Narrator,
        persona: Callable[[str], Persona],
        commands: tuple[str, ...],
        shortcuts: Mapping[str, str],
        token: str,
    ) -> None:
        self._token = token
        self._slack = slack
        self._persona = persona
        self._commands = commands
        self._narrator = narrator
        self._renderer = PageRenderer(slack, narrator, shortcuts)
        self._edition = secrets.token_hex(4)  # a page that was served by an earlier sandbox at this address reloads
        self._last_read: dict[tuple[str, str], str] = {}

    def build_routes(self) -> list[BaseRoute]:
        """The routes to mount."""
        return [
            Route("/", self._serve_index),
            Route("/sandbox/static/{name}", self._serve_static),
            Route("/sandbox/file/{file_id}", self._serve_file),
            Route("/sandbox/look", self._serve_screen),
            Route("/sandbox/changes", self._serve_changes),
            Route("/sandbox/say", self._persona_endpoint(self._handle_message), methods=["POST"]),
            Route("/sandbox/click", self._persona_endpoint(self._handle_click), methods=["POST"]),
            Route("/sandbox/shortcut", self._persona_endpoint(self._handle_shortcut), methods=["POST"]),
            Route("/sandbox/submit", self._persona_endpoint(self._handle_submit), methods=["POST"]),
            Route("/sandbox/close", self._persona_endpoint(self._handle_close), methods=["POST"]),
            Route("/sandbox/home", self._persona_endpoint(self._handle_home), methods=["POST"]),
            Route("/sandbox/choose", self._handle_choice, methods=["POST"]),
        ]

    def _serve_index(self, _: Request) -> Response:
        return HTMLResponse(
            self._renderer.render_index(self._token, self._edition, self._commands),
            headers={"cache-control": "no-store"},
        )

    def _serve_static(self, request: Request) -> Response:
        name = str(request.path_params["name"])
        if name not in _STATIC:
            return Response(status_code=404)
        return FileResponse(FOLDER / "static" / name, media_type=_STATIC[name], headers={"cache-control": "no-cache"})

    def _serve_file(self, request: Request) -> Response:
        file = self._slack.workspace.files.get(str(request.path_params["file_id"]))
        if file is None or file.content is None:
            return Response(status_code=404)
        kind = next((kind for magic, kind in _PICTURES.items() if file.content.startswith(magic)), None)
        if kind is None:
            headers = {"content-disposition": "attachment"}
            return Response(file.content, media_type="application/octet-stream", headers=headers)
        return Response(file.content, media_type=kind)

    def _serve_screen(self, request: Request) -> Response:
        """Everything on one person's screen as HTML fragments in a JSON object."""
        try:
            viewer = self._slack.workspace.find_person(request.query_params.get("as", "ana"))
            where = request.query_params.get("channel", "ai-rollouts")
            with self._slack.workspace.changes.lock:
                return JSONResponse(self._build_screen(viewer, where, request.query_params))
        except UnknownNameError as unknown:
            return JSONResponse({"message": str(unknown)}, status_code=404)

    def _build_screen(self, viewer: SandboxPerson, place: str, query: Any) -> Json:
        workspace = self._slack.workspace
        home = place == "home"
        channel = workspace.find_channel("ai-rollouts" if home else place)
        if viewer.id not in channel.members:
            channel = next(c for c in workspace.channels.values() if viewer.id in c.members)
        if not home:
            self._last_read[viewer.id, channel.id] = max(
                (m.ts for m in workspace.visible_messages(channel.id, viewer.id)), default="0"
            )
        unread = {c.id: self._count_unread(viewer, c) for c in workspace.channels.values()}
        root = workspace.find_message(channel.id, query.get("thread", ""))
        modal = next(reversed(workspace.modals.get(viewer.id) or []), None)
        published = workspace.homes.get(viewer.id)
        current = "home" if home else channel.id
        shown_home = (
            self._renderer.render_view(viewer, published) if published else "<p class='empty'>Nothing here yet.</p>"
        )
        return {
            "edition": self._edition,
            "version": workspace.changes.version,
            "person": viewer.handle,
            "channel": "home" if home else channel.name,
            "title": "Rampart" if home else f"# {channel.name}",
            "topic": "The app's home tab" if home else channel.topic,
            "navigation": self._renderer.render_navigation(viewer, current, unread),
            "messages": shown_home if home else self._renderer.render_channel(viewer, channel),
            "thread": self._renderer.render_thread(viewer, root) if root else "",
            "modal": self._renderer.render_view(viewer, modal) if modal else "",
            "modal_key": f"{modal.id} {modal.hash}" if modal else "",
            "wire": self._renderer.render_traffic(viewer) if query.get("wire") else "",
            "narration": self._renderer.narration(),
            "controls": self._renderer.render_controls(),
            "violations": self._renderer.recent_violations(),
        }

    def _count_unread(self, viewer: SandboxPerson, channel: Channel) -> int:
        last_read = self._last_read.get((viewer.id, channel.id), "0")
        return sum(
            m.ts > last_read and m.user != viewer.id
            for m in self._slack.workspace.visible_messages(channel.id, viewer.id)
        )

    async def _serve_changes(self, _: Request) -> Response:
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        return StreamingResponse(self._stream_versions(), media_type="text/event-stream", headers=headers)

    async def _stream_versions(self) -> AsyncIterator[str]:
        changes = self._slack.workspace.changes
        known_version = changes.version
        yield f"retry: 500\ndata: {known_version}\n\n"
        while not changes.closed:
            version = await changes.next_version(known_version, _HEARTBEAT_SECONDS)
            yield f"data: {version}\n\n" if version != known_version else ": still here\n\n"
            known_version = version

    def _persona_endpoint(self, action: Callable[[Persona, Json], Json]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            try:
                body = json.loads(await request.body())
                persona = self._persona(str(body["as"]))
                return JSONResponse(await run_in_threadpool(action, persona, body))
            except (LookupError, PermissionError, ValueError, TypeError) as refused:
                return JSONResponse({"message": str(refused)}, status_code=400)

        return endpoint

    def _handle_message(self, persona: Persona, body: Json) -> Json:
        text, thread = str(body["text"]).strip(), str(body.get("thread") or "")
        root = self._find_message(body["channel"], thread) if thread else None
        if text.startswith("/") and root is not None:
            raise ValueError(
                "Slack takes no slash commands in threads; type it in the channel, or mention @rampart here"
            )
        if text.startswith("/"):
            return _reply_to_json(persona.type_command(text, str(body["channel"])))
        persona.say(text, str(body["channel"]), root)
        return {"message": ""}

    def _handle_click(self, persona: Persona, body: Json) -> Json:
        view = str(body.get("view") or "")
        place: SandboxMessage | View = (
            self._find_view(view) if view else self._find_message(body["channel"], str(body["ts"]))
        )
        block, action = str(body["block"]), str(body["action"])
        values = {name: value for name, value in (body.get("values") or {}).items() if value not in (None, "", [])}
        return _reply_to_json(persona.click(place, action, input=body.get("value"), block_id=block, values=values))

    def _handle_shortcut(self, persona: Persona, body: Json) -> Json:
        message = self._find_message(body["channel"], str(body["ts"]))
        return _reply_to_json(persona.use_shortcut(message, str(body["shortcut"])))

    def _handle_submit(self, persona: Persona, body: Json) -> Json:
        return _reply_to_json(persona.submit(self._find_view(str(body["view"])), body["values"]))

    def _handle_close(self, persona: Persona, body: Json) -> Json:
        persona.close(self._find_view(str(body["view"])))
        return {"message": ""}

    def _handle_home(self, persona: Persona, _: Json) -> Json:
        persona.open_home()
        return {"message": ""}

    async def _handle_choice(self, request: Request) -> Response:
        try:
            body = json.loads(await request.body())
            reply = await run_in_threadpool(self._narrator.choose, str(body["name"]), str(body["value"]))
        except (LookupError, ValueError, TypeError) as refused:
            return JSONResponse({"message": str(refused)}, status_code=400)
        return JSONResponse({"message": reply})

    def _find_message(self, channel: str, ts: str) -> SandboxMessage:
        workspace = self._slack.workspace
        message = workspace.find_message(workspace.find_channel(channel).id, ts)
        if message is None:
            raise LookupError("that message no longer exists")
        return message

    def _find_view(self, view_id: str) -> View:
        view = next((v for v in self._slack.workspace.list_views() if v.id == view_id), None)
        if view is None:
            raise LookupError("that dialog is no longer open")
        return view


def _reply_to_json(reply: Reply) -> Json:
    if reply.acked:
        return {"message": f"acknowledged in {reply.ms:.0f} ms", "errors": reply.errors}
    if reply.errors:
        return {"message": "", "errors": reply.errors}
    return {"message": reply.text or f"not acknowledged (status {reply.status}, {reply.ms:.0f} ms)", "errors": {}}
