"""Computes the digest of a week from the facts of its rollouts, one number after the other."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from statistics import median

from core.digests.digest import (
    Digest,
    DigestNumber,
    EventReference,
    MissedExpectation,
    ModelShutdown,
    NumberUnit,
    OwedReview,
    Retirement,
    TakenShortcut,
    ToldShutdown,
)
from core.digests.rollout_facts import Occurrence, RolloutFacts
from core.digests.week import Week
from core.reviews.draft import ExpectationOutcome
from core.reviews.shortcuts import count_stages_skipped
from core.rollout.models.way_back import LastDay, find_last_day
from core.rollout.state.surface import Surface

WEEKS_BEFORE = 4
"""Weeks before the digest's own, over which numbers are averaged to compare."""
REVIEWS_LOOK_BACK = timedelta(days=90)
"""How long after its end a review that is not written is still listed as owed."""
RETIREMENT_HORIZON = timedelta(days=90)
"""How far ahead dates are listed after which something can no longer be called."""


def build_digest(
    week: Week,
    facts: Sequence[RolloutFacts],
    until: datetime,
    told: Sequence[ToldShutdown],
    surfaces: Mapping[str, Surface],
) -> Digest:
    """The digest of a week from the facts, before `until`, of every rollout that was open in it or the weeks before.

    `told` says, oldest first, when models are switched off, and `surfaces` has those as of then that were told of any.
    """
    until = min(until, week.ends)
    return _DigestDraft(week=week, until=until, facts=tuple(facts), told=tuple(told), surfaces=surfaces).build()


