"""The line over the page that says what happens now and what comes next, and leads to where something can be done."""

from dataclasses import dataclass

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


class Narrator:
    """Holds what is told, and wakes those who look when it changes."""

    def __init__(self, changes: ChangeNotifier) -> None:
        self._changes = changes
        self.told = Narration()

    def tell(self, narration: Narration) -> None:
        """Say this from now on."""
        with self._changes.lock:
            if narration != self.told:
                self.told = narration
                self._changes.announce()
