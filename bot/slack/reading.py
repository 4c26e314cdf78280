"""Listeners of buttons that open something to read in a window that only one person sees."""

from slack_bolt import Ack, App, Respond
from slack_sdk import WebClient

from bot.commands import plan_queries, version_queries
from bot.rendering.answers import difference_text
from bot.rendering.blocks import buttons
from bot.rendering.messages.plan_facts import ListMembers
from bot.slack import views
from bot.slack.slack_requests import Body, SlackRequests, parse_origin


class ReadingListeners:
    """The listeners of these buttons, beside those that answer everything else."""

    def __init__(self, client: WebClient, requests: SlackRequests, list_members: ListMembers) -> None:
        self._client = client
        self._requests = requests
        self._list_members = list_members

    def register(self, app: App) -> None:
        """Add the listeners to the app, before those that take any button."""
        app.action(buttons.VIEW_DIFFERENCE)(self.open_difference)
        app.action(buttons.PLAN_DETAILS)(self.open_plan_details)

    def open_plan_details(self, ack: Ack, body: Body, respond: Respond) -> None:
        """Show what somebody has to know who decides on a plan: the same as in the approval request."""
        with self._requests.build_click_responder(ack, body, respond) as responder:
            rollout_id, _ = buttons.decode_value(body["actions"][0].get("value", ""))
            asked = self._requests.build_request(parse_origin(body), "status", body["trigger_id"])
            shown = plan_queries.build_plan_details(asked, rollout_id, self._list_members)
            view = views.build_reading_modal(f"{rollout_id}: the plan", list(shown.blocks))
            self._client.views_open(trigger_id=body["trigger_id"], view=view)
            responder.respond(None)

    def open_difference(self, ack: Ack, body: Body, respond: Respond) -> None:
        """Show two versions in full, to those who may read prompts."""
        with self._requests.build_click_responder(ack, body, respond) as responder:
            surface, versions = buttons.decode_value(body["actions"][0].get("value", ""))
            before, _, after = versions.partition("|")
            asked = self._requests.build_request(parse_origin(body), "diff", body["trigger_id"])
            pair = version_queries.find_pair_to_read(surface, before, after, asked)
            view = views.build_reading_modal(f"{before} -> {after}", difference_text.build_modal_blocks(pair))
            self._client.views_open(trigger_id=body["trigger_id"], view=view)
            responder.respond(None)
