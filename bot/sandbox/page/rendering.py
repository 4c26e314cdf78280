"""Renders the parts of the page as HTML for the person who views it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bot.sandbox.page import chart, mrkdwn
from bot.sandbox.page_banner import Narrator
from bot.sandbox.workspace import people, slack_json
from bot.sandbox.workspace.people import Channel, SandboxPerson
from bot.sandbox.workspace.slack_state import ApiCall, Delivery, SlackState
from bot.sandbox.workspace.workspace import SandboxMessage, SandboxWorkspace, View

Json = dict[str, Any]
FOLDER = Path(__file__).parent
_MAX_TRAFFIC_ROWS = 80
_MAX_MESSAGES = 150
_IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".gif")


class PageRenderer:
    """Renders the page's templates; everything that people or the app wrote is escaped."""

    def __init__(self, slack: SlackState, narrator: Narrator, shortcuts: Mapping[str, str]) -> None:
        self._slack = slack
        self._shortcuts = shortcuts
        self._narrator = narrator
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["markdown"] = _render_markdown
        self._templates.filters["chart"] = chart.draw_chart
        self._templates.filters["plain"] = mrkdwn.plain_to_html
        self._templates.filters["safe_address"] = mrkdwn.safe_address
        self._templates.filters["pretty"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)

    def render_index(self, token: str, edition: str, commands: tuple[str, ...]) -> str:
        """The empty page; its script fills it."""
        return self._templates.get_template("index.html").render(
            token=token, edition=edition, people=people.PEOPLE, commands=commands, told=self._narrator.told
        )

    def narration(self) -> str:
        """What happens now and what comes next; empty where nobody tells it."""
        return self._templates.get_template("narration.html").render(told=self._narrator.told).strip()

    def render_controls(self) -> str:
        """What can be chosen over the page; empty where nothing is offered."""
        return self._templates.get_template("controls.html").render(controls=self._narrator.controls).strip()

    def render_navigation(self, viewer: SandboxPerson, current: str, unread: dict[str, int]) -> str:
        """The people to act as, this person's channels with unread counts, and the app's home tab."""
        channels = [c for c in self._workspace.channels.values() if viewer.id in c.members]
        return self._render_template(
            "navigation.html", viewer, people=people.PEOPLE, channels=channels, current=current, unread=unread
        )

    def render_channel(self, viewer: SandboxPerson, channel: Channel) -> str:
        """The latest messages of a channel as this person sees them, without replies that were not broadcast."""
        visible = self._workspace.visible_messages(channel.id, viewer.id)
        replies: dict[str, list[SandboxMessage]] = {}
        for message in visible:
            if message.in_thread and message.thread_ts:
                replies.setdefault(message.thread_ts, []).append(message)
        shown = [m for m in visible if not m.in_thread or m.broadcast][-_MAX_MESSAGES:]
        return self._render_template("messages.html", viewer, messages=shown, replies=replies, in_thread=False)

    def render_thread(self, viewer: SandboxPerson, root: SandboxMessage) -> str:
        """A thread: its root message and the replies."""
        shown = [root, *slack_json.list_replies(self._workspace, root, viewer.id)]
        return self._render_template("messages.html", viewer, messages=shown, replies={}, in_thread=True)

    def render_view(self, viewer: SandboxPerson, view: View) -> str:
        """A modal or home tab."""
        return self._render_template("view.html", viewer, view=view)

    def render_traffic(self, viewer: SandboxPerson) -> str:
        """The latest deliveries and API calls between Slack and the app, newest first."""
        traffic: list[Delivery | ApiCall] = [
            *self._slack.deliveries[-_MAX_TRAFFIC_ROWS:],
            *self._slack.api_calls[-_MAX_TRAFFIC_ROWS:],
        ]
        traffic.sort(key=lambda entry: entry.at, reverse=True)
        rows = [(isinstance(entry, Delivery), entry) for entry in traffic[:_MAX_TRAFFIC_ROWS]]
        return self._render_template("wire.html", viewer, rows=rows)

    def recent_violations(self) -> list[str]:
        """The last three violations of Slack's rules, for the page's warning strip."""
        return [str(violation) for violation in self._slack.violations[-3:]]

    @property
    def _workspace(self) -> SandboxWorkspace:
        return self._slack.workspace

    def _render_template(self, template: str, viewer: SandboxPerson, **values: Any) -> str:
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
            shortcuts=self._shortcuts,
            text=text,
            clock=lambda ts: _format_clock_time(ts, zone),
            people_order=[p.id for p in (*people.PEOPLE, people.BOT, people.SLACKBOT)],
            is_picture=lambda file: file.name.lower().endswith(_IMAGE_ENDINGS),
            **values,
        )


def _format_clock_time(at: str | datetime, zone: tzinfo) -> str:
    moment = at if isinstance(at, datetime) else datetime.fromtimestamp(float(at), UTC)
    return moment.astimezone(zone).strftime("%H:%M" if isinstance(at, str) else "%H:%M:%S")


def _render_markdown(text: str) -> Markup:
    return Markup(_markdown_parser().render(text))  # noqa: S704  (the parser escapes HTML and refuses script addresses)


@lru_cache
def _markdown_parser() -> Any:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
