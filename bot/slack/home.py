"""The app's home tab: published when somebody opens it, and again whenever what it shows has changed."""

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from slack_bolt import Ack, App, Respond
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from bot.commands.answers import home_contents
from bot.rendering.answers import home_tab
from bot.rendering.blocks import blocks, buttons
from bot.slack.directory import SlackDirectory
from bot.slack.forms import notification_form
from bot.slack.forms.notification_form import UnusableAnswers
from bot.slack.slack_requests import Body, SlackRequests, build_form_key, parse_origin
from core.rollout.refusal import Refused
from core.service.service import RolloutService

log = structlog.get_logger()

MAX_OPEN_TABS = 200
"""How many tabs a process keeps up to date: those that were opened last. The others are when they are opened again."""
KEEP_FOR = 12 * 3600.0  # seconds since a tab was opened
MAX_PER_REFRESH = 40  # Slack takes about a hundred views a minute


@dataclass(slots=True, kw_only=True)
class OpenTab:
    """A tab that somebody opened: where they are from, when (monotonic), a hash of what it shows, and whether Slack
    refused what it should show. `publishing` is held from the reading of what it shows until Slack has it, so that what
    was read earlier never takes the place of what was read later."""

    team: str
    enterprise: str
    opened_at: float = 0.0
    shown: str = ""
    is_stale: bool = False
    publishing: threading.Lock = field(default_factory=threading.Lock)


class HomeTabs:
    """Publishes home tabs, each for one person. Thread-safe."""

    def __init__(
        self,
        service: RolloutService,
        client: WebClient,
        directory: SlackDirectory,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._client = client
        self._directory = directory
        self._now = now
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._tabs: OrderedDict[str, OpenTab] = OrderedDict()
        self._position = -1

    def open(self, team: str, enterprise: str, user: str) -> None:
        """Publish the tab of somebody who opened it, and keep it up to date from now on."""
        with self._lock:
            tab = self._tabs.pop(user, None)
            if tab is None or (tab.team, tab.enterprise) != (team, enterprise):
                tab = OpenTab(team=team, enterprise=enterprise)
            tab.opened_at = self._monotonic()
            self._tabs[user] = tab
            while len(self._tabs) > MAX_OPEN_TABS:
                self._tabs.popitem(last=False)
        self._publish(user, tab)

    def refresh(self) -> int:
        """Publish every open tab whose contents have changed; returns how many were."""
        position = self._service.cached_world().position
        if position == self._position:
            return 0
        limit = self._monotonic() - KEEP_FOR
        with self._lock:
            for user in [user for user, tab in self._tabs.items() if tab.opened_at < limit]:
                del self._tabs[user]
            tabs = list(self._tabs.items())
        published = 0
        for user, tab in reversed(tabs):
            if published == MAX_PER_REFRESH:
                return published  # the position stays, so the rest follows at the next refresh
            published += self._publish(user, tab)
        if not any(tab.is_stale for _, tab in tabs):
            self._position = position
        return published

    def refresh_one(self, user: str) -> None:
        """Publish this person's tab if they have opened it and its contents have changed."""
        with self._lock:
            tab = self._tabs.get(user)
        if tab is not None:
            self._publish(user, tab)

    def _publish(self, user: str, tab: OpenTab) -> bool:
        """Publish the tab unless it shows the same already; False if nothing was published."""
        with tab.publishing:
            return self._publish_if_changed(user, tab)

    def _publish_if_changed(self, user: str, tab: OpenTab) -> bool:
        try:
            by = self._directory.resolve_actor(tab.team, user, enterprise=tab.enterprise, moves_forward=False)
        except Refused as refused:
            log.warning("no home tab", user=user, why=refused.message)
            return False
        content = home_tab.render(home_contents.gather_home_tab(self._service, by, self._now()))
        shown = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        tab.is_stale = shown != tab.shown
        if not tab.is_stale:
            return False
        try:
            self._client.views_publish(user_id=user, view={"type": "home", "blocks": content})
        except SlackApiError as error:
            log.warning("a home tab was not published", user=user, why=str(error.response.get("error")))
            return False
        except (SlackClientError, OSError) as error:
            log.warning("a home tab was not published", user=user, why=str(error))
            return False
        tab.shown, tab.is_stale = shown, False
        return True


class HomeListeners:
    """The listeners of the home tab, and of the form of one's own notifications."""

    def __init__(self, service: RolloutService, client: WebClient, requests: SlackRequests, tabs: HomeTabs) -> None:
        self._service = service
        self._client = client
        self._requests = requests
        self._tabs = tabs

    def register(self, app: App) -> None:
        """Add the listeners to the app, before those that take any event, button or modal."""
        app.event("app_home_opened")(self.handle_opened)
        app.action(buttons.NOTIFICATIONS)(self.open_notifications)
        app.view(notification_form.CALLBACK)(self.save_notifications)

    def handle_opened(self, body: Body, event: Body) -> None:
        """Somebody opened the app: publish their home tab. The tab of messages has nothing to publish."""
        if event.get("tab") == "home":
            given = (body.get("authorizations") or [{}])[0]
            team = given.get("team_id") or body.get("team_id") or ""
            self._tabs.open(team, given.get("enterprise_id") or body.get("enterprise_id") or "", event["user"])

    def open_notifications(self, ack: Ack, body: Body, respond: Respond) -> None:
        """Open the form of one's own notifications."""
        with self._requests.build_click_responder(ack, body, respond) as responder:
            by = self._requests.build_request(parse_origin(body), "subscribe", body["trigger_id"]).by
            world = self._service.load_world()
            form = notification_form.build_form(
                world.subscribers.find(by.id),
                list(world.surfaces.values()),
                by.find_zone(world.policy.timezone),
            )
            self._client.views_open(trigger_id=body["trigger_id"], view=form)
            responder.respond(None)

    def save_notifications(self, ack: Ack, body: Body) -> None:
        """Save what was submitted and show it on the home tab, or say under its field what is wrong."""
        view = body["view"]
        try:
            command = notification_form.read_form(view)
        except UnusableAnswers as unusable:
            ack(response_action="errors", errors=dict(unusable.errors))
            return
        with self._requests.build_form_responder(ack, view, "My notifications") as responder:
            asked = self._requests.build_request(parse_origin(body), "subscribe", build_form_key(view))
            asked.submit(command)
            responder.respond(None, late=blocks.build_message("Saved: your notifications."))
            self._tabs.refresh_one(body["user"]["id"])
