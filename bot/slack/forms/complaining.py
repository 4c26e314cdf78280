"""Listeners of the message shortcut “Report AI answer”: open the form, and take the complaint."""

from slack_bolt import Ack, App, Respond
from slack_sdk import WebClient

from bot.commands import request, run_verb
from bot.commands.verb import VerbArguments
from bot.commands.verbs import build_command
from bot.slack import manifest
from bot.slack.forms import complaint_form
from bot.slack.slack_requests import Body, SlackRequests, build_form_key, parse_origin
from core.rollout.refusal import Refused
from core.service.service import RolloutService

VERB = "complaint"


class ComplaintListeners:
    """The listeners of the shortcut, beside those that answer everything else."""

    def __init__(self, service: RolloutService, client: WebClient, requests: SlackRequests) -> None:
        self._service = service
        self._client = client
        self._requests = requests

    def register(self, app: App) -> None:
        """Add the listeners to the app, before those that take any shortcut or modal."""
        app.message_shortcut(manifest.SHORTCUT)(self.open_form)
        app.view(complaint_form.CALLBACK)(self.handle_form)

    def open_form(self, ack: Ack, body: Body, respond: Respond) -> None:
        """Open the form for the message; only ids of the message are kept, not its text."""
        with self._requests.build_click_responder(ack, body, respond) as responder:
            origin = parse_origin(body)
            request.require_member(self._requests.build_request(origin, VERB, body["trigger_id"]))
            world = self._service.load_world()
            candidates = complaint_form.list_candidates(world)
            if not candidates:
                raise Refused("No rollout has started yet, so no customer has met a new version. Nothing was recorded.")
            form = complaint_form.build_form(candidates, world, origin.channel_id, str(body["message_ts"]))
            self._client.views_open(trigger_id=body["trigger_id"], view=form)
            responder.respond(None)

    def handle_form(self, ack: Ack, body: Body) -> None:
        """The complaint; the form stays open and says where it counts."""
        view = body["view"]
        filled = complaint_form.read_form(view)

        with self._requests.build_form_responder(ack, view, "Report AI answer") as responder:
            origin = parse_origin({**body, "channel": {"id": filled.channel_id}})
            asked = self._requests.build_request(origin, VERB, build_form_key(view))
            reported = VerbArguments(reason=filled.text, unit=filled.unit, message=filled.message)
            responder.respond(run_verb.submit_command(build_command(VERB, reported), filled.rollout, asked))
