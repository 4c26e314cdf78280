"""A form for planning a rollout: its fields, the rollout file that the answers describe, and which field is wrong."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import yaml

from core.files.foresight import known_traffic, prefill
from core.files.foresight.detection import DetectionDesign
from core.files.foresight.layer_reach import narrow_traffic
from core.files.kinds.rollout_file import load_template_stages
from core.files.syntax.fields import PART_NAMES
from core.files.syntax.problems import FileProblem, UnreadableFile
from core.files.syntax.yaml_with_lines import parse_yaml
from core.files.templates import DEFAULT_TEMPLATE, TEMPLATES
from core.judging.limits.limits import Limit, LimitKind
from core.rollout.plans.plan import Content
from core.rollout.plans.policy import Policy
from core.rollout.state.surface import Surface

NAME, SURFACE, OWNER, TEMPLATE, WHY, START = "name", "surface", "owner", "template", "why", "start"
VERSION = "version"
NOTICED, NOTHING_VISIBLE, BEFORE, AFTER = "noticed", "nothing_visible", "example_before", "example_after"


@dataclass(frozen=True, slots=True, kw_only=True)
class FormLimit:
    """A rollback limit that the form offers; `unit` is what follows the number in a file."""

    metric: str
    kind: LimitKind
    label: str
    unit: str
    default: str

    @property
    def name(self) -> str:
        """The name of its field."""
        return f"limit.{self.metric}"


LIMITS = (
    FormLimit(
        metric="eval_pass_rate",
        kind=LimitKind.DROPS_BY,
        label="Fewer answers pass our checks, by (percentage points)",
        unit="pp",
        default="2",
    ),
    FormLimit(
        metric="cost_per_request",
        kind=LimitKind.RISES_BY,
        label="Cost per request rises, by (%)",
        unit="%",
        default="15",
    ),
    FormLimit(
        metric="latency_p95",
        kind=LimitKind.EXCEEDS,
        label="Slow responses take longer than (ms)",
        unit="ms",
        default="4000",
    ),
    FormLimit(
        metric="new_error_category",
        kind=LimitKind.RATE_ABOVE,
        label="A new kind of error occurs in more than (% of requests)",
        unit="%",
        default="0.2",
    ),
    FormLimit(
        metric="complaint_rate",
        kind=LimitKind.EXCEEDS_NORMAL_BY,
        label="Complaints are above normal, by (%)",
        unit="%",
        default="50",
    ),
)

_SCALES = {"pp": 0.01, "%": 0.01, "ms": 1.0}
EXPECTED: Mapping[str, str] = {
    "cost_per_request": "Cost",
    "latency_p50": "Response time",
    "eval_pass_rate": "Quality",
    "output_tokens": "Answer length",
}
"""The metrics of which the form asks what is expected, each with its title."""


def part_field(part: str) -> str:
    """The name of the field of a version's part, such as `part.prompt`."""
    return f"part.{part}"


def expectation_field(metric: str) -> str:
    """The name of the field of what is expected of a metric."""
    return f"expect.{metric}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutForm:
    """The answers as they were entered; what was left out is empty.

    `parts` maps parts of a version to their text: a prompt as it is, any other part as YAML. `noticed` has one change
    per line. `limits` maps metrics to amounts without their unit, `expected` maps metrics to up, down or same.
    """

    name: str
    surface: str
    from_version: str
    owner: str
    template: str = DEFAULT_TEMPLATE
    parts: Mapping[str, str] = field(default_factory=dict)
    why: str = ""
    noticed: str = ""
    nothing_visible: bool = False
    example_before: str = ""
    example_after: str = ""
    expected: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    start: datetime | None = None


