"""How many segments and error categories a rollout can have: the first and the frequent keep their name."""

from collections import Counter
from collections.abc import Mapping

from sqlalchemy import Connection

from core.judging.model.evidence import CATEGORY, OTHER
from core.store.database.driver import fetch

VALUES = 40
"""Of one dimension, such as `language`; an application that sends user ids by mistake must not grow a cell for each."""
CATEGORIES = 200
"""Of error categories, for the same reason."""
FREQUENT = 10
"""How often an error must come, among the others, to get a name of its own: a long tail must not hide it."""
FREQUENT_CATEGORIES = 50
"""So many of them beyond `CATEGORIES`."""
CANDIDATES = 1_000
"""Names among the others that are counted at a time; of more, the rarest are forgotten."""
ERROR = "error_category"


class Vocabulary:
    """The names that each rollout has, as far as this process knows; it asks the database about those new to it.

    Error categories are a dimension like others.
    """

    def __init__(self) -> None:
        self._known: dict[str, set[str]] = {}
        self._candidates: dict[str, Counter[str]] = {}

    def settle(self, connection: Connection, met: Mapping[str, Counter[str]]) -> None:
        """Make room for the names met in a batch (`language=de`), by rollout, or decide that they are others."""
        for rollout, names in met.items():
            known = self._known.get(rollout, set())
            if known.issuperset(names):
                continue
            rows = fetch(
                connection,
                "SELECT DISTINCT segment FROM cell WHERE rollout = ? AND metric = 'requests' AND segment <> ''",
                (rollout,),
            )
            known |= {row[0] for row in rows}
            categories = fetch(
                connection,
                "SELECT DISTINCT metric FROM cell WHERE rollout = ? AND segment = '' AND metric LIKE ?",
                (rollout, f"{CATEGORY}%"),
            )
            known |= {f"{ERROR}={row[0].removeprefix(CATEGORY)}" for row in categories}
            for name in sorted(set(names) - known):
                dimension = name.partition("=")[0]
                room = CATEGORIES if dimension == ERROR else VALUES
                if dimension == ERROR and self._is_frequent(rollout, name, names[name]):
                    room += FREQUENT_CATEGORIES
                if sum(one.startswith(f"{dimension}=") for one in known) < room:
                    known.add(name)
            self._known[rollout] = known

    def _is_frequent(self, rollout: str, name: str, times: int) -> bool:
        """Whether this name came often enough. Source: frequent items in a stream, Misra and Gries 1982."""
        counted = self._candidates.setdefault(rollout, Counter())
        counted[name] += times
        while len(counted) > CANDIDATES:
            self._candidates[rollout] = counted = counted - Counter(dict.fromkeys(counted, 1))
        return counted[name] >= FREQUENT

    def category(self, rollout: str, category: str) -> str:
        """The error category as it is counted; after `settle`."""
        return self.name(rollout, ERROR, category).partition("=")[2]

    def name(self, rollout: str, dimension: str, value: str) -> str:
        """`language=de`, or `language=(other)` for a value that found no room; after `settle`."""
        name = f"{dimension}={value}"
        return name if name in self._known.get(rollout, ()) else f"{dimension}={OTHER}"
