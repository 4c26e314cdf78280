"""The result of a simulation, as text and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from bot.rendering import wording
from bot.rendering.blocks import blocks
from core.simulation.report import Found, Harmless
from core.simulation.run import FEWEST
from core.simulation.study import Outcome, Study

_HEAD = ("harm", "found", "median", "9 of 10", "reached by then", "what stopped it")


def text(study: Study, outcome: Outcome) -> str:
    """The whole report as plain text: its basis, the harmless runs, then a table of harms."""
    plan = study.plan
    return "\n".join(
        [
            f"{plan.name}: {plan.surface} {plan.from_version} -> {plan.to_version}, {study.runs} simulated runs each",
            *_basis(study),
            "",
            *_harmless(outcome.harmless),
            "",
            *_harms(outcome.harms),
        ]
    )


def as_json(study: Study, outcome: Outcome) -> dict[str, Any]:
    """The result as JSON: durations in seconds, rates 0 to 1."""
    return {
        "rollout": study.plan.name,
        "runs": study.runs,
        "looks": study.looks,
        "seed": study.seed,
        "daily_requests": study.known.daily_requests,
        "pace_from": study.known.pace_from,
        "levels": "recorded" if study.recording is not None else study.known.measured or "assumed",
        "harmless": _plain(asdict(outcome.harmless)),
        "harms": [_harm_as_json(one) for one in outcome.harms],
    }


def _basis(study: Study) -> list[str]:
    pace = f"{wording.count(study.known.daily_requests or 0)} requests a day ({study.known.pace_from})"
    if study.recording is not None:
        counts = wording.count(study.recording.rows), wording.count(study.recording.units)
        levels = f"{counts[0]} recorded observations of {counts[1]} units, drawn anew for each run"
    else:
        levels = f"levels {study.known.levels_from}"
    return [
        f"Traffic: {pace}; {levels}.",
        f"Looks: about {study.looks} a run, at least {FEWEST} a stage, instead of one every few seconds: "
        "times are rounded up to the next look.",
        "Gates and approvals are taken as given, and holds as set aside, at once.",
    ]


def _harmless(found: Harmless) -> list[str]:
    back = f"{found.rolled_back} of {found.runs}"
    lines = [
        f"Nothing changed ({wording.duration(found.lasted)} on the rollout's clock)",
        f"  rolled back  {back}{_by(found.by)}: in truth at most {found.at_most * 100:.1f} %, with 95 % confidence",
        f"  held         {found.held} of {found.runs}{_by(found.holds_by)}",
    ]
    if found.undecided:
        stages = ", ".join(f"{stage} ({count})" for stage, count in found.undecided)
        lines.append(f"  undecided    {stages}: the longest hold passed before it could go on")
    return lines


def _harms(of: Sequence[Found]) -> list[str]:
    if not of:
        return ["No harm was asked about, and no limit rolls back."]
    lines = blocks.aligned([_HEAD, *(_row(one) for one in of)]).splitlines()
    unseen = [one for one in of if one.stopped < one.runs]
    if unseen:
        named = ", ".join(f"{one.harm.text} ({one.runs - one.stopped} of {one.runs})" for one in unseen)
        lines.append(f"Reached everybody unnoticed: {named}. rollout plan says what would help.")
    return lines


def _row(one: Found) -> tuple[str, ...]:
    return (
        one.harm.text,
        f"{one.stopped} of {one.runs}",
        _span(one.median),
        _span(one.slow),
        "–"
        if one.requests is None
        else f"{wording.plural(one.requests, 'request')}, {wording.plural(one.users or 0, 'user')}",
        ("held by " if one.by_hold else "") + (_listed(one.by) or "nothing") + _held_first(one),
    )


def _held_first(one: Found) -> str:
    return f"; {one.held_first} held before" if one.held_first else ""


def _span(span: timedelta | None) -> str:
    return "–" if span is None else wording.duration(span)


def _by(counted: Sequence[tuple[str, int]]) -> str:
    return f" ({_listed(counted)})" if counted else ""


def _listed(counted: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counted)


def _harm_as_json(one: Found) -> dict[str, Any]:
    return {**_plain(asdict(one)), "harm": one.harm.text, "metric": one.harm.metric}


def _plain(value: Any) -> Any:
    match value:
        case timedelta():
            return value.total_seconds()
        case dict():
            return {key: _plain(inner) for key, inner in value.items()}
        case tuple() | list():
            return [_plain(inner) for inner in value]
        case _:
            return value
