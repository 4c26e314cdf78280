"""What the channels that had a notice are told afterwards: it began, it reached everyone, it was switched back."""

from datetime import datetime

from bot.rendering import blocks, notice, schedule, segments, wording
from bot.rendering.blocks import Message
from core.metrics.catalogue import CATALOGUE
from core.rollout import events as e
from core.rollout.model import Rollout

_NOTICED = {
    "refusal_rate": "declined too often",
    "eval_pass_rate": "gave worse answers more often",
    "critical_fail_rate": "made serious mistakes more often",
    "hard_error_rate": "failed more often",
    "new_error_category": "failed in new ways",
    "latency_p95": "was slower than agreed",
    "latency_p50": "was slower than agreed",
    "ttft_p95": "was slower than agreed",
    "complaint_rate": "drew more complaints",
    "moderation_flag_rate": "gave answers that our checks flagged",
    "retry_rate": "made people ask again more often",
}


def render(rollout: Rollout, event: e.RolloutEvent, audience: str, title: str, at: datetime, zone: str) -> Message:
    """One plain message about `event`, which happened `at`."""
    name = wording.in_a_sentence(title)
    match event:
        case e.RolledBack():
            return _switched_back(rollout, event, name, at, zone)
        case e.Started():
            known = schedule.dates(rollout, at)
            all_of_them = schedule.everyone(known, zone)
            first = f"Started: the new version of the {name} is on its way, {all_of_them} if all goes well."
            body = ["Customers get it in steps, a few first. What they may notice is in the notice above."]
        case e.Completed():
            first = f"Reached everyone: the {name} answers with the new version for all customers."
            quotes = [f"“{wording.escape(b.text)}”" for b in notice.noticed(rollout, audience) if not b.unchanged]
            body = [f"You may say so now: {' '.join(quotes)}"] if quotes and audience == "marketing" else []
            body += [_measured(rollout)] if audience == "marketing" and rollout.measures else []
        case e.Abandoned():
            first = f"Cancelled: the {name} does not change after all."
            body = ["Nothing was changed, and nothing needs to be done."]
        case _:
            raise ValueError(f"nobody outside is told about {type(event).__name__}")
    return blocks.message(first, blocks.lines(body), blocks.context(_footer(rollout)))


def _footer(rollout: Rollout) -> str:
    return f"Owner: {wording.owner(rollout)} · Questions in thread · {rollout.id}"


def _switched_back(rollout: Rollout, event: e.RolledBack, name: str, at: datetime, zone: str) -> Message:
    first = f"Switched back: the {name} answers as before again (since {wording.when(at, zone)})."
    body = [_saw(event, rollout, at, zone)]
    if event.exposed_units:
        body.append("If they write in: “That was a fault on our side, please ask again.”")
    body.append("Nothing more will change until you get a new notice.")
    return blocks.message(first, blocks.lines(body), blocks.context(_footer(rollout)))


def _saw(event: e.RolledBack, rollout: Rollout, at: datetime, zone: str) -> str:
    if not event.exposed_units:
        return "No customer saw the new version."
    people = f"About {wording.plural(event.exposed_units, 'customer')}"
    began = rollout.started_at
    span = f" between {wording.clock_time(began, zone)} and {wording.clock_time(at, zone)}" if began else ""
    how = next((_NOTICED[f.metric] for f in event.findings if f.metric in _NOTICED), "")
    where = segments.place(event.findings[0].segment) if event.findings and event.findings[0].segment else ""
    mostly = f", mostly where {where}" if where else ""
    return f"{people} saw a version{f' that {how}' if how else ''}{span}{mostly}."


def _measured(rollout: Rollout) -> str:
    told = []
    for measure in rollout.measures:
        if measure.word == "Better" and measure.canary is not None and measure.control is not None:
            title = CATALOGUE[measure.metric].title if measure.metric in CATALOGUE else measure.title
            new, old = _plain(measure.canary, measure.unit), _plain(measure.control, measure.unit)
            told.append(f"{wording.escape(title, 60)}: {new}, before {old}")
    return f"Measured: {'; '.join(told)}." if told else "Measured: no difference that we would put in public."


def _plain(number: float, unit: str) -> str:
    return wording.in_a_thousand(number) if unit.startswith("%") else wording.value(number, unit)
