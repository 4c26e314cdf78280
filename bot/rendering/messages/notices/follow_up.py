"""Follow-ups to notices: the change started, is no longer watched, was switched back, or was cancelled."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias, assert_never

from bot.rendering import wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages.notices import change_status, notice, switch_back
from bot.rendering.sentences import schedule
from core.metrics.catalogue import CATALOGUE
from core.rollout.state import events as e
from core.rollout.state.model import Rollout

FollowedUp: TypeAlias = e.Started | e.Completed | e.Abandoned | e.RolledBack
"""The events of which a channel hears that got a notice."""
_SEE_NOTICE = "The notice above says what they may notice; it always shows how many have it and what comes next."


def render(
    rollout: Rollout,
    event: FollowedUp,
    audience: str,
    title: str,
    at: datetime,
    zone: str,
    others: Sequence[Rollout] = (),
    *,
    keeps_customers: bool = False,
) -> Message:
    """One plain message about `event`, which happened `at`.

    `others` are the rollouts that are planned or under way on the same AI feature. `keeps_customers`: the policy keeps
    the ids of customers, so that those affected can be listed.
    """
    name = wording.title_in_sentence(title)
    match event:
        case e.RolledBack():
            told = _render_switch_back(rollout, event, audience, name, at, zone, others)
            is_listed = keeps_customers and audience == "support" and event.exposed_units
            button = buttons.run_command("Customers affected", f"customers {rollout.id}")
            return blocks.append_blocks(
                told,
                blocks.actions(button) if is_listed else None,
                blocks.context(change_status.format_contact(rollout)),
            )
        case e.Started():
            first, body = _render_start(rollout, name, at, zone)
        case e.Completed():
            first = change_status.describe_end(rollout, name, zone)
            quotes = [
                f"“{wording.escape(b.text)}”"
                for b in notice.changes_for_audiences(rollout, audience)
                if not b.unchanged
            ]
            body = _list_public_claims(rollout, quotes) if audience == "marketing" else []
        case e.Abandoned():
            first = f"Cancelled: {notice.describe_cancellation(name, others)}."
            body = ["Nothing changed, and you don't need to do anything.", *notice.describe_other_rollouts(others)]
        case _:
            assert_never(event)
    return blocks.build_message(
        first, blocks.lines_section(body), blocks.context(change_status.format_contact(rollout))
    )


def _render_start(rollout: Rollout, name: str, at: datetime, zone: str) -> tuple[str, list[str]]:
    """The first line and the rest. A plan may begin with checks, or with people who were chosen."""
    known = schedule.estimate_dates(rollout, at)
    begins = rollout.plan.stages[0]
    if schedule.is_customer_stage(begins):
        first = f"Started: the first customers now get the new version of the {name}."
        return first, [f"More get it step by step, if all goes well. {_SEE_NOTICE}"]
    if begins.has_exposure:
        first = f"Started: {change_status.describe_selected(rollout, now=f'now get the new version of the {name}')}."
    else:
        first = f"Starting: the new version of the {name} is being checked; nobody has it yet."
    when = known.first_customers_at
    if when is None:
        return first, [f"Customers get it later, if all goes well. {_SEE_NOTICE}"]
    others = f"{wording.format_local_time(when, zone)} at the earliest" if when > at else "once the checks have passed"
    return first, [f"The first customers get it {others}.{schedule.describe_chosen(known, zone)} {_SEE_NOTICE}"]


def _render_switch_back(
    rollout: Rollout, event: e.RolledBack, audience: str, name: str, at: datetime, zone: str, others: Sequence[Rollout]
) -> Message:
    first = f"Switched back: the {name} answers as before again (since {wording.format_local_time(at, zone)})."
    body = switch_back.describe(rollout, event, audience, at, zone)
    if audience == "marketing":
        body += notice.list_withdrawn(rollout)
    body += notice.describe_other_rollouts(others) or [
        "It stays that way: you get a new notice before anything changes again."
    ]
    return blocks.build_message(first, blocks.lines_section(body))


def _list_public_claims(rollout: Rollout, quotes: list[str]) -> list[str]:
    """What marketing may say: quotes from the plan, kept apart from measured improvements."""
    claims = []
    if quotes:
        claims.append(f"You may now say: {' '.join(quotes)} {notice.NOT_MEASURED}")
    better = _list_improvements(rollout)
    if better:
        claims.append(f"For your information, not for public use: {'; '.join(better)}.")
    elif rollout.measures:
        claims.append("Nothing was measured that could be quoted in public.")
    return claims


def _list_improvements(rollout: Rollout) -> list[str]:
    improvements = []
    for measure in rollout.measures:
        noticed = measure.metric in switch_back.FAULT_WORDS
        if noticed and measure.word == "Better" and measure.canary is not None and measure.control is not None:
            title = CATALOGUE[measure.metric].title if measure.metric in CATALOGUE else measure.title
            new, old = (
                wording.format_level(measure.canary, measure.unit),
                wording.format_level(measure.control, measure.unit),
            )
            improvements.append(f"{wording.escape(title, 60)}: {new} (with the old version: {old})")
    return improvements
