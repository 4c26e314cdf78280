"""Listeners of what is opened or sent for one person alone to read: differences, plans, histories as files."""

import re

from slack_bolt import Ack, App, Respond
from slack_sdk import WebClient

from bot.commands import page_offers, run_verb
from bot.commands.answers import investigation_queries, plan_queries, version_queries
from bot.commands.answers import rollout_queries as queries
from bot.commands.request import ClarificationNeeded, CommandContext
from bot.rendering import markup
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.rendering.documents import difference_text
from bot.slack import views
from bot.slack.directory import SlackDirectory
from bot.slack.slack_requests import Body, SlackRequests, parse_origin


class ReadingListeners:
    """The listeners of these buttons, beside those that answer everything else."""

    def __init__(self, client: WebClient, requests: SlackRequests, directory: SlackDirectory) -> None:
        self._client = client
        self._requests = requests
        self._directory = directory

    def register(self, app: App) -> None:
        """Add the listeners to the app, before those that take any button."""
        app.action(buttons.VIEW_DIFFERENCE)(self.open_difference)
        app.action(buttons.PLAN_DETAILS)(self.open_plan_details)
        app.action(re.compile(rf"^{buttons.GET_HISTORY}\."))(self.send_history)
        app.action(buttons.GET_EVIDENCE)(self.send_evidence)
        app.action(buttons.PLAN_AGAIN)(self.send_next_attempt)

    def open_plan_details(self, ack: Ack, body: Body, respond: Respond) -> None:
        """Show what somebody has to know who decides on a plan: the same as in the approval request."""
        with self._requests.build_click_responder(ack, body, respond) as responder:
            rollout_id, _ = buttons.decode_value(body["actions"][0].get("value", ""))
            asked = self._requests.build_request(parse_origin(body), "status", body["trigger_id"])
            shown = plan_queries.build_plan_details(asked, rollout_id, self._directory.list_members)
            view = views.build_reading_modal(f"{rollout_id}: the plan", list(shown.blocks))
            self._client.views_open(trigger_id=body["trigger_id"], view=view)
            responder.respond(None)

    def send_history(self, ack: Ack, body: Body, respond: Respond) -> None:
        """Send a whole history to the person who pressed the button, as a file in a direct message."""
        with self._requests.build_click_responder(ack, body, respond) as responder:
            rollout_id, form = buttons.decode_value(body["actions"][0].get("value", ""))
            asked = self._requests.build_request(parse_origin(body), "history", body["trigger_id"])
            responder.respond(self.send_history_file(asked, rollout_id, form, body["user"]["id"]))

    def send_evidence(self, ack: Ack, body: Body, respond: Respond) -> None:
        """Send the evidence of a rollback as a file."""
        with self._requests.build_click_responder(ack, body, respond) as responder:
            rollout_id, _ = buttons.decode_value(body["actions"][0].get("value", ""))
            asked = self._requests.build_request(parse_origin(body), "metrics", body["trigger_id"])
            name, content = investigation_queries.load_bundle(asked, rollout_id, self._directory.find_handles)
            responder.respond(
                self._upload(name, content, f"{name}: what is known about the rollback.", body["user"]["id"])
            )

    def send_next_attempt(self, ack: Ack, body: Body, respond: Respond) -> None:
        """Send the plan of a rollout as a file for another attempt."""
        with self._requests.build_click_responder(ack, body, respond) as responder:
            rollout_id, _ = buttons.decode_value(body["actions"][0].get("value", ""))
            asked = self._requests.build_request(parse_origin(body), "diff", body["trigger_id"])
            name, content = investigation_queries.write_next_attempt(asked, rollout_id)
            said = f"{name}: the same plan under another name. Correct it, then `rollout apply` takes it."
            responder.respond(self._upload(name, content.encode(), said, body["user"]["id"]))

    def send_history_file(self, asked: CommandContext, reference: str, form: str, user: str) -> Message:
        """Send a whole history to a person as a file; returns the answer that says so, or asks which rollout."""
        try:
            name, content = queries.load_history_file(asked, reference, form)
        except ClarificationNeeded as unclear:
            return run_verb.render_refusal(unclear, None, asked)
        if form == "csv":  # read by people; the other one is for programs, which know ids
            content = markup.name_people(content, self._directory.find_handles)
        return self._upload(name, content.encode(), f"{name}: every entry, as of now.", user)

    def _upload(self, name: str, content: bytes, first_line: str, user: str) -> Message:
        """Send a file to a person in a direct message; returns the answer that says so."""
        said = blocks.build_message(first_line)
        posted = self._client.chat_postMessage(
            channel=user, text=said.text, blocks=list(said.blocks), unfurl_links=False, unfurl_media=False
        )
        self._client.files_upload_v2(
            channel=posted["channel"], thread_ts=posted["ts"], content=content, filename=name, title=name
        )
        return blocks.build_message(f"Sent: {name} is in your direct messages from Rampart.")

    def open_difference(self, ack: Ack, body: Body, respond: Respond) -> None:
        """Show two versions in full, to those who may read prompts."""
        with self._requests.build_click_responder(ack, body, respond) as responder:
            surface, versions = buttons.decode_value(body["actions"][0].get("value", ""))
            before, _, after = versions.partition("|")
            asked = self._requests.build_request(parse_origin(body), "diff", body["trigger_id"])
            pair = version_queries.find_pair_to_read(surface, before, after, asked)
            shown = difference_text.build_modal_blocks(pair)
            if address := asked.link_page(version_queries.page_of_pair(pair)):
                offered = (blocks.actions(buttons.open_page(address)), blocks.context(page_offers.SAID))
                shown += [block for block in offered if block is not None]
            view = views.build_reading_modal(f"{before} -> {after}", shown)
            self._client.views_open(trigger_id=body["trigger_id"], view=view)
            responder.respond(None)
