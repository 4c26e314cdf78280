"""Listeners of the form that plans a rollout: open it, fill it in anew, show the plan, plan it, send its file."""

from collections.abc import Mapping
from dataclasses import dataclass

from slack_bolt import Ack, App, Respond
from slack_sdk import WebClient

from bot.commands import request
from bot.commands.answers import plan_queries
from bot.commands.request import CommandContext
from bot.rendering import wording
from bot.rendering.answers.planning import plan_outlook
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.slack.directory import SlackDirectory
from bot.slack.forms import create_form, plan_preview
from bot.slack.forms.plan_preview import FileTooLong, PlanPreview
from bot.slack.slack_requests import Body, SlackOrigin, SlackRequests, parse_origin
from bot.slack.slack_responder import SlackResponder
from core.files import rollout_form
from core.files.checks import channel_checks
from core.files.command_from_file import FileLookups, build_plan_command
from core.files.kinds.rollout_file import RolloutFile
from core.files.plan_from_file import plan_from_file
from core.files.read_file import parse_file
from core.files.rollout_form import RolloutForm, UnusableForm
from core.files.syntax.problems import UnreadableFile, select_errors
from core.report_sources.planned_file import load_outlook
from core.rollout.refusal import NotFound, Refused
from core.rollout.state.world import World
from core.service import apply_file
from core.service.apply_file import AppliedFile
from core.service.service import RolloutService

VERB = "create"
_FILENAME = "rollout.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class FormErrors(Message):
    """What is wrong with the answers, by block id."""

    errors: Mapping[str, str]


