"""Listeners of buttons that open something to read in a window that only one person sees."""

from slack_bolt import Ack, App, Respond
from slack_sdk import WebClient

from bot.commands import version_queries
from bot.rendering.answers import difference_text
from bot.rendering.blocks import buttons
from bot.slack import views
from bot.slack.slack_requests import Body, SlackRequests, parse_origin


class ReadingListeners:
    """The listeners of these buttons, beside those that answer everything else."""

    def __init__(self, client: WebClient, requests: SlackRequests) -> None:
        self._client = client
        self._requests = requests

    def register(self, app: App) -> None:
        """Add the listeners to the app, before those that take any button."""
        app.action(buttons.VIEW_DIFFERENCE)(self.open_difference)

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