@dataclass(slots=True, kw_only=True)
class _DigestDraft:
    """The facts of a week, and the numbers as they are computed one after the other."""

    week: Week
    until: datetime
    facts: tuple[RolloutFacts, ...]
    told: tuple[ToldShutdown, ...]
    surfaces: Mapping[str, Surface]
    numbers: list[DigestNumber] = field(default_factory=list)

    def build(self) -> Digest:
        shipped = tuple(f for f in self.facts if f.completed is not None and self._is_in_week(f.completed))
        back = tuple(f for f in self.facts if f.rollback is not None and self._is_in_week(f.rollback.decided))
        running = tuple(f for f in self.facts if f.is_under_way)
        self._count_outcomes(shipped, back, running)
        self._measure_speed(shipped)
        self._measure_safety(back)
        shortcuts = self._list_shortcuts()
        missed = self._list_missed(shipped, back)
        owed = self._list_owed()
        retirements = self._list_retirements()
        shutdowns = self._list_shutdowns()
        return Digest(
            week=self.week,
            until=self.until,
            numbers=tuple(self.numbers),
            shipped=shipped,
            rolled_back=back,
            running=running,
            shortcuts=shortcuts,
            missed=missed,
            owed=owed,
            retirements=retirements,
            shutdowns=shutdowns,
        )

    def _is_in_week(self, happened: Occurrence) -> bool:
        return self.week.contains(happened.at)

    def _add(
        self,
        key: str,
        title: str,
        value: float | None,
        unit: NumberUnit,
        how: str,
        events: Iterable[EventReference] = (),
        *,
        is_computed: bool = False,
    ) -> None:
        self.numbers.append(
            DigestNumber(
                id=f"{self.week.id}.{key}",
                title=title,
                value=value,
                unit=unit,
                how=how,
                events=tuple(sorted(set(events), key=lambda one: one.position)),
                is_computed=is_computed,
            )
        )

    def _count_outcomes(
        self, shipped: Sequence[RolloutFacts], back: Sequence[RolloutFacts], running: Sequence[RolloutFacts]
    ) -> None:
        ends = [*_refer(shipped, lambda f: f.completed), *_refer(back, _rollback_decided)]
        self._add(
            "shipped",
            "Shipped",
            len(shipped),
            NumberUnit.COUNT,
            "Rollouts whose bake ended in the week, so that the new version is live.",
            _refer(shipped, lambda f: f.completed),
        )
        shipped_before = [self._count_shipped(self.week.shift(-n)) for n in range(1, WEEKS_BEFORE + 1)]
        before = [f for f in self.facts if f.completed is not None and self._is_in_weeks_before(f.completed)]
        self._add(
            "shipped_usual",
            f"Shipped in a usual week (average of the {WEEKS_BEFORE} before)",
            sum(shipped_before) / WEEKS_BEFORE,
            NumberUnit.COUNT,
            f"Rollouts that were shipped in the {WEEKS_BEFORE} weeks before, divided by {WEEKS_BEFORE}.",
            _refer(before, lambda f: f.completed),
        )
        self._add(
            "rolled_back",
            "Rolled back",
            len(back),
            NumberUnit.COUNT,
            "Rollouts that were taken back in the week, during it or after they were done.",
            _refer(back, _rollback_decided),
        )
        automatic = [f for f in back if f.rollback is not None and f.rollback.is_automatic]
        self._add(
            "rolled_back_automatically",
            "Rolled back automatically",
            len(automatic),
            NumberUnit.COUNT,
            "Those of them in which a limit was violated and the engine decided.",
            _refer(automatic, _rollback_decided),
        )
        finished = {f.rollout for f in (*shipped, *back)}
        self._add(
            "change_failure_rate",
            "Change failure rate",
            len(back) / len(finished) if finished else None,
            NumberUnit.SHARE,
            "Rolled back, as a share of all rollouts that were shipped or rolled back in the week.",
            ends,
        )
        self._add(
            "running",
            "Under way at the end of the week",
            len(running),
            NumberUnit.COUNT,
            "Rollouts that have started and not ended.",
            _refer(running, lambda f: f.started),
        )

    def _measure_speed(self, shipped: Sequence[RolloutFacts]) -> None:
        begun = [*_refer(shipped, lambda f: f.planned), *_refer(shipped, lambda f: f.everyone or f.completed)]
        times = [f.lead_time for f in shipped if f.lead_time is not None]
        self._add(
            "lead_time",
            _name_median("Lead time, from the first plan to everyone", times),
            _median_seconds(times),
            NumberUnit.SECONDS,
            "The median, over what was shipped, of the time from the first plan until everyone had the new version.",
            begun,
        )
        fastest = min(shipped, key=lambda f: f.lead_time or timedelta.max, default=None)
        self._add(
            "lead_time_fastest",
            "The fastest of them",
            fastest.lead_time.total_seconds() if fastest is not None and fastest.lead_time is not None else None,
            NumberUnit.SECONDS,
            "The shortest of these times.",
            _refer([fastest], lambda f: f.planned) + _refer([fastest], lambda f: f.everyone or f.completed)
            if fastest is not None
            else (),
        )
        careful = [f.careful_time for f in shipped if f.careful_time is not None]
        self._add(
            "time_added",
            _name_median("Time that growing step by step added", careful),
            _median_seconds(careful),
            NumberUnit.SECONDS,
            "The median, over what was shipped, of the time from the start until everyone had the new version.",
            [*_refer(shipped, lambda f: f.started), *_refer(shipped, lambda f: f.everyone or f.completed)],
            is_computed=True,
        )

    def _measure_safety(self, back: Sequence[RolloutFacts]) -> None:
        exposed = [f for f in back if f.exposed is not None]
        self._add(
            "time_to_detect",
            _name_median("Time to detect, from the first people to the decision", exposed),
            _median_seconds(f.time_to_detect for f in exposed),
            NumberUnit.SECONDS,
            "The median, over rollbacks, of the time from the first people on the new version to the decision.",
            [*_refer(exposed, lambda f: f.exposed), *_refer(exposed, _rollback_decided)],
        )
        confirmed = [f for f in back if f.rollback is not None and f.rollback.flip is not None]
        flips = [f.rollback.flip_seconds for f in confirmed if f.rollback is not None]
        self._add(
            "time_to_go_back",
            _name_median("Time to go back, as observed", confirmed),
            median(x for x in flips if x is not None) if flips else None,
            NumberUnit.SECONDS,
            "The median, over confirmed rollbacks, of the seconds until every process served the previous version.",
            _refer(confirmed, _rollback_flip),
        )
        restored = [f.time_to_restore for f in confirmed if f.time_to_restore is not None]
        self._add(
            "time_to_restore",
            _name_median("Time to restore", restored),
            _median_seconds(restored),
            NumberUnit.SECONDS,
            "The median, over confirmed rollbacks, of time to detect plus time to go back.",
            [
                *_refer(confirmed, lambda f: f.exposed),
                *_refer(confirmed, _rollback_decided),
                *_refer(confirmed, _rollback_flip),
            ],
        )
        self._add(
            "people_reached",
            "People who had a version that was rolled back",
            sum(f.rollback.exposed_units for f in back if f.rollback is not None),
            NumberUnit.PEOPLE,
            "The sum, over rollbacks, of the distinct people on the new version; a lower bound.",
            _refer(back, _rollback_decided),
        )
        known = [f for f in back if f.rollback is not None and f.rollback.protected_units is not None]
        self._add(
            "people_protected",
            "People protected: they used it meanwhile and did not get that version",
            sum(f.rollback.protected_units or 0 for f in known if f.rollback is not None),
            NumberUnit.PEOPLE,
            "Computed, not counted: for each rollback before everyone had it, people on the new version times "
            "(100 % - its share) / its share. Rollbacks of cohorts, whose share is unknown, are left out.",
            _refer(known, _rollback_decided),
            is_computed=True,
        )

    def _list_shortcuts(self) -> tuple[TakenShortcut, ...]:
        taken = [
            TakenShortcut(rollout=f.rollout, risk=str(f.plan.risk), shortcut=shortcut)
            for f in self.facts
            for shortcut in f.shortcuts
            if self.week.contains(shortcut.at)
        ]
        events = [
            EventReference(position=one.shortcut.position, rollout=one.rollout, at=one.shortcut.at) for one in taken
        ]
        self._add(
            "shortcuts",
            "Shortcuts",
            len(taken),
            NumberUnit.COUNT,
            "Waits and stages that people skipped, holds that they overrode, and blind spots that they accepted.",
            events,
        )
        skipping = [one for one in taken if one.shortcut.skipped]
        entered = count_stages_skipped([one.shortcut for one in skipping])
        planned = sum(len(f.plan.stages) for f in self.facts if f.started is not None and self._was_under_way(f))
        self._add(
            "stages_skipped",
            "Stages skipped, of all stages of what was under way",
            entered / planned if planned else None,
            NumberUnit.SHARE,
            "Stages that were left out in the week, as a share of the stages of every rollout that was under way.",
            [EventReference(position=x.shortcut.position, rollout=x.rollout, at=x.shortcut.at) for x in skipping],
        )
        return tuple(taken)

    def _list_missed(
        self, shipped: Sequence[RolloutFacts], back: Sequence[RolloutFacts]
    ) -> tuple[MissedExpectation, ...]:
        ended = {f.rollout: f for f in (*shipped, *back)}.values()
        stated = [MissedExpectation(rollout=f.rollout, row=row) for f in ended for row in f.expectations]
        missed = tuple(one for one in stated if one.row.outcome is ExpectationOutcome.MISSED)
        for key, title, how, of in (
            ("expectations", "Expectations stated", "Expectations in the plans of what ended in the week.", stated),
            ("surprises", "Expectations missed", "Those of them that did not come true.", list(missed)),
        ):
            self._add(
                key,
                title,
                len(of),
                NumberUnit.COUNT,
                how,
                [
                    EventReference(position=one.row.final.position, rollout=one.rollout, at=one.row.final.at)
                    for one in of
                    if one.row.final is not None
                ],
            )
        return missed

    def _list_owed(self) -> tuple[OwedReview, ...]:
        owing = [
            f
            for f in self.facts
            if f.review_due is not None
            and f.review_requested is not None
            and self.until - f.review_requested.at <= REVIEWS_LOOK_BACK
        ]
        owed = tuple(
            OwedReview(
                rollout=f.rollout,
                owner=f.plan.owner,
                owner_handle=f.plan.owner_handle,
                due_at=f.review_due,
                late=self.until - f.review_due,
            )
            for f in sorted(owing, key=lambda f: f.review_due or self.until)
            if f.review_due is not None
        )
        self._add(
            "reviews_owed",
            "Reviews owed",
            len(owed),
            NumberUnit.COUNT,
            f"Rollouts that ended at most {REVIEWS_LOOK_BACK.days} days before and have no review.",
            _refer(owing, lambda f: f.review_requested),
        )
        late = [f for f in owing if f.review_due is not None and f.review_due < self.until]
        self._add(
            "reviews_late",
            "Reviews overdue",
            len(late),
            NumberUnit.COUNT,
            "Those of them that were due by then.",
            _refer(late, lambda f: f.review_requested),
        )
        return owed

    def _find_last_day(self, facts: RolloutFacts) -> LastDay | None:
        """The last day of the old version: as its file and, while nothing went live since, its provider say."""
        surface = self.surfaces.get(facts.plan.surface)
        is_last = surface is not None and surface.live_by == facts.rollout
        return find_last_day(facts.plan, surface if is_last else None)

    def _list_retirements(self) -> tuple[Retirement, ...]:
        today = self.until.astimezone(self.week.begins.tzinfo).date()
        found = []
        for facts in self.facts:
            plan, shipped = facts.plan, facts.completed is not None and facts.rollback is None
            day, version = ("", "")
            if facts.is_open and plan.deadline:
                day, version = plan.deadline, plan.to_version
            elif shipped and (last := self._find_last_day(facts)) is not None:
                day, version = last.day.isoformat(), plan.from_version
            if not day:
                continue
            on = date.fromisoformat(day)
            if timedelta(0) <= on - today <= RETIREMENT_HORIZON:
                found.append(
                    Retirement(
                        rollout=facts.rollout,
                        surface=plan.surface,
                        version=version,
                        day=on,
                        days_left=(on - today).days,
                        is_deadline=facts.is_open,
                    )
                )
        named = {one.rollout for one in found}
        self._add(
            "retirements",
            "Dates ahead after which something cannot be called any more",
            len(found),
            NumberUnit.COUNT,
            f"Deadlines and last days of old versions that plans name, in the next {RETIREMENT_HORIZON.days} days.",
            _refer([f for f in self.facts if f.rollout in named], lambda f: f.planned),
        )
        return tuple(sorted(found, key=lambda one: one.day))

    def _list_shutdowns(self) -> tuple[ModelShutdown, ...]:
        today = self.until.astimezone(self.week.begins.tzinfo).date()
        newest = {(one.surface, one.model): one for one in self.told if one.told.at < self.until}
        known = list(newest.values())
        self._add(
            "models_retiring",
            "Models in use that are switched off soon, or are already",
            len(known),
            NumberUnit.COUNT,
            "Models that live versions call at the end of the week and whose last day the log was told.",
            [EventReference(position=x.told.position, rollout=x.surface, at=x.told.at) for x in known],
        )
        return tuple(
            ModelShutdown(
                surface=one.surface,
                model=one.model,
                on=one.on,
                days_left=(one.on - today).days,
                is_upgrade_planned=any(
                    f.is_open and f.plan.surface == one.surface and "model" in f.plan.change for f in self.facts
                ),
            )
            for one in sorted(known, key=lambda one: (one.on, one.surface))
        )

    def _was_under_way(self, facts: RolloutFacts) -> bool:
        """Whether it was under way at some moment of the week."""
        ended = facts.rollback.decided if facts.rollback is not None else facts.completed
        return facts.started is not None and (ended is None or ended.at >= self.week.begins)

    def _count_shipped(self, week: Week) -> int:
        return sum(f.completed is not None and week.contains(f.completed.at) for f in self.facts)

    def _is_in_weeks_before(self, happened: Occurrence) -> bool:
        return self.week.shift(-WEEKS_BEFORE).begins <= happened.at < self.week.begins


def _refer(facts: Iterable[RolloutFacts], choose: Callable[[RolloutFacts], Occurrence | None]) -> list[EventReference]:
    """References to one event of each rollout, where it has one."""
    chosen = ((f.rollout, choose(f)) for f in facts)
    return [
        EventReference(position=there.position, rollout=rollout, at=there.at)
        for rollout, there in chosen
        if there is not None
    ]


def _rollback_decided(facts: RolloutFacts) -> Occurrence | None:
    return facts.rollback.decided if facts.rollback is not None else None


def _rollback_flip(facts: RolloutFacts) -> Occurrence | None:
    return facts.rollback.flip if facts.rollback is not None else None


def _median_seconds(times: Iterable[timedelta | None]) -> float | None:
    """The median in seconds of the known times; None if none is known."""
    known = [time.total_seconds() for time in times if time is not None]
    return median(known) if known else None


def _name_median(title: str, cases: Sequence[object]) -> str:
    """The title with how many its value is the median of: of one it is the value itself."""
    counted = {0: "no case", 1: "one case"}.get(len(cases), f"median of {len(cases)}")
    return f"{title} ({counted})"
