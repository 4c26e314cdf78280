"""Listeners of the form that writes a review: open it, and take the answers."""

from slack_bolt import Ack, App, Respond
from slack_sdk import WebClient

from bot.commands import run_verb
from bot.commands.verb import VerbArguments
from bot.commands.verbs import build_command
from bot.rendering.blocks import buttons
from bot.slack import clicks, views
from bot.slack.forms import review_form
from bot.slack.slack_requests import Body, SlackRequests, build_form_key, parse_origin
from core.report_sources import review_sources
from core.service.service import RolloutService

VERB = "review"


class ReviewListeners:
    """The listeners of the form, beside those that answer everything else."""

    def __init__(self, service: RolloutService, client: WebClient, requests: SlackRequests) -> None:
        self._service = service
        self._client = client
        self._requests = requests

    def register(self, app: App) -> None:
        """Add the listeners to the app, before those that take any button or modal."""
        app.action(buttons.WRITE_REVIEW)(self.open_form)
        app.view(buttons.WRITE_REVIEW)(self.handle_form)

    def open_form(self, ack: Ack, body: Body, respond: Respond) -> None:
        """Open the form, for those who may write the review."""
        pressed, origin = body["actions"][0].get("value", ""), parse_origin(body)
        with self._requests.build_click_responder(ack, body, respond) as responder:
            asked = self._requests.build_request(origin, VERB, body["trigger_id"])
            draft = review_sources.load_draft(self._service, clicks.find_rollout(pressed, asked))
            clicks.check_review_allowed(pressed, asked)
            zone = self._service.cached_world().policy.timezone
            form = review_form.build_form(draft, zone, origin.channel_id)
            self._client.views_open(trigger_id=body["trigger_id"], view=form)
            responder.respond(None)

    def handle_form(self, ack: Ack, body: Body) -> None:
        """The answers; the form stays open and says that the review is written."""
        view = body["view"]
        rollout, _ = buttons.decode_value(views.read_button_value(view))
        answers = VerbArguments(answers=review_form.read_answers(view), keeps_baseline=review_form.keeps_baseline(view))

        with self._requests.build_form_responder(ack, view, f"Review {rollout}") as responder:
            origin = parse_origin({**body, "channel": {"id": views.read_channel_id(view)}})
            asked = self._requests.build_request(origin, VERB, build_form_key(view))
            responder.respond(run_verb.submit_command(build_command(VERB, answers), rollout, asked))