class UnusableForm(Exception):
    """Answers that give no rollout file. `errors` maps field names to what is wrong, for people."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(errors.values()))
        self.errors = errors


def write_form(form: RolloutForm, live: Content) -> str:
    """The rollout file that the answers describe, as YAML, with only those parts that differ from the `live` version.

    Raises `UnusableForm` if a part is not readable, if none differs, or if it is not said what people will notice.
    """
    changes = [line.strip() for line in form.noticed.splitlines() if line.strip()]
    if not changes and not form.nothing_visible:
        raise UnusableForm(
            {NOTICED: "Name one thing that people will notice, or tick “Nothing visible changes” further down."}
        )
    if changes and form.nothing_visible:
        raise UnusableForm(
            {NOTHING_VISIBLE: "You named something that people will notice. Remove that, or untick this."}
        )
    written: dict[str, Any] = {
        "version": 1,
        "rollout": form.name.strip(),
        "surface": form.surface,
        "owner": form.owner,
        "template": form.template,
        "change": {
            "from": f"{form.surface}@{form.from_version}",
            "to": _read_parts(form.parts, live),
            **({"why": form.why.strip()} if form.why.strip() else {}),
        },
    }
    if changes:
        written["behaviour_changes"] = [_write_change(form, n, text) for n, text in enumerate(changes)]
    if form.expected:
        written["expectations"] = {metric: {"direction": way} for metric, way in form.expected.items()}
    written["rollback_when"] = [
        {"metric": limit.metric, limit.kind.value: f"{form.limits[limit.metric]}{limit.unit}"}
        for limit in LIMITS
        if form.limits.get(limit.metric)
    ]
    if form.start is not None:
        written["start"] = form.start.isoformat(timespec="minutes")
    return yaml.safe_dump(written, sort_keys=False, allow_unicode=True, width=110)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestedLimits:
    """The amounts that the form and a starting file offer, by metric and without their unit.

    `baseline` is the rollout whose baseline they come from; empty if they are only the defaults.
    """

    amounts: Mapping[str, str]
    baseline: str = ""


def suggest_limits(surface: Surface, policy: Policy, template: str = DEFAULT_TEMPLATE) -> SuggestedLimits:
    """What to offer for each limit: what the template's first compared stage can notice at the baseline's traffic, or
    else the default, which is also the least."""
    defaults = {limit.metric: limit.default for limit in LIMITS}
    known = known_traffic.recall_traffic(surface)
    if known is None or not known.daily_requests:
        return SuggestedLimits(amounts=defaults)
    known = narrow_traffic(known, surface, policy)
    stages = tuple(stage for entry in load_template_stages(template) for stage in entry.to_stages())
    limits = {limit.metric: _build_default_limit(limit) for limit in LIMITS}
    risk = TEMPLATES[template].risk
    design = DetectionDesign(
        stages=stages, limits=tuple(limits.values()), risk=risk, grow_on=policy.growth_rule_for(risk)
    )
    compared = design.compared_stages
    found = {
        limit.metric: f"{amount / _SCALES[limit.unit]:g}"
        for limit in LIMITS
        if compared and (amount := prefill.suggest_amount(limits[limit.metric], design, compared[0], known)) is not None
    }
    return SuggestedLimits(amounts={**defaults, **found}, baseline=known.measured if found else "")


def _build_default_limit(limit: FormLimit) -> Limit:
    return prefill.build_limit(limit.metric, limit.kind, float(limit.default) * _SCALES[limit.unit])


def write_starting_file(surface: Surface, policy: Policy) -> str:
    """A rollout file to fill in by hand. It changes nothing yet, so it is refused until somebody edits it."""
    suggested = suggest_limits(surface, policy)
    started = {
        "version": 1,
        "rollout": "name-of-the-rollout",
        "surface": surface.name,
        "owner": surface.owner,
        "template": DEFAULT_TEMPLATE,
        "change": {
            "from": f"{surface.name}@{surface.live}",
            "to": {part: _to_plain(surface.live_content[part]) for part in PART_NAMES if part in surface.live_content},
            "why": "Why it changes.",
        },
        "behaviour_changes": [{"text": "What people will notice, for support and marketing."}],
        "rollback_when": [
            {"metric": limit.metric, limit.kind.value: f"{suggested.amounts[limit.metric]}{limit.unit}"}
            for limit in LIMITS
        ],
    }
    origin = f"# Limits: baseline from {suggested.baseline}\n" if suggested.baseline else ""
    return origin + yaml.safe_dump(started, sort_keys=False, allow_unicode=True, width=110)


def _write_change(form: RolloutForm, number: int, text: str) -> dict[str, str]:
    """One change that people will notice; the examples belong to the first."""
    examples = {"example_before": form.example_before.strip(), "example_after": form.example_after.strip()}
    return {"text": text, **{name: given for name, given in examples.items() if given and number == 0}}


def _read_parts(parts: Mapping[str, str], live: Content) -> dict[str, Any]:
    """The parts that differ from the live version, as values. Raises `UnusableForm` with every part that is not
    readable, or if none differs."""
    read: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for part in PART_NAMES:
        text = parts.get(part, "").strip()
        if not text or text == format_part(live, part).strip():
            continue
        if part == "prompt" and isinstance(live.get(part, ""), str):
            read[part] = text
            continue
        try:
            read[part] = parse_yaml(text, part).data
        except UnreadableFile as unreadable:
            errors[part_field(part)] = f"This is not readable: {unreadable.problems[0].message}."
    if errors:
        raise UnusableForm(errors)
    if not read:
        raise UnusableForm(
            {part_field("prompt"): "Nothing differs from the live version yet. Change at least one part."}
        )
    return read


def format_part(content: Content, part: str) -> str:
    """A part of a version as the form shows it: a prompt as it is, anything else as YAML on one line. Empty if the
    version has no such part."""
    value = content.get(part)
    if value is None:
        return ""
    if part == "prompt" and isinstance(value, str):
        return value
    line = yaml.safe_dump(_to_plain(value), default_flow_style=True, allow_unicode=True, width=10_000, sort_keys=False)
    return line.removesuffix("\n").removesuffix("\n...")


def list_versions(surface: Surface, text_limit: int) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(version, parts that differ from the live one) of every version that the form can fill in, newest first and the
    live one at the top.

    Left out are those that lack a part of the live version, as an empty field leaves that part as it is, and those with
    a text of more than `text_limit` characters.
    """
    live = surface.live_content
    offered: list[tuple[str, tuple[str, ...]]] = [(surface.live, ())]
    for name, content in reversed(list(surface.versions.items())):
        differing = tuple(part for part in PART_NAMES if content.get(part) != live.get(part))
        is_writable = all(content.get(part) and len(format_part(content, part)) <= text_limit for part in differing)
        if name != surface.live and differing and is_writable:
            offered.append((name, differing))
    return tuple(offered)


