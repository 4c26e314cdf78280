"""What is known of the judge of a rollout: its rounds of anchors, and whether it has moved."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from core.rollout.state.events import AnchorsJudged, JudgeMoved
from core.shadow_eval import known_error
from core.shadow_eval.find_drift import Verdicts
from core.shadow_eval.known_error import KnownError


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeCheck:
    """The rounds of anchors of a rollout so far.

    `rounds` are the complete ones that later rounds are compared with; `trusted_rounds` is how many of them were there
    at the last good one. While a judge has `moved`, they end with the round that showed it, and `since` are those after
    it. `trusted` and `voided` count how often a round was good, and how often readings were set aside.
    """

    last_round: int = 0
    began_at: datetime | None = None  # of the last round; None: the next one is due at once
    rounds: tuple[Verdicts, ...] = ()
    trusted_rounds: int = 0
    tests: int = 0
    trusted: int = 0
    trusted_at: datetime | None = None
    voided: int = 0
    moved: JudgeMoved | None = None  # until it is back, or a person takes it as it is
    since: tuple[Verdicts, ...] = ()
    labels: Mapping[str, bool] = field(default_factory=dict)  # by anchor: whether people call its answer good

    @property
    def before_it_moved(self) -> tuple[Verdicts, ...]:
        """The rounds up to the last good one."""
        return self.rounds[: self.trusted_rounds]

    def measure_error(self) -> KnownError | None:
        """The judge's error on labelled anchors while it was trusted; None without labels of both kinds."""
        return known_error.measure_error(self.labels, self.rounds if self.moved is None else self.before_it_moved)


def apply_round(check: JudgeCheck, event: AnchorsJudged, at: datetime) -> JudgeCheck:
    """The check after another round."""
    check = replace(check, last_round=event.round, began_at=event.began_at, labels=event.labels)
    if not event.is_complete:
        return check
    if check.moved is not None:
        return replace(check, since=(*check.since, event.verdicts))
    rounds = (*check.rounds, event.verdicts)
    check = replace(check, rounds=rounds, tests=check.tests + (event.p is not None))
    if not event.is_good:
        return check
    return replace(check, trusted_rounds=len(rounds), trusted=check.trusted + 1, trusted_at=at)


def apply_moved(check: JudgeCheck, event: JudgeMoved) -> JudgeCheck:
    """The check once the judge was found to have moved."""
    return replace(check, moved=event, since=(), voided=check.voided + 1)


def apply_settled(check: JudgeCheck, at: datetime) -> JudgeCheck:
    """The check once the judge judges as before."""
    kept = check.before_it_moved
    return replace(check, rounds=kept, moved=None, since=(), trusted=check.trusted + 1, trusted_at=at)


def take_as_it_is(check: JudgeCheck) -> JudgeCheck:
    """The check once a person let the rollout continue with the judge as it is now: the next round is the first."""
    return replace(check, rounds=(), trusted_rounds=0, moved=None, since=(), began_at=None)
