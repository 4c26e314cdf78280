"""Places rows in SQL as `core.flags.placement` places observations: the stage and the arm of each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import and_, false, func, literal, not_, or_, true
from sqlalchemy.sql.expression import ColumnElement

from bot.sources.sql.engines import Expression, SqlEngine
from bot.sources.stage_range import StageRange
from core.flags.bucketing import MILLION, SCHEME, Purpose
from core.flags.layers import LayerShare
from core.flags.placement import (
    COMPARED_VARIANTS,
    MAX_LATENESS,
    REPORTED_WITHIN,
    find_last_unexposed,
    find_report_deadline,
    list_exposing_before,
)
from core.flags.snapshot import StageWindow, Variant, format_exposure_token

Condition = ColumnElement[bool]
_NUMBERS = 1 << 64


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPlace:
    """Where rows count: a stage and an arm. `counts_for_split` and `assigned_arm` are as in `Placement`."""

    stage: int
    arm: str
    counts_for_split: bool = True
    assigned_arm: str | None = None

    @property
    def arm_of_split(self) -> str:
        """The arm in which its units count in the split."""
        return self.assigned_arm or self.arm


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSide:
    """What a row says about itself. Columns that the source does not name are None."""

    unit: Expression
    at: Expression
    exposure: Expression | None = None
    variant: Expression | None = None
    version: Expression | None = None


@dataclass(slots=True)
class RowPlacer:
    """Builds the conditions under which a row belongs to a place."""

    engine: SqlEngine
    window: StageRange
    row: RowSide
    _place: Expression | None = field(default=None, init=False)

    def list_places(self) -> Iterator[tuple[Condition, RowPlace]]:
        """Each place with its condition. The first that holds decides."""
        tracked, row = self.window.tracked, self.row
        counted = not_(self._was_moved_back())
        if row.exposure is not None:
            for span in self.window.spans:
                for arm in COMPARED_VARIANTS:
                    if (in_time := self._is_counted_by_token(span, arm)) is not None:
                        token = format_exposure_token(tracked.rollout, span.index, arm)
                        agrees = and_(self._names_version(arm), self._names_variant(arm))
                        yield and_(row.exposure == token, in_time, agrees, counted), _build_place(span, arm)
        without = or_(row.exposure.is_(None), row.exposure == "") if row.exposure is not None else true()
        for span in self.window.spans:
            for arm in COMPARED_VARIANTS:
                if row.variant is not None:
                    named = and_(row.variant == arm.value, self._names_version(arm))
                    for condition, place in self._list_timed(span, arm, by_variant=True):
                        yield and_(without, named, condition, counted), place
                if row.version is not None and (by_version := self._arm_from_version(span, arm)) is not None:
                    unnamed = or_(row.variant.is_(None), row.variant == "") if row.variant is not None else true()
                    for condition, place in self._list_timed(span, arm, by_variant=False):
                        yield and_(without, unnamed, by_version, condition, counted), place

    def names_no_side(self) -> Condition:
        """The row names neither an exposure nor a variant nor a version."""
        named = [one for one in (self.row.exposure, self.row.variant, self.row.version) if one is not None]
        return and_(true(), *(or_(one.is_(None), one == "") for one in named))

    def names_unknown_side(self) -> Condition:
        """What the row names was never served: another variant, another version than both of the rollout, if they are
        known."""
        row, tracked = self.row, self.window.tracked
        unknown: list[Condition] = []
        if row.variant is not None:
            unknown.append(and_(row.variant != "", row.variant.not_in([one.value for one in Variant])))
        if row.version is not None and tracked.from_version:
            unknown.append(and_(row.version != "", row.version.not_in([tracked.from_version, tracked.to_version])))
        if row.exposure is not None:
            unknown.append(and_(row.exposure != "", not_(row.exposure.like("R-%.%.%"))))
        return or_(false(), *unknown)

    def _is_counted_by_token(self, span: StageWindow, arm: Variant) -> Condition | None:
        if span.counted_from is None or not span.compares(arm):
            return None
        terms: list[Condition] = [true()]
        if span.since < span.counted_from:
            terms.append(self._at_least(span.counted_from))
        if span.until is not None:
            terms.append(self._before(span.until + MAX_LATENESS + timedelta(microseconds=1)))
        return and_(*terms)

    def _list_timed(self, span: StageWindow, arm: Variant, *, by_variant: bool) -> Iterator[tuple[Condition, RowPlace]]:
        """Rows of an arm by their time: in the stage and, right after its step, only of units that stayed."""
        if span.counted_from is None or not span.compares(arm):
            return
        begins = max(span.counted_from, span.since)
        inside = [self._at_least(begins), *([] if span.until is None else [self._before(span.until)])]
        tracked = self.window.tracked
        if tracked.is_externally_driven:
            yield and_(*inside), _build_place(span, arm)
            return
        settled = and_(*inside, self._at_least(span.settles_until))
        other = next(one for one in COMPARED_VARIANTS if one is not arm)
        if span.settles_until < span.since + REPORTED_WITHIN:
            yield (
                and_(settled, self._names_arm_before(span, arm, other, by_variant)),
                _build_place(span, arm, assigned=other),
            )
        yield settled, _build_place(span, arm)
        settling = and_(*inside, self._before(span.settles_until))
        order = tracked.spans.index(span)
        before = tracked.spans[order - 1] if order else None
        if before is None or not before.exposes:
            yield settling, _build_place(span, arm, counts_for_split=by_variant)
            return
        is_canary = arm is Variant.CANARY
        low, high = sorted(one.canary_below if is_canary else one.control_from for one in (before, span))
        moved = and_(not_(self._is_below(low)), self._is_below(high))
        yield and_(settling, not_(moved)), _build_place(span, arm, counts_for_split=False)

    def _names_arm_before(self, span: StageWindow, arm: Variant, other: Variant, by_variant: bool) -> Condition:
        """The row names `arm`, which was its unit's in a stage that has just ended; in this one that is `other`."""
        tracked = self.window.tracked
        lately = [
            and_(self._before(find_report_deadline(one)), self._is_in_arm(one, arm))
            for one in list_exposing_before(tracked, span)
            if find_report_deadline(one) > span.settles_until
        ]
        if not by_variant and arm is Variant.CONTROL:
            lately.append(self._before(find_last_unexposed(tracked, span) + REPORTED_WITHIN))
        return and_(self._before(span.since + REPORTED_WITHIN), self._is_in_arm(span, other), or_(false(), *lately))

    def _is_in_arm(self, span: StageWindow, arm: Variant) -> Condition:
        """As `StageWindow.find_arm`: whether the unit's bucket is in one of the compared arms of a stage."""
        if arm is Variant.CANARY:
            return self._is_below(span.canary_below)
        return and_(not_(self._is_below(span.canary_below)), not_(self._is_below(span.control_from)))

    def _arm_from_version(self, span: StageWindow, arm: Variant) -> Condition | None:
        """As `core.flags.placement` finds the arm of a row that only names its version; None if it cannot."""
        tracked, version = self.window.tracked, self.row.version
        assert version is not None
        if tracked.conversations_finish:
            return None
        named = version == (tracked.to_version if arm is Variant.CANARY else tracked.from_version)
        if tracked.is_externally_driven:
            return named
        if tracked.layer is not None:
            named = and_(named, self._is_in_layer(tracked.layer))
        if tracked.cohort_back_at is not None:
            named = and_(named, self._before(tracked.cohort_back_at))
        if any(one.cohort and one.index < span.index for one in tracked.spans) or (span.cohort and span.control_left):
            return None
        if arm is Variant.CANARY:
            return named
        if span.cohort:
            return None
        return named if span.control_from == span.canary_below else and_(named, not_(self._is_below(span.control_from)))

    def _names_version(self, arm: Variant) -> Condition:
        """The row's version, if it names one, is that of the arm."""
        version, tracked = self.row.version, self.window.tracked
        if version is None:
            return true()
        expected = tracked.to_version if arm is Variant.CANARY else tracked.from_version
        return or_(version.is_(None), version.in_(["", expected]))

    def _names_variant(self, arm: Variant) -> Condition:
        variant = self.row.variant
        return true() if variant is None else or_(variant.is_(None), variant.in_(["", arm.value]))

    def _was_moved_back(self) -> Condition:
        moved: Mapping[int, datetime] = self.window.tracked.moved_back
        if not moved:
            return false()
        digits = self._digits()
        return or_(*(and_(digits == f"{unit:016x}", self._at_least(at)) for unit, at in sorted(moved.items())))

    def _is_below(self, ppm: int) -> Condition:
        """Whether the unit's place in bucketing v1 lies below `ppm`."""
        return _is_number_below(self._digits(), ppm)

    def _is_in_layer(self, share: LayerShare) -> Condition:
        """Whether the unit's slot in the layer is one of this rollout's."""
        layer_slot = self._build_digits("layer", share.layer)
        return or_(
            false(),
            *(
                and_(not_(_is_number_below(layer_slot, start)), _is_number_below(layer_slot, below))
                for start, below in share.ranges
            ),
        )

    def _digits(self) -> Expression:
        """The first 16 hex digits of the unit's hash for bucketing."""
        if self._place is None:
            self._place = self._build_digits("expose", self.window.tracked.rollout)
        return self._place

    def _build_digits(self, purpose: Purpose, salt: str) -> Expression:
        """The first 16 hex digits of the unit's hash for this purpose."""
        prefix = "\x1f".join((SCHEME, purpose, salt, ""))
        return func.substr(self.engine.hash_text(literal(prefix).concat(self.row.unit)), 1, 16)

    def _at_least(self, moment: datetime) -> Condition:
        return self.engine.to_moment(self.row.at) >= self.engine.bind_moment(moment)

    def _before(self, moment: datetime) -> Condition:
        return self.engine.to_moment(self.row.at) < self.engine.bind_moment(moment)


def _is_number_below(digits: Expression, ppm: int) -> Condition:
    """Whether the 64-bit number of these 16 hex digits lies below `ppm` parts per million."""
    first_not_below = -(-ppm * _NUMBERS // MILLION)
    return true() if first_not_below >= _NUMBERS else digits < f"{first_not_below:016x}"


def _build_place(
    span: StageWindow, arm: Variant, *, counts_for_split: bool = True, assigned: Variant | None = None
) -> RowPlace:
    assigned_arm = assigned.value if assigned is not None else None
    return RowPlace(stage=span.index, arm=arm.value, counts_for_split=counts_for_split, assigned_arm=assigned_arm)
