"""Bounds the number of segments and error categories of a rollout: the first and the frequent ones keep their names,
the rest are counted as others."""

from collections import Counter
from collections.abc import Mapping

from sqlalchemy import Connection

from core.judging.model.evidence import CATEGORY_PREFIX, OTHER_NAME
from core.store.database.driver import fetch_all

MAX_VALUES_PER_DIMENSION = 40
"""Named values per dimension, such as `language`: an application that sends user ids must not get a cell for each."""
MAX_CATEGORIES = 200
"""Named error categories per rollout, for the same reason."""
FREQUENT_COUNT = 10
"""How often an error beyond the limit must come to get its own name, so that a long tail does not hide it."""
MAX_FREQUENT_CATEGORIES = 50
"""How many frequent error categories are named beyond `MAX_CATEGORIES`."""
MAX_CANDIDATES = 1_000
"""How many unnamed categories are counted at a time; beyond that, the rarest are dropped."""
ERROR_DIMENSION = "error_category"


class SegmentVocabulary:
    """The segment names of each rollout, cached in this process; names that it does not know are looked up.

    Error categories are treated as one more dimension.
    """

    def __init__(self) -> None:
        self._known: dict[str, set[str]] = {}
        self._candidates: dict[str, Counter[str]] = {}

    def register_names(self, connection: Connection, names_by_rollout: Mapping[str, Counter[str]]) -> None:
        """Register the names in a batch (`language=de`), by rollout; without room they stay among the others."""
        for rollout, names in names_by_rollout.items():
            known = self._known.get(rollout, set())
            if known.issuperset(names):
                continue
            rows = fetch_all(
                connection,
                "SELECT DISTINCT segment FROM cell WHERE rollout = ? AND metric = 'requests' AND segment <> ''",
                (rollout,),
            )
            known |= {row[0] for row in rows}
            categories = fetch_all(
                connection,
                "SELECT DISTINCT metric FROM cell WHERE rollout = ? AND segment = '' AND metric LIKE ?",
                (rollout, f"{CATEGORY_PREFIX}%"),
            )
            known |= {f"{ERROR_DIMENSION}={row[0].removeprefix(CATEGORY_PREFIX)}" for row in categories}
            for name in sorted(set(names) - known):
                dimension = name.partition("=")[0]
                room = MAX_CATEGORIES if dimension == ERROR_DIMENSION else MAX_VALUES_PER_DIMENSION
                if dimension == ERROR_DIMENSION and self._is_frequent(rollout, name, names[name]):
                    room += MAX_FREQUENT_CATEGORIES
                if sum(one.startswith(f"{dimension}=") for one in known) < room:
                    known.add(name)
            self._known[rollout] = known

    def _is_frequent(self, rollout: str, name: str, count: int) -> bool:
        """Whether this name has come often enough (frequent items in a stream, Misra and Gries 1982)."""
        counted = self._candidates.setdefault(rollout, Counter())
        counted[name] += count
        while len(counted) > MAX_CANDIDATES:
            self._candidates[rollout] = counted = counted - Counter(dict.fromkeys(counted, 1))
        return counted[name] >= FREQUENT_COUNT

    def category_label(self, rollout: str, category: str) -> str:
        """The name an error category is counted under; call `register_names` first."""
        return self.segment_label(rollout, ERROR_DIMENSION, category).partition("=")[2]

    def segment_label(self, rollout: str, dimension: str, value: str) -> str:
        """`language=de`, or `language=(other)` for a value without a name of its own; call `register_names` first."""
        name = f"{dimension}={value}"
        return name if name in self._known.get(rollout, ()) else f"{dimension}={OTHER_NAME}"
