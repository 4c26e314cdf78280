"""The notice a channel gets before a change: what people may notice, when, what to say, whom to ask."""

from collections.abc import Sequence
from datetime import datetime

from bot.rendering import schedule, wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from core.metrics.catalogue import CATALOGUE
from core.rollout.model import Rollout, State
from core.rollout.plan import BehaviourChange, Expectation, NoticePlan, changed_parts

_CLAIMS = {"latency_p50": "faster", "latency_p95": "faster", "ttft_p95": "faster", "eval_pass_rate": "more accurate"}


def render(
    rollout: Rollout, notice: NoticePlan, title: str, at: datetime, zone: str, others: Sequence[Rollout] = ()
) -> Message:
    """The notice, worded for its audience, or that it no longer applies.

    `title` names the AI feature, `at` is when the notice is or was posted, and `others` are the rollouts that are
    planned or under way on the same AI feature.
    """
    if rollout.state in {State.ABANDONED, State.ROLLED_BACK}:
        return _over(rollout, notice, wording.in_a_sentence(title), others)
    known = schedule.dates(rollout, at)
    match notice.audience:
        case "marketing":
            first, body = _marketing(rollout, title, known, zone)
        case "downstream":
            first, body = _downstream(rollout, title, known, zone)
        case _:
            first, body = _support(rollout, title, known, zone)
    return blocks.message(
        first,
        blocks.lines(body),
        blocks.actions(buttons.got_it(rollout, notice.key), buttons.concern(rollout, notice.key)),
        blocks.context(_footer(rollout, notice)),
    )


def _over(rollout: Rollout, notice: NoticePlan, name: str, others: Sequence[Rollout]) -> Message:
    """The notice of a change that was cancelled or rolled back."""
    if rollout.state is State.ABANDONED:
        return blocks.message(
            f"Cancelled: {cancelled(name, others)}.",
            blocks.lines(elsewhere(others)),
            blocks.context(_footer(rollout, notice)),
        )
    announced = _bullets([b for b in noticed(rollout, notice.audience) if not b.unchanged], examples=False)
    return blocks.message(
        f"Switched back: the {name} answers as before again.",
        blocks.lines(
            [
                *(["*What was announced, and holds no more*", *announced] if announced else []),
                "*Who is affected now:* nobody any more.",
                *elsewhere(others),
            ]
        ),
        blocks.context(_footer(rollout, notice)),
    )


def cancelled(name: str, others: Sequence[Rollout]) -> str:
    """A clause that the change is cancelled; with other changes planned, it does not claim that nothing changes."""
    return f"this change of the {name} does not come" if others else f"the {name} does not change after all"


def elsewhere(others: Sequence[Rollout]) -> list[str]:
    """A sentence about other changes of the same AI feature; empty without any."""
    names = wording.listing([wording.subject(one) for one in others], 3)
    return [f"Another change of it is planned or under way ({names}), with a notice of its own."] if others else []


def _footer(rollout: Rollout, notice: NoticePlan) -> str:
    read = rollout.acknowledged.get(notice.key, ())
    who = f"Read by {wording.listing([wording.escape(r, 40) for r in read])}"
    over = rollout.state in {State.ABANDONED, State.ROLLED_BACK}
    asked = "Please confirm with Got it" if notice.acknowledge and not over else "Nobody has confirmed yet"
    return f"{who if read else asked} · Owner: {wording.owner(rollout)} · Questions in thread · {rollout.id}"


def noticed(rollout: Rollout, *audiences: str) -> list[BehaviourChange]:
    """The behaviour changes (and what stays unchanged) that are meant for these audiences or for all."""
    wanted = {*audiences, "all"}
    return [b for b in rollout.plan.behaviour_changes if not b.audience or wanted & set(b.audience)]


def _bullets(changes: list[BehaviourChange], *, examples: bool) -> list[str]:
    told = []
    for change in changes:
        told.append(f" • {wording.escape(change.text)}")
        if examples and change.example_before:
            told.append(f"     before: “{wording.escape(change.example_before)}”")
        if examples and change.example_after:
            told.append(f"     after:  “{wording.escape(change.example_after)}”")
    return told


def _affected(rollout: Rollout, known: schedule.Dates) -> str:
    match rollout.state:
        case State.PLANNED:
            return f"nobody yet; it starts with {wording.in_a_hundred(known.first_percent)} customers"
        case State.DONE:
            return "everyone"
        case _ if not rollout.percent:
            return f"nobody yet; it starts with {wording.in_a_hundred(known.first_percent)} customers"
        case _:
            return "everyone" if rollout.percent >= 100 else f"about {wording.in_a_hundred(rollout.percent)} customers"


def _when(rollout: Rollout, known: schedule.Dates, zone: str, first: str = "") -> str:
    if rollout.state is State.DONE or rollout.percent >= 100:
        return "*When:* everyone has it."
    return f"*When:* {first}{schedule.everyone(known, zone)} if all goes well."


def _first_people(known: schedule.Dates) -> str:
    if known.first_percent >= 100:
        return "for everyone at once"
    return f"first for {wording.in_a_hundred(known.first_percent)} customers"


