"""What the sandbox's workspace holds: channels, messages, threads, what only one person sees, views and files."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from bot.sandbox.workspace import people
from bot.sandbox.workspace.changes import Changes
from bot.sandbox.workspace.people import Channel, Person, UserGroup

Json = dict[str, Any]
Clock = Callable[[], datetime]


class UnknownNameError(LookupError):
    """Nothing in the workspace has that name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message as it stands now; `ephemeral_to` is the only person who sees it, where there is one."""

    channel: str
    ts: str
    user: str
    text: str
    blocks: tuple[Json, ...] = ()
    thread_ts: str | None = None
    ephemeral_to: str | None = None
    metadata: Json | None = None
    files: tuple[str, ...] = ()
    broadcast: bool = False
    edited: str | None = None

    @property
    def in_thread(self) -> bool:
        """A reply, as opposed to a message of the channel or the root of a thread."""
        return self.thread_ts is not None and self.thread_ts != self.ts


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One entry of the journal: what happened to a message, and when."""

    what: Literal["posted", "edited", "deleted"]
    message: Message
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A modal or a home tab that one person sees."""

    id: str
    person: str
    body: Json
    hash: str
    root: str
    external_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file on its way into, or in, the workspace."""

    id: str
    name: str
    length: int
    content: bytes | None = None


@dataclass(slots=True, kw_only=True)
class Workspace:
    """The state; every public method takes the lock, and announces what it changed."""

    clock: Clock
    changes: Changes
    channels: dict[str, Channel] = field(default_factory=lambda: {c.id: c for c in people.CHANNELS})
    people: dict[str, Person] = field(
        default_factory=lambda: {p.id: p for p in (*people.PEOPLE, people.BOT, people.SLACKBOT)}
    )
    groups: dict[str, UserGroup] = field(default_factory=lambda: {g.id: g for g in people.USER_GROUPS})
    journal: list[Said] = field(default_factory=list)
    messages: dict[tuple[str, str], Message] = field(default_factory=dict)
    modals: dict[str, list[View]] = field(default_factory=dict)
    homes: dict[str, View] = field(default_factory=dict)
    files: dict[str, StoredFile] = field(default_factory=dict)
    _last_tick: int = 0
    _last_id: int = 0

    def channel(self, name: str) -> Channel:
        """The channel of that id, `name` or `#name`."""
        wanted = name.removeprefix("#")
        for channel in self.channels.values():
            if wanted in (channel.id, channel.name):
                return channel
        raise UnknownNameError(
            f"There is no channel {name!r}; there are {', '.join('#' + c.name for c in self.channels.values())}"
        )

    def direct(self, person: Person) -> Channel:
        """Where the app talks with one person alone."""
        opened = Channel(
            id=f"D{person.id[1:]}",
            name=f"rampart-and-{person.handle}",
            topic="",
            members=frozenset({person.id, people.BOT_USER_ID}),
            is_im=True,
        )
        with self.changes.lock:
            return self.channels.setdefault(opened.id, opened)

    def person(self, name: str) -> Person:
        """The person of that id, `handle` or `@handle`."""
        wanted = name.removeprefix("@")
        for person in self.people.values():
            if wanted in (person.id, person.handle):
                return person
        raise UnknownNameError(
            f"There is no person {name!r}; there are {', '.join('@' + p.handle for p in self.people.values())}"
        )

    def new_id(self, prefix: str) -> str:
        """An id of Slack's shape that was not given before."""
        with self.changes.lock:
            self._last_id += 1
            return f"{prefix}0{self._last_id:08d}"

    def new_ts(self) -> str:
        """A timestamp with six digits that is later than every one before."""
        with self.changes.lock:
            self._last_tick = max(int(self.clock().timestamp() * 1_000_000), self._last_tick + 1)
            return f"{self._last_tick // 1_000_000}.{self._last_tick % 1_000_000:06d}"

    def post(self, message: Message) -> Message:
        """Add a message under the ts it carries."""
        with self.changes.lock:
            self.messages[message.channel, message.ts] = message
            self._note("posted", message)
            return message

    def edit(self, old: Message, **changed: Any) -> Message:
        """Replace what a message says, where it stands."""
        with self.changes.lock:
            new = replace(old, edited=self.new_ts(), **changed)
            self.messages[old.channel, old.ts] = new
            self._note("edited", new)
            return new

    def delete(self, message: Message) -> None:
        """Take a message away; the journal keeps that it was there."""
        with self.changes.lock:
            del self.messages[message.channel, message.ts]
            self._note("deleted", message)

    def find(self, channel: str, ts: str) -> Message | None:
        """The message as it stands now."""
        with self.changes.lock:
            return self.messages.get((channel, ts))

    def visible(self, channel: str, person: str | None = None) -> list[Message]:
        """Everything in a channel in order; what only one person sees is left out for everyone else."""
        with self.changes.lock:
            found = [m for m in self.messages.values() if m.channel == channel and m.ephemeral_to in (None, person)]
        return sorted(found, key=lambda m: m.ts)

    def open_view(self, view: View) -> None:
        """Put a modal on top of those that the person has open."""
        with self.changes.lock:
            self.modals.setdefault(view.person, []).append(view)
            self.changes.announce()

    def replace_view(self, view: View) -> None:
        """Put another body under the id of an open modal or published home."""
        with self.changes.lock:
            if view.person in self.homes and self.homes[view.person].id == view.id:
                self.homes[view.person] = view
            else:
                self.modals[view.person] = [view if v.id == view.id else v for v in self.modals.get(view.person, [])]
            self.changes.announce()

    def close_views(self, person: str, *, all_of_them: bool) -> None:
        """Close the top modal of a person, or the whole stack."""
        with self.changes.lock:
            stack = self.modals.get(person, [])
            self.modals[person] = [] if all_of_them else stack[:-1]
            self.changes.announce()

    def publish_home(self, view: View) -> None:
        """Make this the person's home tab."""
        with self.changes.lock:
            self.homes[view.person] = view
            self.changes.announce()

    def views(self) -> Iterable[View]:
        """Every open modal and published home."""
        with self.changes.lock:
            return [*(view for stack in self.modals.values() for view in stack), *self.homes.values()]

    def keep_file(self, stored: StoredFile) -> None:
        """Add or replace a file."""
        with self.changes.lock:
            self.files[stored.id] = stored
            self.changes.announce()

    def _note(self, what: Literal["posted", "edited", "deleted"], message: Message) -> None:
        self.journal.append(Said(what=what, message=message, at=self.clock()))
        self.changes.announce()
