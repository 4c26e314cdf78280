"""How many segments and error categories a rollout can have: the first keep their name, later ones are others."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection

from core.judging.evidence import CATEGORY, OTHER
from core.store.driver import fetch

VALUES = 40
"""Of one dimension, such as `language`; an application that sends user ids by mistake must not grow a cell for each."""
CATEGORIES = 200
"""Of error categories, for the same reason."""
ERROR = "error_category"


class Vocabulary:
    """The names that each rollout has, as far as this process knows; it asks the database about those new to it.

    Error categories are a dimension like others.
    """

    def __init__(self) -> None:
        self._known: dict[str, set[str]] = {}

    def settle(self, connection: Connection, met: Mapping[str, Iterable[str]]) -> None:
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
                if sum(one.startswith(f"{dimension}=") for one in known) < room:
                    known.add(name)
            self._known[rollout] = known

    def category(self, rollout: str, category: str) -> str:
        """The error category as it is counted; after `settle`."""
        return self.name(rollout, ERROR, category).partition("=")[2]

    def name(self, rollout: str, dimension: str, value: str) -> str:
        """`language=de`, or `language=(other)` for a value that found no room; after `settle`."""
        name = f"{dimension}={value}"
        return name if name in self._known.get(rollout, ()) else f"{dimension}={OTHER}"
