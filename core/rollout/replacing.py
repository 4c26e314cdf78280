"""`dataclasses.replace` for frozen classes without slots, some ten times as fast: to fold a log is mostly this."""

from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from dataclasses import replace as replace
else:

    def replace(instance: T, /, **changes: Any) -> T:
        """A copy with other values in these fields; TypeError for a field that is not there."""
        kind = type(instance)
        if not changes.keys() <= kind.__dataclass_fields__.keys():
            raise TypeError(f"{kind.__name__} has no such field: {', '.join(changes.keys())}")
        copy = object.__new__(kind)
        copy.__dict__.update(instance.__dict__)
        copy.__dict__.update(changes)
        return copy