def _support(rollout: Rollout, title: str, known: schedule.Dates, zone: str) -> tuple[str, list[str]]:
    told = noticed(rollout, "support")
    changes = [b for b in told if not b.unchanged]
    same = [wording.escape(b.text) for b in told if b.unchanged]
    name = wording.in_a_sentence(title)
    first = f"{schedule.begins(known, zone)} the {name} starts to change, {_first_people(known)}."
    body = ["*What customers may notice*", *(_bullets(changes, examples=True) or [" • Nothing that we know of."])]
    if same:
        body.append(f"*Not changing:* {' '.join(same)}")
    growing = f"first {wording.in_a_hundred(known.first_percent)} customers, then growing, "
    body += [
        _when(rollout, known, zone, growing),
        f"*Who is affected now:* {_affected(rollout, known)}.",
        f'*If a customer complains:* once it runs, /rollout feels-off {rollout.id} "what happened", or ask below.',
        "*Which version did they see?* /rollout whois <customer id>".replace("<", "&lt;").replace(">", "&gt;"),
        "*If it goes wrong* we switch back within seconds; we will tell you here.",
    ]
    return first, body


def _marketing(rollout: Rollout, title: str, known: schedule.Dates, zone: str) -> tuple[str, list[str]]:
    changes = [b for b in noticed(rollout, "marketing") if not b.unchanged]
    what = _headline_of(changes) if changes else "a change that nobody should notice"
    first = f"{schedule.begins(known, zone)}, {wording.in_a_sentence(title)}: {what}."
    body = [f"*What people may notice*\n{chr(10).join(_bullets(changes, examples=False))}"] if changes else []
    if changes:
        quotes = " ".join(f"“{wording.escape(b.text)}”" for b in changes)
        body.append(f'*You may say publicly* (only after we post "reached everyone"): {quotes}')
    claims = ", ".join(dict.fromkeys([*_expected_claims(rollout), "smarter"]))
    body += [
        f"*Please do not say:* {claims}. That is not measured yet.",
        _when(rollout, known, zone),
        f"*Who is affected now:* {_affected(rollout, known)}.",
        "We will post here when it has reached everyone, and if it is rolled back (that takes seconds).",
        f"*Whom to ask:* {wording.owner(rollout)}",
    ]
    return first, body


def _headline_of(changes: list[BehaviourChange]) -> str:
    return wording.escape(changes[0].text.rstrip(". "), 70).replace(":", ",")


def _expected_claims(rollout: Rollout) -> list[str]:
    return [_CLAIMS[e.metric] for e in rollout.plan.expectations if e.metric in _CLAIMS] or ["faster", "more accurate"]


def _downstream(rollout: Rollout, title: str, known: schedule.Dates, zone: str) -> tuple[str, list[str]]:
    name = wording.in_a_sentence(title)
    first = f"{schedule.begins(known, zone)} the {name} starts to change, {_first_people(known)}."
    before, after = rollout.from_content, rollout.to_content
    changed = changed_parts(before, after)
    body = ["*What your code may see*"]
    body += [f" • {_part(part, before.get(part), after.get(part))}" for part in changed]
    body += [f" • {wording.escape(part, 40)}: unchanged" for part in sorted(set(before) - set(changed))]
    body += [f" • {_expected(e)}" for e in rollout.plan.expectations if e.direction != "same"]
    seen = [b for b in noticed(rollout, "downstream") if not b.unchanged]
    if seen:
        body += ["*What people may notice*", *_bullets(seen, examples=True)]
    body += [
        _when(rollout, known, zone, f"first {wording.in_a_hundred(known.first_percent)} customers, "),
        "*If it goes wrong* we switch back within seconds; we will tell you here.",
        f"*Whom to ask:* {wording.owner(rollout)}",
    ]
    return first, body


def _part(part: str, before: object, after: object) -> str:
    name = wording.escape(part, 40)
    match before, after:
        case dict(), dict():
            keys = sorted(k for k in {*before, *after} if before.get(k) != after.get(k))
            moved = [f"{wording.escape(str(k), 40)} {_short(before.get(k))} -> {_short(after.get(k))}" for k in keys]
            return f"{name}: {', '.join(moved)}"
        case ((list() | tuple()), (list() | tuple())):
            gone = [f"without {_short(x)}" for x in before if x not in after]
            new = [f"with {_short(x)}" for x in after if x not in before]
            return f"{name}: {', '.join([*new, *gone]) or 'another order'}"
    return f"{name}: changed"  # prompt text is never posted to channels


def _short(value: object) -> str:
    return "none" if value is None else wording.escape(str(value), 60)


def _expected(expectation: Expectation) -> str:
    title = CATALOGUE[expectation.metric].title if expectation.metric in CATALOGUE else expectation.metric
    way = {"up": "higher", "down": "lower"}.get(expectation.direction, expectation.direction)
    if expectation.low is None or expectation.high is None:
        return f"{wording.escape(title, 60)}: expected {way}"
    ends = sorted((abs(expectation.low), abs(expectation.high)))
    unit = "points" if expectation.points else "%"
    return f"{wording.escape(title, 60)}: expected {ends[0] * 100:g} to {ends[1] * 100:g} {unit} {way}"
