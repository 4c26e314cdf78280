"""The notice a channel gets before a change: what people may notice, when, what to say, whom to ask."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bot.rendering import wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages.audience import conversation_words
from bot.rendering.messages.notices import change_status, switch_back
from bot.rendering.sentences import schedule
from bot.rendering.sentences.schedule import LikelyDates, RolloutDates
from core.rollout.plans.plan import BehaviourChange, Expectation, NoticePlan, Plan, changed_parts
from core.rollout.state.model import TERMINAL_STATES, Rollout, RolloutState

_IF_IT_GOES_WRONG = "*If it goes wrong* we switch back within seconds and tell you here."
_WITHOUT_WAY_BACK = "*If it goes wrong* we tell you here; the old version can no longer be used."
_WHICH_VERSION = "*Which version did a customer see?* Type /rollout whois &lt;customer id&gt;"
NOT_MEASURED = "This is how the plan describes it; Rampart has not measured it."
_CLAIMS = {"latency_p50": "faster", "latency_p95": "faster", "ttft_p95": "faster", "eval_pass_rate": "more accurate"}


def render(
    rollout: Rollout,
    notice: NoticePlan,
    title: str,
    posted_at: datetime,
    now: datetime,
    zone: str,
    others: Sequence[Rollout] = (),
    *,
    is_closed: bool,
    likely: LikelyDates | None = None,
) -> Message:
    """The notice, worded for its audience and for where the change stands, or that it no longer applies.

    `title` names the AI feature, `posted_at` is when the notice is or was posted, and `others` are the rollouts that
    are planned or under way on the same AI feature. `is_closed`: the old version can no longer be called. `likely` is
    foreseen before the start.
    """
    name = wording.title_in_sentence(title)
    if rollout.state in {RolloutState.ABANDONED, RolloutState.ROLLED_BACK}:
        return _render_ended(rollout, notice, name, zone, others)
    known = replace(schedule.estimate_dates(rollout, posted_at, now), likely=likely)
    match notice.audience:
        case "marketing":
            body = _build_marketing_text(rollout, known, zone, is_closed=is_closed)
        case "downstream":
            body = _build_downstream_text(rollout, known, zone, is_closed=is_closed)
        case _:
            body = _build_support_text(rollout, known, zone, is_closed=is_closed)
    pressed = [buttons.raise_concern(rollout, notice.key)]
    if rollout.state is not RolloutState.DONE:
        pressed = [buttons.got_it(rollout, notice.key), *pressed, buttons.remind_me(rollout, notice.key)]
    return blocks.build_message(
        change_status.describe(rollout, name, known, now, zone, is_closed=is_closed),
        *(blocks.lines_section(part) for part in body),
        blocks.actions(*pressed),
        blocks.context(_format_footer(rollout, notice)),
    )


def render_replaced(rollout: Rollout, notice: NoticePlan | None, title: str) -> Message:
    """An earlier notice whose plan was changed before the start; `notice` is the one that replaces it, if any."""
    name = wording.title_in_sentence(title)
    instead = (
        "The new notice is in this channel."
        if notice is not None
        else "This channel is no longer on its list. Ask in this thread if you need to know more."
    )
    return blocks.build_message(
        f"Replaced: the plan for this change to the {name} was changed, so what was announced here no longer holds.",
        blocks.section(instead),
        blocks.context(change_status.format_contact(rollout)),
    )


def _render_ended(rollout: Rollout, notice: NoticePlan, name: str, zone: str, others: Sequence[Rollout]) -> Message:
    """The notice of a change that was cancelled or rolled back."""
    if rollout.state is RolloutState.ABANDONED:
        return blocks.build_message(
            f"Cancelled: {describe_cancellation(name, others)}.",
            blocks.lines_section(describe_other_rollouts(others)),
            blocks.context(_format_footer(rollout, notice)),
        )
    announced = [
        f" • ~{wording.escape(change.text).replace('~', '-')}~"
        for change in changes_for_audiences(rollout, notice.audience)
        if not change.unchanged
    ]
    back, at = rollout.rollback, rollout.ended_at
    since = f" (since {wording.format_local_time(at, zone)})" if at is not None else ""
    told = switch_back.describe(rollout, back, notice.audience, at, zone) if back is not None and at is not None else []
    return blocks.build_message(
        f"Switched back: the {name} answers as before again{since}.",
        blocks.lines_section(told),
        blocks.lines_section(
            [
                *(["*What we announced no longer applies*", *announced] if announced else []),
                f"*Who is affected now:* {_describe_left(rollout)}.",
                *(list_withdrawn(rollout) if notice.audience == "marketing" else []),
                *([_WHICH_VERSION] if notice.audience == "support" and rollout.was_exposed else []),
                *describe_other_rollouts(others),
            ]
        ),
        blocks.context(_format_footer(rollout, notice)),
    )


def list_withdrawn(rollout: Rollout) -> list[str]:
    """What marketing must not say any more, as the change was switched back."""
    lines = ["Please don't mention this change in public."]
    if any(not b.unchanged for b in changes_for_audiences(rollout, "marketing")):
        lines.append(
            "The wording we gave you is withdrawn; if you have posted it, take it down or ask "
            f"{wording.format_owner(rollout)}."
        )
    return [" ".join(lines)]


def _describe_left(rollout: Rollout) -> str:
    if conversation_words.has_conversations_on_new(rollout):
        return "only customers in a conversation that had begun with the change, until it ends"
    return "nobody"


def _list_switched_back(rollout: Rollout) -> list[str]:
    names = wording.join_limited([wording.escape(name, 100) for name in rollout.strata_back])
    return [f"*Switched back for:* {names}; they get the old version again."] if names else []


def _list_conversations(rollout: Rollout) -> list[str]:
    told = conversation_words.describe_for_customers(rollout.plan)
    return [f"*{conversation_words.TITLE}:* {told}"] if told else []


def describe_cancellation(name: str, others: Sequence[Rollout]) -> str:
    """A clause that the change is cancelled; with other changes planned, it does not claim that nothing changes."""
    return f"this change to the {name} is not happening" if others else f"the {name} will not change after all"


def describe_other_rollouts(others: Sequence[Rollout]) -> list[str]:
    """A sentence about other changes of the same AI feature; empty without any."""
    names = wording.join_limited([wording.format_subject(one) for one in others], 3)
    return [f"Another change to it is planned or under way ({names}) and has its own notice."] if others else []


def _format_footer(rollout: Rollout, notice: NoticePlan) -> str:
    read = rollout.acknowledged.get(notice.key, ())
    who = f"{wording.join_limited([wording.escape(r, 40) for r in read])} pressed Got it"
    asked = "Please press Got it when you have read this" if notice.acknowledge else "“Got it” is optional"
    shown = f"{who} · " if read else "" if rollout.state in TERMINAL_STATES else f"{asked} · "
    return f"{shown}{change_status.format_contact(rollout)}"


def changes_for_audiences(rollout: Rollout, *audiences: str) -> list[BehaviourChange]:
    """The behaviour changes (and what stays unchanged) that are meant for these audiences or for all."""
    wanted = {*audiences, "all"}
    return [b for b in rollout.plan.behaviour_changes if not b.audience or wanted & set(b.audience)]


def _format_bullets(changes: list[BehaviourChange], *, examples: bool) -> list[str]:
    bullets = []
    for change in changes:
        bullets.append(f" • {wording.escape(change.text)}")
        if examples and change.example_before:
            bullets.append(f"     before: “{wording.escape(change.example_before)}”")
        if examples and change.example_after:
            bullets.append(f"     after:  “{wording.escape(change.example_after)}”")
    return bullets


def _build_support_text(rollout: Rollout, known: RolloutDates, zone: str, *, is_closed: bool) -> list[list[str]]:
    """What is noticed, when, and what to do, each for a paragraph of its own."""
    described = changes_for_audiences(rollout, "support")
    changes = [b for b in described if not b.unchanged]
    same = [wording.escape(b.text) for b in described if b.unchanged]
    noticed = [
        "*What customers may notice*",
        *(_format_bullets(changes, examples=True) or [" • Nothing we know of."]),
        *([f"*Not changing:* {' '.join(same)}"] if same else []),
    ]
    body = [noticed, _build_dates(rollout, known, zone)]
    owner = wording.format_owner(rollout)
    if rollout.state is RolloutState.DONE:
        wrong = f"*If answers look wrong to you, or a customer complains:* tell {owner} in this thread."
        return [*body, [wrong, _WHICH_VERSION]]
    follows = f"no more customers get it until {owner} decides"
    if rollout.is_with_everyone or rollout.state in {RolloutState.ON_HOLD, RolloutState.PAUSED}:
        follows = f"{owner} has to decide how it goes on"
    to_do = [
        f"*If a customer complains:* {'once it has started, ' if rollout.started_at is None else ''}choose *Report AI "
        'answer* in a message\'s menu, or type /rollout complaint "what happened" --user &lt;customer id&gt; --id '
        f"{rollout.id}. Or ask in this thread.",
        f'*If answers look wrong to you:* /rollout feels-off {rollout.id} "what you saw". Once two people have said '
        f"so, {follows}.",
        _WHICH_VERSION,
        _WITHOUT_WAY_BACK if is_closed else _IF_IT_GOES_WRONG,
    ]
    return [*body, to_do]


def _build_dates(rollout: Rollout, known: RolloutDates, zone: str, at_end: str = "") -> list[str]:
    """When it reaches whom, and who has it now."""
    return [
        *_list_conversations(rollout),
        *change_status.describe_dates(rollout, known, zone, at_end),
        f"*Who is affected now:* {change_status.describe_affected(rollout, known)}.",
        *_list_switched_back(rollout),
    ]


def _build_marketing_text(rollout: Rollout, known: RolloutDates, zone: str, *, is_closed: bool) -> list[list[str]]:
    """What is noticed and what may be said, then when."""
    changes = [b for b in changes_for_audiences(rollout, "marketing") if not b.unchanged]
    noticed = _format_bullets(changes, examples=False) or [" • Nobody should notice a difference."]
    body = ["*What people may notice*", *noticed]
    is_over = rollout.state is RolloutState.DONE
    if changes:
        quotes = " ".join(f"“{wording.escape(b.text)}”" for b in changes)
        may = (
            "*You may now say publicly:*"
            if is_over
            else f"*Do not announce it yet.* After we post “{change_status.WATCHING_OVER}”, you may say:"
        )
        body.append(f"{may} {quotes} {NOT_MEASURED}")
    claims = ", ".join(dict.fromkeys([*_expected_claims(rollout), "smarter"]))
    is_shown = is_over and any(m.word == "Better" and m.metric in _CLAIMS for m in rollout.measures)
    why = "That is not cleared for the public." if is_shown else "We have no proof of that."
    body.append(f"*Please do not say:* {claims}. {why}")
    at_end = f"watching is over{'; you may announce it' if changes else ''}"
    dates = _build_dates(rollout, known, zone, at_end)
    if not is_over:
        back = "" if is_closed else ", or if we switch back (that takes seconds)"
        dates.append(f"We will post here when watching is over{back}.")
    return [body, dates]


def _expected_claims(rollout: Rollout) -> list[str]:
    return [_CLAIMS[e.metric] for e in rollout.plan.expectations if e.metric in _CLAIMS] or ["faster", "more accurate"]


def _build_downstream_text(rollout: Rollout, known: RolloutDates, zone: str, *, is_closed: bool) -> list[list[str]]:
    """What changes, then when."""
    before, after = rollout.from_content, rollout.to_content
    changed = changed_parts(before, after)
    body = ["*What your code may see*"]
    body += [f" • {_format_part_change(part, before.get(part), after.get(part))}" for part in changed]
    body += [f" • {wording.escape(part, 40)}: unchanged" for part in sorted(set(before) - set(changed))]
    body += [f" • {_format_expectation(rollout.plan, e)}" for e in rollout.plan.expectations if e.direction != "same"]
    noticeable = [b for b in changes_for_audiences(rollout, "downstream") if not b.unchanged]
    if noticeable:
        body += ["*What people may notice*", *_format_bullets(noticeable, examples=True)]
    left = [_WITHOUT_WAY_BACK if is_closed else _IF_IT_GOES_WRONG] if rollout.state is not RolloutState.DONE else []
    return [body, [*_build_dates(rollout, known, zone), *left]]


def _format_part_change(part: str, before: object, after: object) -> str:
    name = wording.escape(part, 40)
    match before, after:
        case dict(), dict():
            keys = sorted(k for k in {*before, *after} if before.get(k) != after.get(k))
            moved = [
                f"{wording.escape(str(k), 40)} {_format_part_value(before.get(k))} -> "
                f"{_format_part_value(after.get(k))}"
                for k in keys
            ]
            return f"{name}: {', '.join(moved)}"
        case ((list() | tuple()), (list() | tuple())):
            gone = [f"{_format_part_value(x)} removed" for x in before if x not in after]
            new = [f"{_format_part_value(x)} added" for x in after if x not in before]
            return f"{name}: {', '.join([*new, *gone]) or 'different order'}"
    return f"{name}: changed"  # prompt text is never posted to channels


def _format_part_value(value: object) -> str:
    return "none" if value is None else wording.escape(str(value), 60)


def _format_expectation(plan: Plan, expectation: Expectation) -> str:
    found = plan.find_metric(expectation.metric)
    title = found.title if found is not None else expectation.metric
    way = {"up": "higher", "down": "lower"}.get(expectation.direction, expectation.direction)
    if expectation.low is None or expectation.high is None:
        return f"{wording.escape(title, 60)}: expected {way}"
    ends = sorted((abs(expectation.low), abs(expectation.high)))
    unit = "points" if expectation.points else "%"
    return f"{wording.escape(title, 60)}: expected {ends[0] * 100:g} to {ends[1] * 100:g} {unit} {way}"
