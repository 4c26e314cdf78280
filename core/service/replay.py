"""Recomputes every recorded verdict from its recorded inputs: digests must match exactly, numbers to 1e-9."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter
from sqlalchemy import Connection

from core.judging import record
from core.judging.judge import judge
from core.judging.limits.default_limits import derive_default_limits
from core.judging.look.look import Look
from core.judging.model.judgement import Judgement
from core.judging.model.question import FALSE_ALARM_ALPHA, Question
from core.judging.model.state import JudgingState
from core.judging.model.verdict import BlindSpot, RollBack
from core.judging.record_agreement import records_agree
from core.judging.verdict import find_blind_spots
from core.rollout.judging.judging_question import build_expectations
from core.rollout.state.events import EvidenceRecorded, RolledBack, RolloutEvent, rollout_stream
from core.rollout.state.evolve import evolve
from core.rollout.state.model import Rollout
from core.service.rollout_look import EMPTY_DIGEST, compute_digest
from core.service.saved_state import parse_saved_state
from core.store.database.driver import fetch_all
from core.store.log import event_log
from core.store.log.event_log import StoredEvent
from core.store.observations import looks

_CHUNK = 200
_ANY_ADAPTER: TypeAdapter[object] = TypeAdapter(object)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """Something that does not follow from the record, at a log `position` or at a `look` of the rollout."""

    rollout: str
    position: int | None
    look: int | None
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """The mismatches, how many looks and verdicts were recomputed, and the rollouts judged by another engine version,
    which are `unchecked`."""

    mismatches: tuple[Mismatch, ...]
    looks: int
    verdicts: int
    unchecked: tuple[str, ...]


def verify(connection: Connection, rollouts: Sequence[str], on_look: Callable[[], None] = lambda: None) -> ReplayReport:
    """Replay these rollouts from their first look on. Holds a few hundred looks in memory at a time.

    An altered look or question shows in the digests of its evidence events, and a wrong verdict when it is recomputed.
    Only stored text is hashed, never recomputed numbers, whose last digit may differ on another processor. The events
    themselves are checked by the hash chain (`core.store.audit.verify`).
    """
    found: list[Mismatch] = []
    counted = verdicts = 0
    unchecked: list[str] = []
    for name in rollouts:
        replaying = _RolloutReplay(name, event_log.read_stream(connection, rollout_stream(name)))
        for saved in _iterate_looks(connection, name):
            on_look()
            if not replaying.replay_look(saved):
                break
            counted += 1
        else:
            replaying.finish(looks.load_latest_state(connection, name))
        found += replaying.mismatches
        verdicts += replaying.verdicts
        unchecked += [name] if replaying.is_other_engine else []
    return ReplayReport(mismatches=tuple(found), looks=counted, verdicts=verdicts, unchecked=tuple(unchecked))


def find_rollouts_without_looks(connection: Connection) -> tuple[str, ...]:
    """Judged rollouts whose looks are gone, oldest first: deleted by retention, or by somebody."""
    kept = looks.count_by_rollout(connection)
    streams = fetch_all(connection, "SELECT DISTINCT stream FROM events WHERE type = ?", (EvidenceRecorded.TYPE,))
    judged = {stream.removeprefix(rollout_stream("")) for (stream,) in streams}
    return tuple(sorted(judged - kept.keys(), key=lambda name: (len(name), name)))


def _iterate_looks(connection: Connection, rollout: str) -> Iterator[looks.SavedLook]:
    first = 1
    while chunk := looks.load_range(connection, rollout, first, first + _CHUNK - 1):
        yield from chunk
        first = chunk[-1].number + 1


class _RolloutReplay:
    """Replays one rollout look by look, and compares it with the rollout's events."""

    def __init__(self, name: str, history: Sequence[StoredEvent]) -> None:
        self.mismatches: list[Mismatch] = []
        self.verdicts = 0
        self.is_other_engine = False  # whether another engine version judged it
        self._name = name
        self._rollout = _fold_history(history)
        self._evidence = [(r.position, r.event) for r in history if isinstance(r.event, EvidenceRecorded)]
        self._rolled_back = [(r.position, r.event) for r in history if isinstance(r.event, RolledBack)]
        self._state = JudgingState()
        self._question: Question | None = None
        self._look: Look | None = None
        self._judgement: Judgement | None = None
        self._number = 0
        self._digest = self._evidence_state = EMPTY_DIGEST
        self._covered = 0

    def replay_look(self, saved: looks.SavedLook) -> bool:
        """Replay the next look. False if no later one can be replayed: it is damaged, or of another engine version."""
        try:
            recorded = record.load_recorded_look(saved.look_json)
        except ValueError:
            return self._report_damaged(saved.number)
        if recorded.engine != record.ENGINE_VERSION:
            self.is_other_engine = True
            return False
        if saved.number != self._number + 1:
            self._add_mismatch(None, saved.number, f"the looks before it are missing, from {self._number + 1} on")
        self._number = saved.number
        self._set_question(recorded.question, saved.number)
        self._digest = compute_digest(self._digest + saved.look_json)
        if saved.sums_hash != self._digest:
            self._add_mismatch(None, saved.number, "this look or an earlier one was altered: the digests differ")
        if self._question is None:
            return self._report_damaged(saved.number)
        try:
            self._judgement, self._look = judge(self._question, recorded.look, self._state), recorded.look
        except (ArithmeticError, LookupError, TypeError, ValueError):  # altered: no traffic gives such numbers
            return self._report_damaged(saved.number)
        self._state = self._judgement.state
        while self._evidence and self._evidence[0][1].last_look == saved.number:
            self._compare_evidence(*self._evidence.pop(0), self._judgement)
        return True

    def finish(self, latest: tuple[int, str] | None) -> None:
        """After the last look, check the evidence and rollbacks that no look explains, and the saved state."""
        for position, _ in self._evidence:
            self._add_mismatch(position, None, "the looks that this evidence rests on are missing")
        judged = self._judgement
        if latest is not None and judged is not None:
            self._check_saved_state(latest[0], parse_saved_state(latest[1]).judgement, judged)
        for position, event in self._rolled_back:
            by_engine = event.by.startswith("system:") and bool(event.findings)
            verdict = self._judgement.verdict if self._judgement is not None else None
            if by_engine and not (isinstance(verdict, RollBack) and _values_agree(verdict.findings, event.findings)):
                self._add_mismatch(position, None, "the engine does not arrive at this rollback")

    def _check_saved_state(self, number: int, kept: str, judged: Judgement) -> None:
        """Check that the saved state follows from the looks, and is the one that the newest evidence names."""
        if not records_agree(kept, record.to_json(judged)):
            self._add_mismatch(
                None, number, "the state that the next look continues from does not follow from the looks"
            )
        elif self._covered == number and compute_digest(_extract_state(kept)) != self._evidence_state:
            self._add_mismatch(None, number, "the stored state is not the one that the evidence names")

    def _report_damaged(self, number: int) -> bool:
        self._add_mismatch(None, number, "this look is damaged: neither it nor later looks can be judged again")
        return False

    def _set_question(self, question: Question | None, number: int) -> None:
        if question is None:
            return
        self._question = question
        plan = self._rollout.plan
        foreseen = build_expectations(plan)
        agreed = (
            plan.limits,
            derive_default_limits(plan.limits, foreseen, plan.metrics or ()),
            foreseen,
            plan.segments,
            FALSE_ALARM_ALPHA,
        )
        asked = (question.limits, question.implied, question.expectations, question.cuts, question.alpha)
        if asked != agreed:
            self._add_mismatch(None, number, "its question is not the one that the plan agreed on")

    def _compare_evidence(self, position: int, event: EvidenceRecorded, judgement: Judgement) -> None:
        self.verdicts += 1
        claims = {
            "verdict": (event.verdict, judgement.verdict),
            "measures": (event.measures, judgement.measures),
            "notes": (event.notes, judgement.notes),
            "segments": (
                (event.segments, event.segments_checked),
                (judgement.segments, judgement.segments_checked),
            ),
            "requests": (
                (event.canary_requests, event.control_requests, event.canary_units, event.control_units),
                (
                    judgement.canary_requests,
                    judgement.control_requests,
                    judgement.canary_units,
                    judgement.control_units,
                ),
            ),
            "exposed": (
                (event.exposed_requests, event.exposed_units),
                (judgement.exposed_requests, judgement.exposed_units)
                if event.exposed_requests is not None
                else (None, None),
            ),
            "blind": (
                _format_blind_spots(event.blind or ()),
                self._list_blind_limits() if event.blind is not None else (),
            ),
            "first look": (event.first_look, self._covered + 1),
            "state before": (event.state_before, self._evidence_state),
            "looks": (event.looks, self._digest),
        }
        differing = [name for name, (said, computed) in claims.items() if not _values_agree(said, computed)]
        if differing:
            what = f"evidence #{event.number} does not follow from its looks: {', '.join(differing)} differ"
            self._add_mismatch(position, event.last_look, what)
        self._covered, self._evidence_state, self._digest = event.last_look, event.state_after, EMPTY_DIGEST

    def _list_blind_limits(self) -> list[str]:
        """The keys of the limits that were blind at the last replayed look."""
        assert self._question is not None
        assert self._look is not None
        return _format_blind_spots(find_blind_spots.find_blind_spots(self._question, self._look, self._state))

    def _add_mismatch(self, position: int | None, look: int | None, what: str) -> None:
        self.mismatches.append(Mismatch(rollout=self._name, position=position, look=look, what=what))


def _format_blind_spots(spots: tuple[BlindSpot, ...]) -> list[str]:
    """The keys of the limits, without the number of missing readings, whose rounding may differ by the last digit."""
    return [f"{spot.key}{' unread' if spot.unread else ''}" for spot in spots]


def _values_agree(said: object, computed: object) -> bool:
    """Whether two values are equal, numbers within 1e-9."""
    return said == computed or records_agree(*(_ANY_ADAPTER.dump_json(one).decode() for one in (said, computed)))


def _extract_state(judgement: str) -> str:
    """The engine's state in a stored judgement, as JSON; parsing and dumping keeps every digit."""
    return record.to_json(record.load_judgement(judgement).state)


def _fold_history(history: Sequence[StoredEvent]) -> Rollout:
    """The rollout after all its events."""
    rollout: Rollout | None = None
    for one in history:
        if isinstance(one.event, RolloutEvent):
            rollout = evolve(rollout, one.event, one.at)
    assert rollout is not None, "a rollout begins by being planned"
    return rollout
