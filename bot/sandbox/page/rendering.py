"""Renders the parts of the page as HTML for the person who views it."""

import json
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bot.sandbox.narration import Narrator
from bot.sandbox.page import chart, mrkdwn
from bot.sandbox.workspace import people, presenting
from bot.sandbox.workspace.people import Channel, Person
from bot.sandbox.workspace.slack_side import ApiCall, Delivery, SlackSide
from bot.sandbox.workspace.workspace import Message, View, Workspace

Json = dict[str, Any]
FOLDER = Path(__file__).parent
_WIRE_ROWS = 80
_MESSAGES = 150
_IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".gif")


class Renderer:
    """Renders the page's templates; everything that people or the app wrote is escaped."""

    def __init__(self, side: SlackSide, narrator: Narrator) -> None:
        self._side = side
        self._narrator = narrator
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["markdown"] = _markdown
        self._templates.filters["chart"] = chart.draw
        self._templates.filters["plain"] = mrkdwn.plain_to_html
        self._templates.filters["safe_address"] = mrkdwn.safe_address
        self._templates.filters["pretty"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)

    def index(self, token: str, commands: tuple[str, ...]) -> str:
        """The empty page; its script fills it."""
        return self._templates.get_template("index.html").render(
            token=token, people=people.PEOPLE, commands=commands, told=self._narrator.told
        )

    def narration(self) -> str:
        """What happens now and what comes next; empty where nobody tells it."""
        return self._templates.get_template("narration.html").render(told=self._narrator.told).strip()

    def navigation(self, viewer: Person, current: str, unread: dict[str, int]) -> str:
        """The people to act as, this person's channels with unread counts, and the app's home tab."""
        channels = [c for c in self._workspace.channels.values() if viewer.id in c.members]
        return self._render(
            "navigation.html", viewer, people=people.PEOPLE, channels=channels, current=current, unread=unread
        )

    def channel(self, viewer: Person, channel: Channel) -> str:
        """The latest messages of a channel as this person sees them, without replies that were not broadcast."""
        visible = self._workspace.visible(channel.id, viewer.id)
        replies: dict[str, list[Message]] = {}
        for message in visible:
            if message.in_thread and message.thread_ts:
                replies.setdefault(message.thread_ts, []).append(message)
        shown = [m for m in visible if not m.in_thread or m.broadcast][-_MESSAGES:]
        return self._render("messages.html", viewer, messages=shown, replies=replies, in_thread=False)

    def thread(self, viewer: Person, root: Message) -> str:
        """A thread: its root message and the replies."""
        shown = [root, *presenting.thread(self._workspace, root, viewer.id)]
        return self._render("messages.html", viewer, messages=shown, replies={}, in_thread=True)

    def view(self, viewer: Person, view: View) -> str:
        """A modal or home tab."""
        return self._render("view.html", viewer, view=view)

    def wire(self, viewer: Person) -> str:
        """The latest deliveries and API calls between Slack and the app, newest first."""
        traffic: list[Delivery | ApiCall] = [*self._side.deliveries[-_WIRE_ROWS:], *self._side.api_calls[-_WIRE_ROWS:]]
        traffic.sort(key=lambda entry: entry.at, reverse=True)
        rows = [(isinstance(entry, Delivery), entry) for entry in traffic[:_WIRE_ROWS]]
        return self._render("wire.html", viewer, rows=rows)

    def broken_rules(self) -> list[str]:
        """The last three violations of Slack's rules, for the page's warning strip."""
        return [str(violation) for violation in self._side.violations[-3:]]

    @property
    def _workspace(self) -> Workspace:
        return self._side.workspace

    def _render(self, template: str, viewer: Person, **values: Any) -> str:
        zone = ZoneInfo(viewer.zone)
        workspace = self._workspace

        def text(value: Json | str) -> Markup:
            if isinstance(value, dict) and value.get("type") == "plain_text":
                return mrkdwn.plain_to_html(str(value["text"]))
            said = str(value["text"]) if isinstance(value, dict) else value
            return mrkdwn.to_html(workspace, said, zone)

        return self._templates.get_template(template).render(
            viewer=viewer,
            workspace=workspace,
            text=text,
            clock=lambda ts: _clock(ts, zone),
            people_order=[p.id for p in (*people.PEOPLE, people.BOT, people.SLACKBOT)],
            is_picture=lambda file: file.name.lower().endswith(_IMAGE_ENDINGS),
            **values,
        )


def _clock(at: str | datetime, zone: tzinfo) -> str:
    moment = at if isinstance(at, datetime) else datetime.fromtimestamp(float(at), UTC)
    return moment.astimezone(zone).strftime("%H:%M" if isinstance(at, str) else "%H:%M:%S")


def _markdown(text: str) -> Markup:
    return Markup(_parser().render(text))  # noqa: S704  (the parser escapes HTML and refuses script addresses)


@lru_cache
def _parser() -> Any:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
