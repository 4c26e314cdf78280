"""What people asked to be told in person: which AI features they follow, as which audience, and their quiet hours."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import ClassVar, NamedTuple, TypeAlias, assert_never
from zoneinfo import ZoneInfo

from core.rollout import commands as c
from core.rollout.context import Actor, slack_user_in
from core.rollout.plans.policy import QuietHours, resolve_wall_time
from core.rollout.refusal import Refused
from core.rollout.state.surface import Surface, require_surface

AUDIENCES = ("support", "marketing", "engineering", "downstream")


class Topic(NamedTuple):
    """An AI feature, and the audience as which somebody follows it."""

    surface: str
    audience: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribed:
    """A person follows an AI feature: they get its notices and what follows as direct messages."""

    TYPE: ClassVar[str] = "workspace.subscribed"
    by: str
    surface: str
    audience: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribed:
    """A person no longer follows an AI feature as this audience."""

    TYPE: ClassVar[str] = "workspace.unsubscribed"
    by: str
    surface: str
    audience: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationsChanged:
    """A person said what they see first on the home tab, and when direct messages wait; None if they never do."""

    TYPE: ClassVar[str] = "workspace.notifications_changed"
    by: str
    role: str
    quiet_from: time | None
    quiet_until: time | None
    zone: str


SubscriptionEvent: TypeAlias = Subscribed | Unsubscribed | NotificationsChanged


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """One person as of their last event; `user` is their Slack user id."""

    user: str
    topics: tuple[Topic, ...] = ()
    role: str = ""  # what the home tab shows first; one of `AUDIENCES`, or empty
    quiet_from: time | None = None
    quiet_until: time | None = None
    zone: str = ""

    def find_quiet_end(self, at: datetime) -> datetime | None:
        """When the quiet hours end that `at` lies in; None if it lies in none."""
        if self.quiet_from is None or self.quiet_until is None or self.quiet_from == self.quiet_until:
            return None
        local = at.astimezone(ZoneInfo(self.zone or "UTC"))
        if not QuietHours(start=self.quiet_from, end=self.quiet_until).covers_time(local):
            return None
        for ahead in range(3):  # the clocks may skip the end on one day
            end = datetime.combine(local.date() + timedelta(days=ahead), self.quiet_until)
            ends = [moment for moment in resolve_wall_time(end, ZoneInfo(self.zone or "UTC")) if moment > at]
            if ends:
                return ends[0].astimezone(UTC)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribers:
    """Everybody who ever changed their notifications, by Slack user id."""

    by_user: Mapping[str, Subscriber] = field(default_factory=dict)

    def find(self, actor_id: str) -> Subscriber:
        """The person behind an actor id, with nothing set if they never changed anything."""
        return self.find_user(slack_user_in(actor_id))

    def find_user(self, user: str) -> Subscriber:
        """The person with this Slack user id, with nothing set if they never changed anything."""
        return self.by_user.get(user) or Subscriber(user=user)

    def followers_of(self, surface: str) -> Iterable[tuple[Subscriber, str]]:
        """(person, audience) for everybody who follows the AI feature."""
        for person in self.by_user.values():
            for topic in person.topics:
                if topic.surface == surface:
                    yield person, topic.audience


def evolve(before: Subscribers, event: SubscriptionEvent) -> Subscribers:
    """The subscribers after `event`. Never refuses: the event has already happened."""
    person = before.find(event.by)
    match event:
        case Subscribed():
            topic = Topic(event.surface, event.audience)
            person = replace(person, topics=(*(t for t in person.topics if t != topic), topic))
        case Unsubscribed():
            gone = Topic(event.surface, event.audience)
            person = replace(person, topics=tuple(t for t in person.topics if t != gone))
        case NotificationsChanged():
            person = replace(
                person,
                role=event.role,
                quiet_from=event.quiet_from,
                quiet_until=event.quiet_until,
                zone=event.zone,
            )
        case _:
            assert_never(event)
    return Subscribers(by_user={**before.by_user, person.user: person})


def decide(
    person: Subscriber, command: c.SubscriptionCommand, by: Actor, surfaces: Mapping[str, Surface]
) -> list[SubscriptionEvent]:
    """The events that follow from `command`; none if that is already so. `Refused` for whom Slack cannot reach."""
    if not slack_user_in(by.id):
        raise Refused(
            "Subscriptions are direct messages in Slack, and it is not known who you are there.",
            hint="Type /rollout subscribe in Slack.",
        )
    match command:
        case c.Subscribe():
            require_surface(command.surface, surfaces)
            _require_audience(command.audience)
            return _add_topics(person, [Topic(command.surface, command.audience)], by)
        case c.Unsubscribe():
            gone = [t for t in person.topics if _matches(t, command)]
            if not gone and command.surface:
                require_surface(command.surface, surfaces)
            return [Unsubscribed(by=by.id, surface=t.surface, audience=t.audience) for t in gone]
        case c.ChangeNotifications():
            return _change_notifications(person, command, by, surfaces)
        case _:
            assert_never(command)


def _change_notifications(
    person: Subscriber, command: c.ChangeNotifications, by: Actor, surfaces: Mapping[str, Surface]
) -> list[SubscriptionEvent]:
    if (command.quiet_from is None) != (command.quiet_until is None):
        raise Refused("Quiet hours need both a beginning and an end.", hint="Leave both empty to have none.")
    wanted = [Topic(surface, audience) for surface, audience in command.topics]
    for topic in wanted:
        require_surface(topic.surface, surfaces)
        _require_audience(topic.audience)
    if command.role:
        _require_audience(command.role)
    events: list[SubscriptionEvent] = []
    now = (command.role, command.quiet_from, command.quiet_until, command.zone)
    if now != (person.role, person.quiet_from, person.quiet_until, person.zone):
        events.append(
            NotificationsChanged(
                by=by.id,
                role=command.role,
                quiet_from=command.quiet_from,
                quiet_until=command.quiet_until,
                zone=command.zone,
            )
        )
    events += [Unsubscribed(by=by.id, surface=t.surface, audience=t.audience) for t in person.topics if t not in wanted]
    return [*events, *_add_topics(person, wanted, by)]


def _add_topics(person: Subscriber, wanted: Iterable[Topic], by: Actor) -> list[SubscriptionEvent]:
    new = [topic for topic in dict.fromkeys(wanted) if topic not in person.topics]
    return [Subscribed(by=by.id, surface=topic.surface, audience=topic.audience) for topic in new]


def _matches(topic: Topic, command: c.Unsubscribe) -> bool:
    return (not command.surface or topic.surface == command.surface) and (
        not command.audience or topic.audience == command.audience
    )


def _require_audience(audience: str) -> None:
    if audience not in AUDIENCES:
        raise Refused(f'"{audience}" is not an audience.', hint=f"The audiences: {', '.join(AUDIENCES)}.")