def _to_plain(value: Any) -> Any:
    """The value as the lists and dicts that YAML writes."""
    if isinstance(value, Mapping):
        return {key: _to_plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(inner) for inner in value]
    return value


def assign_problems(form: RolloutForm, problems: Iterable[FileProblem]) -> dict[str, str]:
    """What is wrong by field: each problem of the file under the field that it comes from."""
    found: dict[str, list[str]] = {}
    for problem in problems:
        text = problem.message[:1].upper() + problem.message[1:]
        found.setdefault(_find_field(form, problem), []).append(text if text.endswith((".", "?")) else f"{text}.")
    return {name: " ".join(dict.fromkeys(texts)) for name, texts in found.items()}


def _find_field(form: RolloutForm, problem: FileProblem) -> str:
    match problem.path:
        case ("surface" | "notify", *_) | ("change", "from", *_):
            return SURFACE
        case ("owner", *_):
            return OWNER
        case ("template" | "risk" | "stages" | "approvals" | "assignment", *_):
            return TEMPLATE
        case ("change", "why", *_):
            return WHY
        case ("change", "to", str(part), *_) if part in form.parts:
            return part_field(part)
        case ("change", *_):
            return part_field(next(iter(form.parts), "prompt"))
        case ("behaviour_changes", _, "example_before", *_):
            return BEFORE
        case ("behaviour_changes", _, "example_after", *_):
            return AFTER
        case ("behaviour_changes", *_):
            return NOTICED
        case ("expectations", str(metric), *_):
            return expectation_field(metric)
        case ("rollback_when", int(number), *_):
            return [limit.name for limit in LIMITS if form.limits.get(limit.metric)][number]
        case ("rollback_when", *_):
            return LIMITS[0].name
        case ("start", *_):
            return START
        case _:
            return NAME
