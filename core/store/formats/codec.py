"""Encodes events as canonical JSON, and decodes any stored schema version into today's classes."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar, get_args

from pydantic import TypeAdapter, ValidationError

from core.rollout.plans.plan import drop_unset_fields
from core.rollout.state.events import Event
from core.store.errors import NotStorable, UnknownEvent
from core.store.formats.sealing import SealingKey, unseal

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
E = TypeVar("E")

# The only serialisation of a body, so that its bytes can be hashed; ValueError for NaN and infinities.
canonical_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

# (type, schema version) -> a function that turns its body into that of the next version. Stored bytes never change.
UPCASTERS: Mapping[tuple[str, int], Upcaster] = {}


class Unsealing(NamedTuple):
    """What is needed to decrypt the sealed text of one event; `secret` is None once the key was erased."""

    event_id: str
    secret: bytes | None


class EventCodec(Generic[E]):
    """Encodes and decodes a union of event dataclasses, each with a stable `TYPE` and a version `SCHEMA` (from 1)."""

    def __init__(self, union: Any, upcasters: Mapping[tuple[str, int], Upcaster]) -> None:
        classes = get_args(union) or (union,)
        self.classes: Mapping[str, type[E]] = {each.TYPE: each for each in classes}
        if len(self.classes) != len(classes):
            raise ValueError("Two events share a stored name: give each class a TYPE of its own.")
        self._upcasters = upcasters
        self._schemas = {name: getattr(kind, "SCHEMA", 1) for name, kind in self.classes.items()}
        self._adapters: dict[str, TypeAdapter[Any]] = {}
        self._readers: dict[str, Callable[[str], E]] = {}

    def encode(self, event: E, event_id: str = "", key: SealingKey | None = None) -> tuple[str, int, str]:
        """(type, schema version, body), with personal text sealed with `key`. NotStorable unless it reads back equal.

        The check costs microseconds, and keeps NaN, ambiguous unions and values that JSON cannot hold out of a log that
        can never be corrected.
        """
        kind: type[Any] = type(event)
        name: str = kind.TYPE
        try:
            fields = drop_unset_fields(
                self._get_adapter(name).dump_python(event, mode="json"), getattr(kind, "LATER", ())
            )
            body = canonical_json(fields)
        except ValueError as error:
            raise NotStorable(f"The event {name} holds a value that JSON cannot represent: {error}.") from error
        if self._validate_json(name, body) != event:
            raise NotStorable(f"The event {name} does not read back as it was written.")
        if key is not None:
            body = canonical_json(key.seal(fields, _sealed_fields_of(kind), event_id))
        return name, self._schemas[name], body

    def decode(self, type_: str, schema_version: int, body: str, unsealing: Unsealing | None = None) -> E:
        """The event as today's class. UnknownEvent for a type, version or shape that this program does not know.

        Sealed text is decrypted with `unsealing`; if its secret is None, the text reads `sealing.ERASED`.
        """
        current = self._schemas.get(type_)
        if schema_version == current and unsealing is None:
            return self._validate_json(type_, body)
        if current is None or schema_version > current:
            raise UnknownEvent(
                f"The log holds an event {type_} (version {schema_version}) that this program does not know. "
                "A newer program wrote it: upgrade this one before it decides anything."
            )
        while schema_version < current:
            lift = self._upcasters.get((type_, schema_version))
            if lift is None:
                raise UnknownEvent(
                    f"There is no upgrade of the event {type_} from version {schema_version} to the next."
                )
            body = canonical_json(lift(json.loads(body)))
            schema_version += 1
        if unsealing is not None:
            body = canonical_json(
                unseal(json.loads(body), _sealed_fields_of(self.classes[type_]), unsealing.event_id, unsealing.secret)
            )
        return self._validate_json(type_, body)

    def _validate_json(self, type_: str, body: str) -> E:
        read = self._readers.get(type_)
        if read is None:
            # Calls the validator directly: the adapter's own method would double the time.
            read = self._readers[type_] = self._get_adapter(type_).validator.validate_json
        try:
            return read(body)
        except ValidationError as error:
            # Without the values, which may be personal text.
            wrong = "; ".join(
                f"{'.'.join(map(str, one['loc'])) or 'the whole'}: {one['msg']}"
                for one in error.errors(include_input=False, include_url=False, include_context=False)
            )
            raise UnknownEvent(f"A stored {type_} does not have the shape of its version: {wrong}") from None

    def _get_adapter(self, type_: str) -> TypeAdapter[Any]:
        """The adapter of a type, built on first use: building all of them would slow every start."""
        found = self._adapters.get(type_)
        if found is None:
            found = self._adapters[type_] = TypeAdapter(self.classes[type_])
        return found


def _sealed_fields_of(kind: type[Any]) -> tuple[str, ...]:
    return getattr(kind, "WRITTEN", ())


def holds_personal_text(event: object) -> bool:
    """Whether the event holds text that a person wrote: a non-empty field that its class lists in `WRITTEN`."""
    return any(getattr(event, name) for name in _sealed_fields_of(type(event)))


EVENT_CODEC: EventCodec[Event] = EventCodec(Event, UPCASTERS)


def encode(event: Event, event_id: str = "", key: SealingKey | None = None) -> tuple[str, int, str]:
    """(type, schema version, canonical body) of one of Rampart's own events."""
    return EVENT_CODEC.encode(event, event_id, key)


def decode(type_: str, schema_version: int, body: str, unsealing: Unsealing | None = None) -> Event:
    """Decode one of Rampart's own events; see `EventCodec.decode`."""
    return EVENT_CODEC.decode(type_, schema_version, body, unsealing)
