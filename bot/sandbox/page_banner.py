"""What stands over the page: what happens now and what comes next, where something can be done, and what to choose."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bot.sandbox.workspace.changes import ChangeNotifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A button that leads to somebody's screen, and to a thread there."""

    label: str
    person: str
    channel: str
    thread: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Narration:
    """What stands over the page. Nothing is told where `now` is empty."""

    now: str = ""
    next: str = ""
    way: Way | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One value of a control. `key` chooses it from the keyboard wherever no field is filled in."""

    value: str
    label: str
    hint: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Something to choose: one value of several, a button that does one thing, a menu of such, or a switch.

    `chosen` is the value that holds now; a switch is on where that is its only option.
    """

    name: str
    label: str
    kind: Literal["one_of", "button", "menu", "switch"]
    options: tuple[Option, ...]
    chosen: str = ""


class Narrator:
    """Holds what is told and offered, and wakes those who look when it changes."""

    def __init__(self, changes: ChangeNotifier) -> None:
        self._changes = changes
        self._on_choice: Callable[[str, str], str] = lambda *_: ""
        self.told = Narration()
        self.controls: tuple[Control, ...] = ()

    def tell(self, narration: Narration) -> None:
        """Say this from now on."""
        with self._changes.lock:
            if narration != self.told:
                self.told = narration
                self._changes.announce()

    def offer(self, controls: tuple[Control, ...], on_choice: Callable[[str, str], str]) -> None:
        """Offer these controls; `on_choice` gets the name and value of what is chosen, and returns what to reply."""
        with self._changes.lock:
            self.controls, self._on_choice = controls, on_choice
            self._changes.announce()

    def choose(self, name: str, value: str) -> str:
        """Choose a value of a control; an empty one turns a switch off. LookupError if it is not offered."""
        control = next((control for control in self.controls if control.name == name), None)
        if control is None or not (
            value in {o.value for o in control.options} or (control.kind, value) == ("switch", "")
        ):
            raise LookupError(f'There is no "{value}" to choose for "{name}". Reload the page.')
        return self._on_choice(name, value)
