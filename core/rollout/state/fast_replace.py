"""A `dataclasses.replace` for frozen classes without slots, about ten times as fast. Replaying a log is mostly this."""

from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")

_new, _set = object.__new__, object.__setattr__

if TYPE_CHECKING:
    from dataclasses import replace as replace
else:

    def replace(instance: T, /, **changes: Any) -> T:
        """A copy with these fields changed. TypeError for a field that does not exist."""
        fields = instance.__dict__
        values = {**fields, **changes}
        if len(values) != len(fields):
            raise TypeError(f"{type(instance).__name__} has no such field: {', '.join(changes.keys() - fields.keys())}")
        copy = _new(type(instance))
        _set(copy, "__dict__", values)  # bypasses `frozen`; updating the existing dict would cost twice as much
        return copy
