"""Series that go on under other labels, as where a label is added while a process runs: they do not begin at zero."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bot.sources.prometheus.series import NEW_TARGET, Labels, Series, Target, TargetHistory, find_target

_TARGET_LABELS = ("job", "instance")


@dataclass(slots=True)
class _EndedSeries:
    """A series that has no samples any more, and its last one."""

    labels: Mapping[str, str]
    last: tuple[float, float]
    is_taken: bool = False


class RenamedSeries:
    """Finds under which labels a series was known before, among those that have ended.

    `side` is the label that tells the arm: a series of another one is another series.
    """

    def __init__(
        self,
        found: Iterable[Series],
        last: Mapping[Labels, tuple[float, float]],
        history: TargetHistory,
        side: str,
    ) -> None:
        """`last` holds the newest sample of each series before those `found`."""
        self._history, self._side = history, side
        self._of_target: dict[tuple[object, ...], list[_EndedSeries]] = {}
        self._by_start: dict[tuple[object, ...], list[_EndedSeries]] = {}
        newest = {**last, **{one.labels: max(one.samples) for one in found if one.samples}}
        scraped: dict[Target, float] = {}
        series = [_EndedSeries(dict(labels), sample) for labels, sample in newest.items()]
        for one in series:
            target = find_target(one.labels)
            scraped[target] = max(scraped.get(target, 0.0), one.last[0])
        until = max(scraped.values(), default=0.0)
        for one in series:
            target, at = find_target(one.labels), one.last[0]
            if at < until - NEW_TARGET:
                continue
            if at < scraped[target]:
                self._of_target.setdefault((*self._name_of(one.labels), target), []).append(one)
            elif at < until and (started := history.started_at(target, at)) is not None:
                self._by_start.setdefault((*self._name_of(one.labels), started), []).append(one)

    def find_last_sample(self, series: Series, first: tuple[float, float]) -> tuple[float, float] | None:
        """The last sample of what is `series` since `first`; None if it is new.

        That is a series which ended before, was no higher, and is of the same process: one has all the labels of the
        other, and perhaps its job and instance are called otherwise and started at the same time.
        """
        named = dict(series.labels)
        name, target = self._name_of(named), find_target(named)
        fitting = self._of_target.get((*name, target), [])
        if self._by_start and (started := self._history.started_at(target, first[0])) is not None:
            fitting = [*fitting, *self._by_start.get((*name, started), ())]
        for one in fitting:
            is_next = one.last[0] < first[0] <= one.last[0] + NEW_TARGET and one.last[1] <= first[1]
            if is_next and not one.is_taken and _are_alike(one.labels, named):
                one.is_taken = True
                return one.last
        return None

    def _name_of(self, named: Mapping[str, str]) -> tuple[str, str, str]:
        return named.get("__name__", ""), named.get("le", ""), named.get(self._side, "")


def _are_alike(before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Whether labels were only added, or only left out, apart from those of the target."""
    first, second = (
        {name: value for name, value in one.items() if name not in _TARGET_LABELS} for one in (before, now)
    )
    return first.items() <= second.items() or second.items() <= first.items()
