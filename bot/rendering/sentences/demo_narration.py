"""What happens now in the demonstration and what comes next, for somebody who sees a rollout for the first time."""

from datetime import datetime, timedelta
from typing import assert_never

from bot.rendering import reach_words, wording
from bot.rendering.sentences import headline
from core.rollout.decisions import approval_requests
from core.rollout.plans.plan import GATE_KINDS
from core.rollout.state.model import Rollout, RolloutState

BEFORE = (
    "Rampart is starting, with a small Slack and simulated users of a support assistant.",
    "Mia follows the assistant. Dana applies a rollout file: its card appears in #ai-rollouts, and #support and "
    "#marketing are told, and Mia in person.",
)

FORESEEABLE = 1800
"""Seconds; what would take longer in front of the screen is held back by a machine that is too slow just now."""

PAUSED = "once you let time run again"


def tell(
    rollout: Rollout,
    now: datetime,
    *,
    pace: float,
    yours: bool,
    lee_approves_at: datetime | None = None,
    ana_rolls_back_at: datetime | None = None,
) -> tuple[str, str]:
    """(now, next) as plain text.

    `pace` is how fast the rollout's clock goes, 0 while it is paused; `yours`: only the reader presses. Before
    `lee_approves_at` Lee leaves the approval to the reader, and before `ana_rolls_back_at` Ana what is on hold.
    """
    left = _Left(now, pace)
    match rollout.state:
        case RolloutState.PLANNED:
            return _planned(rollout, left, yours=yours, lee_approves_at=lee_approves_at)
        case RolloutState.RUNNING:
            return _running(rollout, left)
        case RolloutState.WAITING:
            return (
                f"{rollout.id} is waiting for {approval_requests.describe_missing_approvals(rollout)}.",
                "Approve in the thread of its card; until then nothing grows.",
            )
        case RolloutState.ON_HOLD:
            why = rollout.hold.text if rollout.hold is not None else ""
            else_ana = f"; otherwise Ana rolls it back {left.until(ana_rolls_back_at)}" if ana_rolls_back_at else ""
            return (
                f"{rollout.id} is on hold: {why}.",
                f"Resume it or roll it back, with the buttons of its card{else_ana}.",
            )
        case RolloutState.PAUSED:
            return f"{rollout.id} is paused: nothing grows.", "Resume it or roll it back, with the buttons of its card."
        case RolloutState.ROLLED_BACK:
            return _rolled_back(rollout)
        case RolloutState.DONE:
            new = rollout.plan.to_version
            return (
                f"{rollout.id} is done: no limit was broken, and everyone gets {new}.",
                "Its card keeps the button to roll back.",
            )
        case RolloutState.ABANDONED:
            return (
                f"{rollout.id} was abandoned before anyone got it.",
                "Apply a file of your own, or stop with Ctrl-C.",
            )
        case _:
            assert_never(rollout.state)


class _Left:
    """How long something takes in front of the screen."""

    def __init__(self, now: datetime, pace: float) -> None:
        self._now = now
        self._pace = pace

    def until(self, at: datetime | None) -> str:
        if not self._pace:
            return PAUSED
        seconds = max((at - self._now) / timedelta(seconds=1), 0.0) / self._pace if at is not None else 0.0
        if seconds >= FORESEEABLE:
            return "once the simulated users have caught up"
        span = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
        return f"in about {span}" if seconds >= 1 else "now"


def _planned(rollout: Rollout, left: _Left, *, yours: bool, lee_approves_at: datetime | None) -> tuple[str, str]:
    version = rollout.plan.to_version
    turn = "The first rollout is over; this one is yours. " if yours else ""
    if rollout.start is not None and approval_requests.is_approved(rollout):
        percent = wording.format_percent(next((s.percent for s in rollout.plan.stages if s.has_exposure), 0.0))
        return (
            f"{rollout.id} is approved and scheduled: the notices must be up for their time first.",
            f"It starts automatically {left.until(rollout.start)}: {percent} of the users get {version}.",
        )
    if rollout.request is not None and not approval_requests.is_approved(rollout):
        who = "Lee, a lead, approves it in the thread of its card"
        if yours or lee_approves_at is not None:
            who = "Be Lee and press Approve, in the thread of its card or on the home tab"
        if lee_approves_at is not None:
            who += f"; otherwise Lee does it {left.until(lee_approves_at)}"
        return (
            f"{turn}{rollout.id} is planned: see its card in #ai-rollouts, and the notices in #support and #marketing.",
            f"{who}. Dana cannot: she owns it.",
        )
    who = "Be Ana and press Start on its card" if yours else "Ana starts it"
    return f"{turn}{rollout.id} is approved.", f"{who}. Nothing changes for users until then."


def _name_compared(rollout: Rollout) -> str:
    """With whom those on the new version are compared: `, compared with everyone else`; empty if nobody is left."""
    stage = rollout.current_stage
    if stage.audience:
        return ", compared with the rest of them" if stage.percent < 100 else ""
    is_matched = stage.has_matched_control(rollout.plan.control)
    return f", compared with {'as many others' if is_matched else 'everyone else'}"


def _running(rollout: Rollout, left: _Left) -> tuple[str, str]:
    seen = ""
    if rollout.evidence is not None:
        requests = wording.pluralize(round(rollout.evidence.canary_requests), "request")
        seen = f"; at the last look it had served {requests}"
    old, new = rollout.plan.from_version, rollout.plan.to_version
    if rollout.current_stage.kind in GATE_KINDS:
        return (
            f"{rollout.id} is at the gate {rollout.current_stage.name}: no user gets {new} yet.",
            "Results of an offline run, or a timed drill, open it; nothing grows before.",
        )
    if rollout.is_with_everyone and not rollout.leaves_some_out:
        now = f"Everyone gets {new}{seen}; {old} is one click away."
    else:
        whom = "" if rollout.current_stage.audience or rollout.reach < 1 else " of the users"
        now = f"{reach_words.format_share(rollout)}{whom} get {new}{_name_compared(rollout)}{seen}."
    at = headline.min_hold_ends_at(rollout)
    soon = left.until(at)
    if soon != PAUSED:
        soon = "as soon as there is enough data" if soon == "now" else f"{soon} at the earliest"
    return (
        now,
        f"{headline.next_step_label(rollout)}, {soon}; if it breaks an agreed limit, everyone goes back to {old}.",
    )


def _rolled_back(rollout: Rollout) -> tuple[str, str]:
    old = rollout.plan.from_version
    if rollout.flip is None and not rollout.flip_doubted:
        return (
            f"{rollout.id} is being rolled back: everyone gets {old} again.",
            "Once every process has confirmed it, the alert says how long it took.",
        )
    took = f" It took {wording.format_duration(rollout.flip.seconds)}." if rollout.flip is not None else ""
    return (
        f"{rollout.id} was rolled back: everyone gets {old} again.{took}",
        "Read the alert in #ai-rollouts, and what #support and #marketing were told.",
    )
