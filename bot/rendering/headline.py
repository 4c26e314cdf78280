"""The first line about a rollout (state, subject, consequence, next time), shared by card, status and list."""

from datetime import datetime

from bot.rendering import wording
from core.rollout import gates, holds
from core.rollout.model import Rollout, State
from core.rollout.plan import GATES, Stage, StageKind


def render(rollout: Rollout, zone: str) -> str:
    """One line of at most 140 visible characters; times appear in each reader's own time zone."""
    return f"{wording.technical_state(rollout)}: {wording.subject(rollout)}{_consequence(rollout, zone)}"


def _consequence(rollout: Rollout, zone: str) -> str:
    match rollout.state:
        case State.PLANNED:
            return f", {wording.from_to(rollout)}. {before_start(rollout, zone)}"
        case State.RUNNING:
            return _running(rollout, zone)
        case State.WAITING:
            return f" needs {wording.escape(gates.missing(rollout), 80)}. {_stays(rollout)}" if rollout.request else "."
        case State.ON_HOLD:
            text = wording.escape(rollout.hold.text if rollout.hold else "", 45)
            if rollout.hold is not None and holds.clears_itself(rollout.hold.key):
                return f": {text}. {_stays(rollout)}; goes on by itself once that is over."
            return f": {text}. {_stays(rollout)} until {wording.owner(rollout)} decides."
        case State.PAUSED:
            return f". {_stays(rollout)} until somebody resumes it."
        case State.ROLLED_BACK:
            return f". Everyone is on {wording.escape(rollout.plan.from_version, 40)} again; {_took(rollout)}."
        case State.DONE:
            return f". {wording.escape(rollout.plan.to_version, 40)} is what everyone gets. Roll back still works."
        case State.ABANDONED:
            return ". Nothing was changed."


def _took(rollout: Rollout) -> str:
    if rollout.flip is not None:
        return f"it took {wording.duration(rollout.flip.seconds)}"
    return "NOT CONFIRMED yet" if rollout.flip_doubted else "being confirmed"


def _stays(rollout: Rollout) -> str:
    return f"{wording.percent(rollout.percent)} stays" if rollout.percent else "Nobody sees it"


def before_start(rollout: Rollout, zone: str) -> str:
    """What a planned rollout is waiting for before it can start."""
    if rollout.live_instead:
        old, live = wording.escape(rollout.plan.from_version, 40), wording.escape(rollout.live_instead, 40)
        return f"Cannot start: {old} is not live any more, {live} is."
    if rollout.request is not None and not gates.is_open(rollout):
        need = wording.escape(gates.missing(rollout), 80)
        by_itself = f", then starts {wording.when(rollout.start, zone)}" if rollout.start else ""
        return f"Needs {need}{by_itself}."
    if rollout.start is not None:
        return f"Starts {wording.when(rollout.start, zone)} by itself."
    if any(rollout.notice_posted(n.key) is None for n in rollout.plan.told_before):
        return "Notices go out first."
    earliest = _earliest(rollout)
    if earliest is not None:
        return f"May start from {wording.when(earliest, zone)}."
    return f"Starts on /rollout start {rollout.id}."


def _earliest(rollout: Rollout) -> datetime | None:
    told = [(rollout.notice_posted(n.key), n.before) for n in rollout.plan.told_before if n.before is not None]
    ends = [posted + before for posted, before in told if posted is not None and before is not None]
    return max(ends) if ends else None


def _running(rollout: Rollout, zone: str) -> str:
    stage = rollout.stage
    assert stage is not None
    if stage.kind in GATES:
        waits = "the drill" if stage.kind is StageKind.ROLLBACK_DRILL else "its results"
        return f". Nobody sees it yet. Next: {following(rollout)}, after {waits}."
    if stage.kind is StageKind.BAKE:
        return f" is with everyone. Done {_at(rollout, zone)} if nothing speaks against it."
    return f". Next: {following(rollout)} {_at(rollout, zone)} at the earliest."


def following(rollout: Rollout) -> str:
    """The label of the stage after the current one: `10 %`, `watching`, `done`."""
    return step(rollout.next_stage) if rollout.next_stage is not None else "done"


def step(stage: Stage) -> str:
    """A short label for a stage: `checks`, `internal`, `small test 5 %`, `10 %`, `watching`."""
    if stage.kind in GATES:
        return {
            StageKind.EVAL: "checks",
            StageKind.SAFETY: "safety checks",
            StageKind.COST_LATENCY: "cost and speed checks",
        }.get(stage.kind, "switch-back drill")
    match stage.kind:
        case StageKind.COHORT:
            return wording.escape(stage.name, 30)
        case StageKind.CANARY | StageKind.AB:
            return f"small test {wording.percent(stage.percent)}"
        case StageKind.BAKE:
            return "watching"
        case _:
            return "everyone" if stage.percent >= 100 else wording.percent(stage.percent)


def next_step_at(rollout: Rollout) -> datetime | None:
    """When the current stage reaches its minimum hold; None without a stage. Evidence may still be missing then."""
    stage, since = rollout.stage, rollout.stage_since
    return since + stage.min_hold + rollout.paused_for if stage is not None and since is not None else None


def _at(rollout: Rollout, zone: str) -> str:
    at = next_step_at(rollout)
    return wording.when(at, zone) if at else ""


def trail(rollout: Rollout) -> str:
    """All stages in order, marked passed, current or ahead: `●●◐○ checks ✓ · small test 5 % (now) · 10 %`."""
    index = rollout.stage_index if rollout.started_at else -1
    finished = rollout.state is State.DONE
    rolled_back = rollout.state is State.ROLLED_BACK
    marks, words = [], []
    for i, stage in enumerate(rollout.plan.stages):
        passed = finished or i < index
        here = i == index and rollout.under_way
        marks.append("●" if passed else "◐" if here else "○")
        ended = rolled_back and i == index
        words.append(step(stage) + (" ✓" if passed else " (now)" if here else " (rolled back here)" if ended else ""))
    return f"{''.join(marks)}  {' · '.join(words)}"
