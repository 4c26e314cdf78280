"""The notice a channel gets before a change: what people may notice, when, what to say, whom to ask."""

from collections.abc import Sequence
from datetime import datetime

from bot.rendering import wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages.audience import conversation_words
from bot.rendering.messages.notices import change_status
from bot.rendering.sentences import schedule
from bot.rendering.sentences.schedule import RolloutDates
from core.rollout.plans.plan import BehaviourChange, Expectation, NoticePlan, Plan, changed_parts
from core.rollout.state.model import Rollout, RolloutState

_IF_IT_GOES_WRONG = "*If it goes wrong* we switch back within seconds and tell you here."
_CLAIMS = {"latency_p50": "faster", "latency_p95": "faster", "ttft_p95": "faster", "eval_pass_rate": "more accurate"}


def render(
    rollout: Rollout,
    notice: NoticePlan,
    title: str,
    posted_at: datetime,
    now: datetime,
    zone: str,
    others: Sequence[Rollout] = (),
) -> Message:
    """The notice, worded for its audience and for where the change stands, or that it no longer applies.

    `title` names the AI feature, `posted_at` is when the notice is or was posted, and `others` are the rollouts that
    are planned or under way on the same AI feature.
    """
    name = wording.title_in_sentence(title)
    if rollout.state in {RolloutState.ABANDONED, RolloutState.ROLLED_BACK}:
        return _render_ended(rollout, notice, name, others)
    known = schedule.estimate_dates(rollout, posted_at, now)
    match notice.audience:
        case "marketing":
            body = _build_marketing_text(rollout, known, zone)
        case "downstream":
            body = _build_downstream_text(rollout, known, zone)
        case _:
            body = _build_support_text(rollout, known, zone)
    pressed = [buttons.got_it(rollout, notice.key), buttons.raise_concern(rollout, notice.key)]
    if rollout.state is not RolloutState.DONE:
        pressed.append(buttons.remind_me(rollout, notice.key))
    return blocks.build_message(
        change_status.describe(rollout, notice, name, known, now, zone),
        blocks.lines_section(body),
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
        blocks.context(f"Owner: {wording.format_owner(rollout)} · Questions in thread · {rollout.id}"),
    )


def _render_ended(rollout: Rollout, notice: NoticePlan, name: str, others: Sequence[Rollout]) -> Message:
    """The notice of a change that was cancelled or rolled back."""
    if rollout.state is RolloutState.ABANDONED:
        return blocks.build_message(
            f"Cancelled: {describe_cancellation(name, others)}.",
            blocks.lines_section(describe_other_rollouts(others)),
            blocks.context(_format_footer(rollout, notice)),
        )
    announced = _format_bullets(
        [b for b in changes_for_audiences(rollout, notice.audience) if not b.unchanged], examples=False
    )
    return blocks.build_message(
        f"Switched back: the {name} answers as before again.",
        blocks.lines_section(
            [
                *(["*Announced before, but no longer true*", *announced] if announced else []),
                f"*Who is affected now:* {_describe_left(rollout)}.",
                *describe_other_rollouts(others),
            ]
        ),
        blocks.context(_format_footer(rollout, notice)),
    )


def _describe_left(rollout: Rollout) -> str:
    if conversation_words.has_conversations_on_new(rollout):
        return "only customers in a conversation that had begun with the change, until it ends"
    return "nobody"


def _list_switched_back(rollout: Rollout) -> list[str]:
    names = wording.join_limited([wording.escape(name, 100) for name in rollout.strata_back])
    return [f"*Switched back for:* {names}; they get the previous version again."] if names else []


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
    who = f"Read by {wording.join_limited([wording.escape(r, 40) for r in read])}"
    over = rollout.state in {RolloutState.ABANDONED, RolloutState.ROLLED_BACK}
    asked = "Please confirm with Got it" if notice.acknowledge else "Confirming is optional"
    shown = f"{who} · " if read else "" if over else f"{asked} · "
    return f"{shown}Owner: {wording.format_owner(rollout)} · Questions in thread · {rollout.id}"


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


