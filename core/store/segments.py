"""How many segments a rollout can have: the first values keep their name, later ones are counted as others."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection

from core.store.driver import fetch

VALUES = 40
"""Of one dimension, such as `language`; an application that sends user ids by mistake must not grow a cell for each."""
OTHER = "(other)"


class Vocabulary:
    """The segments that each rollout has, as far as this process knows; it asks the database about names new to it."""

    def __init__(self) -> None:
        self._known: dict[str, set[str]] = {}

    def settle(self, connection: Connection, met: Mapping[str, Iterable[str]]) -> None:
        """Make room for the segments met in a batch, by rollout, or decide that they are others."""
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
            for name in sorted(set(names) - known):
                dimension = name.partition("=")[0]
                if sum(one.startswith(f"{dimension}=") for one in known) < VALUES:
                    known.add(name)
            self._known[rollout] = known

    def name(self, rollout: str, dimension: str, value: str) -> str:
        """`language=de`, or `language=(other)` for a value that found no room; after `settle`."""
        name = f"{dimension}={value}"
        return name if name in self._known.get(rollout, ()) else f"{dimension}={OTHER}"
