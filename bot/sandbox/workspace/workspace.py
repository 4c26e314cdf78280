"""The sandbox's workspace: channels, messages, threads, ephemeral messages, views and files."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from bot.sandbox.workspace import people
from bot.sandbox.workspace.changes import ChangeNotifier
from bot.sandbox.workspace.people import Channel, SandboxPerson, UserGroup

Json = dict[str, Any]
Clock = Callable[[], datetime]


class UnknownNameError(LookupError):
    """Nothing in the workspace has that name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxMessage:
    """One version of a message; `ephemeral_to` is the only person who can see it, if set."""

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
        """Whether this is a reply, not a channel message or the root of a thread."""
        return self.thread_ts is not None and self.thread_ts != self.ts


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One journal entry: what happened to a message, and when."""

    action: Literal["posted", "edited", "deleted"]
    message: SandboxMessage
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
    """A file; `content` is None until it has been uploaded."""

    id: str
    name: str
    length: int
    content: bytes | None = None


@dataclass(slots=True, kw_only=True)
class SandboxWorkspace:
    """The workspace's state; public methods take the lock and announce their changes."""

    clock: Clock
    changes: ChangeNotifier
    channels: dict[str, Channel] = field(default_factory=lambda: {c.id: c for c in people.CHANNELS})
    people: dict[str, SandboxPerson] = field(
        default_factory=lambda: {p.id: p for p in (*people.PEOPLE, people.BOT, people.SLACKBOT)}
    )
    groups: dict[str, UserGroup] = field(default_factory=lambda: {g.id: g for g in people.USER_GROUPS})
    journal: list[JournalEntry] = field(default_factory=list)
    messages: dict[tuple[str, str], SandboxMessage] = field(default_factory=dict)
    modals: dict[str, list[View]] = field(default_factory=dict)
    homes: dict[str, View] = field(default_factory=dict)
    files: dict[str, StoredFile] = field(default_factory=dict)
    _last_tick: int = 0
    _last_id: int = 0

    def find_channel(self, name: str) -> Channel:
        """The channel with that id, `name` or `#name`; UnknownNameError if there is none."""
        wanted = name.removeprefix("#")
        for channel in self.channels.values():
            if wanted in (channel.id, channel.name):
                return channel
        raise UnknownNameError(
            f"There is no channel {name!r}; there are {', '.join('#' + c.name for c in self.channels.values())}"
        )

    def open_direct_message(self, person: SandboxPerson) -> Channel:
        """The app's direct message with this person, created on first use."""
        opened = Channel(
            id=f"D{person.id[1:]}",
            name=f"rampart-and-{person.handle}",
            topic="",
            members=frozenset({person.id, people.BOT_USER_ID}),
            is_im=True,
        )
        with self.changes.lock:
            return self.channels.setdefault(opened.id, opened)

    def find_person(self, name: str) -> SandboxPerson:
        """The person with that id, `handle` or `@handle`; UnknownNameError if there is none."""
        wanted = name.removeprefix("@")
        for person in self.people.values():
            if wanted in (person.id, person.handle):
                return person
        raise UnknownNameError(
            f"There is no person {name!r}; there are {', '.join('@' + p.handle for p in self.people.values())}"
        )

    def new_id(self, prefix: str) -> str:
        """A new unique id in Slack's form."""
        with self.changes.lock:
            self._last_id += 1
            return f"{prefix}0{self._last_id:08d}"

    def new_ts(self) -> str:
        """A message timestamp (`seconds.microseconds`) later than all before."""
        with self.changes.lock:
            self._last_tick = max(int(self.clock().timestamp() * 1_000_000), self._last_tick + 1)
            return f"{self._last_tick // 1_000_000}.{self._last_tick % 1_000_000:06d}"

    def post(self, message: SandboxMessage) -> SandboxMessage:
        """Add a message under the ts it carries."""
        with self.changes.lock:
            self.messages[message.channel, message.ts] = message
            self._record_change("posted", message)
            return message

    def edit(self, old: SandboxMessage, **changed: Any) -> SandboxMessage:
        """Replace fields of a message and mark it as edited."""
        with self.changes.lock:
            new = replace(old, edited=self.new_ts(), **changed)
            self.messages[old.channel, old.ts] = new
            self._record_change("edited", new)
            return new

    def delete(self, message: SandboxMessage) -> None:
        """Delete a message; the journal keeps a record of it."""
        with self.changes.lock:
            del self.messages[message.channel, message.ts]
            self._record_change("deleted", message)

    def find_message(self, channel: str, ts: str) -> SandboxMessage | None:
        """The current version of a message; None if there is none."""
        with self.changes.lock:
            return self.messages.get((channel, ts))

    def visible_messages(self, channel: str, person: str | None = None) -> list[SandboxMessage]:
        """All messages of a channel in order, including ephemeral ones for `person` only."""
        with self.changes.lock:
            found = [m for m in self.messages.values() if m.channel == channel and m.ephemeral_to in (None, person)]
        return sorted(found, key=lambda m: m.ts)

    def open_view(self, view: View) -> None:
        """Open a modal on top of the person's stack."""
        with self.changes.lock:
            self.modals.setdefault(view.person, []).append(view)
            self.changes.announce()

    def replace_view(self, view: View) -> None:
        """Replace the open modal or published home tab with the same id."""
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
        """Publish the view as the person's home tab."""
        with self.changes.lock:
            self.homes[view.person] = view
            self.changes.announce()

    def list_views(self) -> Iterable[View]:
        """Every open modal and published home tab."""
        with self.changes.lock:
            return [*(view for stack in self.modals.values() for view in stack), *self.homes.values()]

    def keep_file(self, stored: StoredFile) -> None:
        """Add or replace a file."""
        with self.changes.lock:
            self.files[stored.id] = stored
            self.changes.announce()

    def _record_change(self, action: Literal["posted", "edited", "deleted"], message: SandboxMessage) -> None:
        self.journal.append(JournalEntry(action=action, message=message, at=self.clock()))
        self.changes.announce()