class PlanningListeners:
    """The listeners of the form, beside those that answer everything else."""

    def __init__(
        self, service: RolloutService, client: WebClient, directory: SlackDirectory, requests: SlackRequests
    ) -> None:
        self._service = service
        self._client = client
        self._directory = directory
        self._requests = requests

    def register(self, app: App) -> None:
        """Add the listeners to the app, before those that take any command, button or modal."""
        app.action(buttons.CREATE)(self.handle_button)
        app.action(buttons.GET_FILE)(self.send_file)
        for name in create_form.DISPATCHING:
            app.action({"action_id": name, "block_id": name})(self.handle_choice)
        app.view(create_form.CALLBACK)(self.handle_form)
        app.view(plan_preview.CALLBACK)(self.handle_preview)

    def handle_button(self, ack: Ack, body: Body, respond: Respond) -> None:
        """A button that opens the form."""
        with self._requests.build_click_responder(ack, body, respond) as responder:
            self.open_form(parse_origin(body), body["actions"][0]["value"].removeprefix("-"), body["trigger_id"])
            responder.respond(None)

    def open_form(self, origin: SlackOrigin, surface: str, trigger: str) -> None:
        """Open the form for the person behind `origin`. Raises `Refused` for who may not plan."""
        asked = self._requests.build_request(origin, VERB, trigger)
        world = self._service.load_world()
        request.require_role("operator", asked, world)
        form = create_form.build_form(
            world.surfaces,
            world.policy,
            origin.user,
            surface=plan_queries.find_surface(world, surface),
            channel=origin.channel_id,
        )
        self._client.views_open(trigger_id=trigger, view=form)

    def handle_choice(self, ack: Ack, body: Body) -> None:
        """Another AI feature or template was chosen: show what that means. Slack keeps what was typed."""
        ack()
        view, world = body["view"], self._service.cached_world()
        surface, template, version = create_form.read_choices(view)
        form = create_form.build_form(
            world.surfaces,
            world.policy,
            body["user"]["id"],
            surface=surface,
            template=template,
            version=version,
            channel=create_form.read_channel_id(view),
        )
        self._client.views_update(view_id=view["id"], hash=view["hash"], view=form)

    def handle_form(self, ack: Ack, body: Body) -> None:
        """The form was submitted: errors go under their fields, else the plan is shown. Nothing is planned yet."""
        view = body["view"]
        channel = create_form.read_channel_id(view)
        name = f"plan.{view['id']}.{view['hash']}"

        def acknowledge(message: Message | None) -> None:
            if isinstance(message, FormErrors):
                ack(response_action="errors", errors=dict(message.errors))
            elif message is not None:
                ack(response_action="push", view=plan_preview.build_view(message, name, channel=channel))

        def post_later(message: Message) -> None:
            shown = plan_preview.build_view(message, name, channel=channel)
            self._client.views_update(external_id=name, view=shown)

        with SlackResponder(name, acknowledge, post_later) as responder:
            asked = self._requests.build_request(parse_origin({**body, "channel": {"id": channel}}), VERB, name)
            responder.respond(self._preview(view, asked, channel))

    def _preview(self, view: Body, asked: CommandContext, channel: str) -> Message:
        world = self._service.load_world()
        chosen = create_form.read_owner_id(view)
        form = create_form.read_form(view, self._directory.find_handle(chosen) if chosen else "")
        try:
            preview = self._build_preview(form, asked, world)
            plan_preview.build_view(preview, "", channel=channel)
        except UnusableForm as unusable:
            return _build_errors(view, unusable.errors)
        except UnreadableFile as unreadable:
            problems = select_errors(unreadable.problems)
            return _build_errors(view, rollout_form.assign_problems(form, problems))
        except FileTooLong:
            longest = max(form.parts, key=lambda part: len(form.parts[part]))
            why = "This is too long for a form. Give a reference here, or write a file: rollout apply FILE."
            return _build_errors(view, {rollout_form.part_field(longest): why})
        return preview

    def _build_preview(self, form: RolloutForm, asked: CommandContext, world: World) -> PlanPreview:
        """The preview of the plan that a file with these answers gives."""
        surface = world.surfaces.get(form.surface)
        if surface is None:
            raise NotFound(f"There is no AI feature called {form.surface} any more.", hint="Open the form again.")
        text = rollout_form.write_form(form, surface.live_content)
        file = parse_file(text, _FILENAME, own_metrics=world.own_metrics)
        assert isinstance(file, RolloutFile)
        if world.find_named(form.name.strip()) is not None:
            raise UnusableForm({rollout_form.NAME: f"There is a rollout called {form.name.strip()}. Use another name."})
        plan, warnings = plan_from_file(file, world, asked.at, self._directory.resolve_handle)
        warnings = (*warnings, *channel_checks.check_plan(file, plan, world, self._directory.explain_channel))
        asked.preview(build_plan_command(file, plan, world))
        outlook = load_outlook(self._service, plan, asked.at, warnings)
        return plan_preview.render_preview(outlook, text, world.policy.timezone)

    def handle_preview(self, ack: Ack, body: Body) -> None:
        """The plan was confirmed: plan it, the same way as a file that is applied."""
        view = body["view"]
        file, channel = plan_preview.read_file(view)
        key = f"{view['id']}.{view['hash']}"

        def build_view(message: Message) -> Body:
            return plan_preview.build_planned_view(message, file, channel)

        def acknowledge(message: Message | None) -> None:
            if message is not None:
                ack(response_action="update", view=build_view(message))

        def post_later(message: Message) -> None:
            self._client.views_update(view_id=view["id"], view=build_view(message))

        with SlackResponder(key, acknowledge, post_later) as responder:
            asked = self._requests.build_request(parse_origin({**body, "channel": {"id": channel}}), VERB, key)
            try:
                applied = apply_file.apply_text(
                    self._service,
                    file,
                    _FILENAME,
                    by=asked.by,
                    at=asked.at,
                    command_id=asked.command_id,
                    lookups=FileLookups(resolve_handle=self._directory.resolve_handle),
                    source=asked.source,
                )
            except UnreadableFile as unreadable:
                found = " ".join(problem.message for problem in select_errors(unreadable.problems))
                raise Refused(f"Nothing was planned: {found}.", hint="Open the form again.") from unreadable
            responder.respond(_describe_planned(applied))

    def send_file(self, ack: Ack, body: Body) -> None:
        """Send the rollout file of a modal to the person, as a file in a direct message."""
        ack()
        file, _ = plan_preview.read_file(body["view"])
        own = self._service.load_world().own_metrics
        name = str(parse_file(file, _FILENAME, own_metrics=own).source.data["rollout"])
        first = f"The file of {wording.escape(name, 100)}. `rollout apply` takes it."
        said = blocks.build_message(first)
        posted = self._client.chat_postMessage(
            channel=body["user"]["id"], text=said.text, blocks=list(said.blocks), unfurl_links=False, unfurl_media=False
        )
        self._client.files_upload_v2(
            channel=posted["channel"], thread_ts=posted["ts"], content=file, filename=f"{name}.yaml", title=name
        )


def _build_errors(view: Body, errors: Mapping[str, str]) -> FormErrors:
    placed = create_form.place_errors(view, errors)
    return FormErrors(text="; ".join(placed.values()), errors=placed)


def _describe_planned(applied: AppliedFile) -> Message:
    """What was planned, and what comes next."""
    rollout = applied.outcome.rollout
    assert rollout is not None
    plan = rollout.plan
    approvals, notice = plan_outlook.describe_approvals(plan), plan_outlook.describe_longest_notice(plan)
    lines = [
        f"Its card is in {wording.escape(plan.engineering_channel, 80)}. Nothing changes for users before it starts."
    ]
    if approvals:
        lines.append(f"Next: approval by {approvals}, in the thread of the card.")
    if notice:
        lines.append(f"{notice} before the start.")
    if plan.start is None:
        lines.append(f"Then start it: `/rollout start {rollout.id}`.")
    first = f"Planned: {wording.format_subject(rollout)}, {wording.format_version_change(rollout)}."
    return blocks.build_message(first, blocks.lines_section(lines))