def _build_support_text(rollout: Rollout, known: RolloutDates, zone: str) -> list[str]:
    described = changes_for_audiences(rollout, "support")
    changes = [b for b in described if not b.unchanged]
    same = [wording.escape(b.text) for b in described if b.unchanged]
    body = [
        "*What customers may notice*",
        *(_format_bullets(changes, examples=True) or [" • Nothing we know of."]),
    ]
    if same:
        body.append(f"*Not changing:* {' '.join(same)}")
    body += [
        *_list_conversations(rollout),
        *change_status.describe_dates(rollout, known, zone),
        f"*Who is affected now:* {change_status.describe_affected(rollout, known)}.",
        *_list_switched_back(rollout),
        f"*If a customer complains:* {'once it has started, ' if rollout.started_at is None else ''}type "
        f'/rollout complaint "what happened" --user &lt;customer id&gt; --id {rollout.id}, or ask in this thread.',
        f"*If answers look wrong to you:* {_describe_doubt(rollout)}",
        "*Which version did they see?* /rollout whois <customer id>".replace("<", "&lt;").replace(">", "&gt;"),
    ]
    return body if rollout.state is RolloutState.DONE else [*body, _IF_IT_GOES_WRONG]


def _describe_doubt(rollout: Rollout) -> str:
    """What somebody does who thinks that the new version answers badly, and what comes of it."""
    if rollout.state is RolloutState.DONE:
        return f"tell {wording.format_owner(rollout)} in this thread."
    follows = "somebody has to decide how it goes on" if rollout.percent >= 100 else "nobody else gets it for now"
    return f'/rollout feels-off {rollout.id} "what you saw". If two people say so, {follows}.'


def _build_marketing_text(rollout: Rollout, known: RolloutDates, zone: str) -> list[str]:
    changes = [b for b in changes_for_audiences(rollout, "marketing") if not b.unchanged]
    noticed = _format_bullets(changes, examples=False) or [" • Nobody should notice a difference."]
    body = ["*What people may notice*", *noticed]
    if changes:
        quotes = " ".join(f"“{wording.escape(b.text)}”" for b in changes)
        when = "now" if rollout.state is RolloutState.DONE else "only after we post “Reached everyone”"
        body.append(f"*You may say publicly* ({when}): {quotes}")
    if rollout.state is not RolloutState.DONE:
        claims = ", ".join(dict.fromkeys([*_expected_claims(rollout), "smarter"]))
        body.append(f"*Please do not say:* {claims}. None of that has been measured yet.")
    body += [
        *_list_conversations(rollout),
        *change_status.describe_dates(rollout, known, zone),
        f"*Who is affected now:* {change_status.describe_affected(rollout, known)}.",
        *_list_switched_back(rollout),
    ]
    if rollout.state is not RolloutState.DONE:
        body.append("We will post here when it reaches everyone, or if we roll it back (that takes seconds).")
    return [*body, f"*Whom to ask:* {wording.format_owner(rollout)}"]


def _expected_claims(rollout: Rollout) -> list[str]:
    return [_CLAIMS[e.metric] for e in rollout.plan.expectations if e.metric in _CLAIMS] or ["faster", "more accurate"]


def _build_downstream_text(rollout: Rollout, known: RolloutDates, zone: str) -> list[str]:
    before, after = rollout.from_content, rollout.to_content
    changed = changed_parts(before, after)
    body = ["*What your code may see*"]
    body += [f" • {_format_part_change(part, before.get(part), after.get(part))}" for part in changed]
    body += [f" • {wording.escape(part, 40)}: unchanged" for part in sorted(set(before) - set(changed))]
    body += [f" • {_format_expectation(rollout.plan, e)}" for e in rollout.plan.expectations if e.direction != "same"]
    noticeable = [b for b in changes_for_audiences(rollout, "downstream") if not b.unchanged]
    if noticeable:
        body += ["*What people may notice*", *_format_bullets(noticeable, examples=True)]
    body += [
        *_list_conversations(rollout),
        *change_status.describe_dates(rollout, known, zone),
        f"*Who is affected now:* {change_status.describe_affected(rollout, known)}.",
        *_list_switched_back(rollout),
    ]
    if rollout.state is not RolloutState.DONE:
        body.append(_IF_IT_GOES_WRONG)
    return [*body, f"*Whom to ask:* {wording.format_owner(rollout)}"]


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
            gone = [f"without {_format_part_value(x)}" for x in before if x not in after]
            new = [f"with {_format_part_value(x)}" for x in after if x not in before]
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
