"""The modal that plans a rollout: built for one AI feature and template, and its answers read."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bot.rendering import wording
from bot.rendering.blocks import blocks, inputs, modals
from bot.rendering.blocks.blocks import Block
from bot.rendering.sentences import headline
from core import durations
from core.files import rollout_form as fields
from core.files.kinds.rollout_file import load_template_stages
from core.files.rollout_form import RolloutForm
from core.files.syntax.fields import PART_NAMES
from core.files.templates import DEFAULT_TEMPLATE, TEMPLATES
from core.rollout.plans.plan import GATE_KINDS, Stage
from core.rollout.plans.policy import Policy
from core.rollout.state.surface import Surface

CALLBACK = "create"
DISPATCHING = (fields.SURFACE, fields.TEMPLATE, fields.VERSION)
"""The fields whose choice changes the rest of the form, by action id."""

_WAYS = {"": "not stated", "down": "lower", "same": "the same", "up": "higher"}
_PART_LABELS = {
    "prompt": "New prompt",
    "model": "Model",
    "params": "Parameters",
    "tools": "Tools",
    "routing": "Routing",
}
_ALWAYS_ASKED = ("prompt", "model")


def build_form(
    surfaces: Mapping[str, Surface],
    policy: Policy,
    user: str,
    *,
    surface: str = "",
    template: str = DEFAULT_TEMPLATE,
    version: str = "",
    channel: str = "",
) -> dict[str, Any]:
    """The form with a `version` of `surface` filled in, or what is live; `surfaces` is not empty, and its first is the
    default.

    It carries the id of the `channel` that it was opened in, which Slack does not send with modals.
    """
    chosen = surfaces.get(surface) or next(iter(surfaces.values()))
    return modals.build_form(
        CALLBACK,
        "New rollout",
        [
            *_build_subject(surfaces, chosen, template, policy),
            *_build_parts(chosen, version),
            *_build_expectations(),
            *_build_limits(fields.suggest_limits(chosen, policy, template)),
            inputs.moment_input(fields.START, "Start", "Leave it empty to start it yourself once it is approved."),
            inputs.person_input(fields.OWNER, "Owner", initial=user, hint="The owner cannot approve the rollout."),
        ],
        submit="Next: see the plan",
        carries=json.dumps({"channel": channel, "from": chosen.live}),
    )


def _build_subject(surfaces: Mapping[str, Surface], chosen: Surface, template: str, policy: Policy) -> list[Block]:
    return [
        inputs.menu(
            fields.SURFACE,
            "AI feature",
            [(one.name, one.title or one.name) for one in surfaces.values()],
            initial=chosen.name,
            notifies=True,
        ),
        blocks.context(_describe_live(chosen, policy.timezone)),
        inputs.menu(
            fields.TEMPLATE,
            "How careful?",
            [(name, f"{name}: {one.title}") for name, one in TEMPLATES.items()],
            initial=template,
            notifies=True,
        ),
        blocks.context(describe_template(template, policy)),
        inputs.text_input(
            fields.NAME,
            "Short name",
            placeholder="shorter-answers",
            max_length=100,
            hint="Letters, digits, dots and dashes. People see it in every message.",
        ),
    ]


def _describe_live(surface: Surface, zone: str) -> str:
    since = f" since {wording.format_local_time(surface.live_since, zone)}" if surface.live_since else ""
    told = ", ".join(dict.fromkeys(f"{n.channel} ({n.audience})" for n in surface.notices)) or "nobody"
    return (
        f"Live now: {wording.escape(surface.live, 40)}{since} · owner {wording.escape(surface.owner, 80)} · told: "
        f"{wording.escape(told, 300)}"
    )


def describe_template(name: str, policy: Policy) -> str:
    """What a template does: the approvals that its risk needs, and its stages with their holds."""
    template = TEMPLATES[name]
    needed = policy.risk[template.risk].approvals
    approvals = wording.pluralize(needed, "approval") if needed else "no approval"
    return f"{approvals} · {' → '.join(_describe_stage(stage) for stage in _list_stages(name))}"


def _list_stages(template: str) -> list[Stage]:
    return [stage for entry in load_template_stages(template) for stage in entry.to_stages()]


def _describe_stage(stage: Stage) -> str:
    label = headline.stage_label(stage)
    if stage.kind in GATE_KINDS or not stage.min_hold:
        return label
    longest = f" to {durations.format_exact(stage.max_hold)}" if stage.max_hold else ""
    return f"{label} ({durations.format_exact(stage.min_hold)}{longest})"


def _build_parts(surface: Surface, version: str) -> list[Block]:
    """What changes, filled in with what is live or with an earlier version. Slack keeps what was typed while a block id
    stays, so the ids name the AI feature and the version: another one is filled in anew."""
    offered = fields.list_versions(surface, inputs.TEXT_INPUT_LIMIT)
    chosen = version if version in dict(offered) else surface.live
    content = surface.versions[chosen]
    shown = [
        inputs.menu(
            fields.VERSION,
            "Start from",
            [(name, _describe_version(name, surface, parts)) for name, parts in offered],
            initial=chosen,
            hint="Fills in the fields below. What differs from the live version is the change.",
            notifies=True,
        )
    ]
    for part in PART_NAMES:
        live = fields.format_part(content, part)
        if not live and part not in _ALWAYS_ASKED:
            continue
        hint = "The text, or a reference such as a path with its hash." if part == "prompt" else "As YAML."
        if len(live) > inputs.TEXT_INPUT_LIMIT:
            hint, live = "The live one is too long for a form: apply a file, or give a reference.", ""
        shown.append(
            inputs.text_input(
                fields.part_field(part),
                _PART_LABELS[part],
                block_id=_part_block(part, surface, chosen),
                initial=live,
                hint=hint,
                optional=True,
                multiline=part == "prompt",
            )
        )
    return [
        blocks.section("*What changes*\nChange what differs from the live version, and leave the rest as it is."),
        *shown,
        inputs.text_input(fields.WHY, "Why", optional=True, max_length=1000),
        inputs.text_input(
            fields.NOTICED,
            "What will people notice?",
            placeholder="Answers are about a third shorter and start with the fix.",
            hint="One change per line. Support and marketing read it word for word.",
            optional=True,
            multiline=True,
        ),
        inputs.text_input(fields.BEFORE, "Example: an answer before", optional=True, multiline=True, max_length=1000),
        inputs.text_input(fields.AFTER, "The same answer after", optional=True, multiline=True, max_length=1000),
        inputs.tick(fields.NOTHING_VISIBLE, "Or", "Nothing visible changes"),
    ]


def _describe_version(name: str, surface: Surface, parts: Sequence[str]) -> str:
    return f"{name} (live)" if name == surface.live else f"{name} ({', '.join(parts)} as it was)"


def _part_block(part: str, surface: Surface, version: str) -> str:
    ending = f"@{version}" if version != surface.live else ""
    return f"{fields.part_field(part)}@{surface.name}{ending}"


def _build_expectations() -> list[Block]:
    return [
        blocks.section("*What do you expect?*\nThe review afterwards compares it with what was measured."),
        *(
            inputs.menu(
                fields.expectation_field(metric),
                title,
                [(way or "none", text) for way, text in _WAYS.items()],
                initial="none",
                optional=True,
            )
            for metric, title in fields.EXPECTED.items()
        ),
    ]


def _build_limits(suggested: fields.SuggestedLimits) -> list[Block]:
    origin = f" Suggested: baseline from {wording.escape(suggested.baseline, 40)}." if suggested.baseline else ""
    return [
        blocks.section(f"*Roll back if*\nFixed once it has started. Leave a field empty to set no such limit.{origin}"),
        *(inputs.number_input(limit.name, limit.label, suggested.amounts[limit.metric]) for limit in fields.LIMITS),
    ]


def read_choices(view: Mapping[str, Any]) -> tuple[str, str, str]:
    """(surface, template, version) as chosen so far."""
    given = _read_state(view)
    template = str(given.get(fields.TEMPLATE) or DEFAULT_TEMPLATE)
    return str(given.get(fields.SURFACE) or ""), template, str(given.get(fields.VERSION) or "")


def read_channel_id(view: Mapping[str, Any]) -> str:
    """The id of the channel in which the form was opened; empty if unknown."""
    return str(json.loads(view["private_metadata"])["channel"])


def read_form(view: Mapping[str, Any], owner: str) -> RolloutForm:
    """The answers of a submitted form; `owner` is how the chosen person is written in files."""
    given = _read_state(view)
    start = given.get(fields.START)
    parts = {part: str(given.get(fields.part_field(part)) or "") for part in PART_NAMES}
    ways = {metric: given.get(fields.expectation_field(metric)) for metric in fields.EXPECTED}
    return RolloutForm(
        name=str(given.get(fields.NAME) or ""),
        surface=str(given.get(fields.SURFACE) or ""),
        from_version=str(json.loads(view["private_metadata"])["from"]),
        owner=owner,
        template=str(given.get(fields.TEMPLATE) or DEFAULT_TEMPLATE),
        parts={part: text for part, text in parts.items() if text},
        why=str(given.get(fields.WHY) or ""),
        noticed=str(given.get(fields.NOTICED) or ""),
        nothing_visible=bool(given.get(fields.NOTHING_VISIBLE)),
        example_before=str(given.get(fields.BEFORE) or ""),
        example_after=str(given.get(fields.AFTER) or ""),
        expected={metric: str(way) for metric, way in ways.items() if way not in (None, "none")},
        limits={limit.metric: str(given[limit.name]) for limit in fields.LIMITS if given.get(limit.name)},
        start=datetime.fromtimestamp(int(start), UTC) if start else None,
    )


def read_owner_id(view: Mapping[str, Any]) -> str:
    """The user id of the chosen owner."""
    return str(_read_state(view).get(fields.OWNER) or "")


def place_errors(view: Mapping[str, Any], errors: Mapping[str, str]) -> dict[str, str]:
    """The errors by block id, as Slack takes them; what belongs to no field of this form stands under the name."""
    block_of = {
        block["element"]["action_id"]: block["block_id"] for block in view["blocks"] if block["type"] == "input"
    }
    placed: dict[str, str] = {}
    for name, text in errors.items():
        at = block_of.get(name, fields.NAME)
        placed[at] = f"{placed[at]} {text}" if at in placed else text
    return {block: wording.shorten(text, inputs.ERROR_LIMIT) for block, text in placed.items()}


def _read_state(view: Mapping[str, Any]) -> dict[str, Any]:
    """Every answer by action id."""
    return {
        action: _read_value(element) for block in view["state"]["values"].values() for action, element in block.items()
    }


def _read_value(element: Mapping[str, Any]) -> Any:
    match element["type"]:
        case "static_select":
            return (element.get("selected_option") or {}).get("value")
        case "checkboxes":
            return [option["value"] for option in element.get("selected_options") or []]
        case "users_select":
            return element.get("selected_user")
        case "datetimepicker":
            return element.get("selected_date_time")
        case _:
            return element.get("value")
