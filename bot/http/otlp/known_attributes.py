"""Remembers what encoded attributes of spans say, as nearly all of them come again and again."""

from collections.abc import Callable
from typing import Any, TypeAlias

from core.telemetry.conventions import application
from core.telemetry.read_attributes import READERS

ToldFacts: TypeAlias = tuple[tuple[str, Any], ...]
"""Names and values of the facts that one attribute tells; empty if nothing reads it."""
ReadPair: TypeAlias = Callable[[bytes], tuple[str, Callable[[], Any]]]
"""The name of an encoded attribute, and what reads its value."""

MAX_KNOWN = 8_192  # attributes: some 3 MB
MAX_LENGTH = 256  # bytes of an encoded attribute; longer ones hardly come twice


class KnownAttributes:
    """What attributes say, by their bytes in one encoding. When it is full, it begins anew. Threads may share it."""

    def __init__(self, read_pair: ReadPair) -> None:
        self._read_pair = read_pair
        self._known: dict[bytes, ToldFacts] = {}
        self.find = self._known.get
        """What an attribute says; None if that is not known. Bare, as it is called sixteen times for each span."""

    def learn(self, encoded: bytes, facts: dict[str, Any], reasons: dict[str, None]) -> ToldFacts:
        """What an attribute says that is not known; raises what reading it raises.

        What several attributes say together, such as an application's own metrics, is added to `facts` here; of those
        that cannot be read, `reasons` are told.
        """
        name, read_value = self._read_pair(encoded)
        told: ToldFacts = ()
        if (reader := READERS.get(name)) is not None:
            found: dict[str, Any] = {}
            reader(found, read_value())
            told = tuple(found.items())
        elif name.startswith(application.PREFIX):
            if not application.read_prefixed(facts, name, read_value()):
                reasons[f"{name[:60]} is not read: {application.WHAT_IS_READ}"] = None
            return ()
        if len(encoded) <= MAX_LENGTH:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[encoded] = told
        return told
