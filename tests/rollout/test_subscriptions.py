"""Following an AI feature: what changes, whom it tells, and when it waits."""

from datetime import UTC, datetime, time

import pytest

from core.rollout import commands as c
from core.rollout.context import Actor
from core.rollout.refusal import NotFound, Refused
from core.rollout.state.surface import Surface
from core.rollout.workspace import subscriptions
from core.rollout.workspace.subscriptions import NotificationsChanged, Subscriber, Subscribers, Topic

SAM = Actor(id="slack:T1/U0SAM", handle="@sam")
SURFACES = {"search": Surface(name="search", title="Search", owner="@dana", live="v1", versions={"v1": {}})}


def after(*commands: c.SubscriptionCommand) -> Subscriber:
    """Sam, once these commands were carried out."""
    world = Subscribers()
    for command in commands:
        for event in subscriptions.decide(world.find(SAM.id), command, SAM, SURFACES):
            world = subscriptions.evolve(world, event)
    return world.find(SAM.id)


def test_following_twice_is_following_once() -> None:
    follow = c.Subscribe(surface="search", audience="support")
    assert after(follow, follow).topics == (Topic("search", "support"),)


def test_stopping_ends_what_was_named_and_nothing_else() -> None:
    both = [c.Subscribe(surface="search", audience=audience) for audience in ("support", "marketing")]
    assert after(*both, c.Unsubscribe(surface="search", audience="support")).topics == (Topic("search", "marketing"),)
    assert after(*both, c.Unsubscribe(surface="search")).topics == ()
    assert after(*both, c.Unsubscribe()).topics == ()


def test_the_form_sets_everything_at_once() -> None:
    sam = after(
        c.Subscribe(surface="search", audience="support"),
        c.ChangeNotifications(
            role="marketing",
            quiet_from=time(20),
            quiet_until=time(8),
            zone="Europe/Berlin",
            topics=(("search", "marketing"),),
        ),
    )
    assert sam.topics == (Topic("search", "marketing"),)
    assert (sam.role, sam.quiet_from, sam.zone) == ("marketing", time(20), "Europe/Berlin")


def test_saving_the_form_unchanged_records_nothing() -> None:
    same = c.ChangeNotifications(role="", quiet_from=None, quiet_until=None, zone="", topics=())
    assert subscriptions.decide(Subscriber(user="U0SAM"), same, SAM, SURFACES) == []


def test_what_does_not_exist_cannot_be_followed() -> None:
    with pytest.raises(NotFound, match="Known: search"):
        after(c.Subscribe(surface="serach", audience="support"))
    with pytest.raises(Refused, match="not an audience"):
        after(c.Subscribe(surface="search", audience="everybody"))


def test_only_people_in_slack_can_follow() -> None:
    with pytest.raises(Refused, match="direct messages in Slack"):
        subscriptions.decide(
            Subscriber(user=""), c.Subscribe(surface="search", audience="support"), Actor(id="cli:sam"), SURFACES
        )


@pytest.mark.parametrize(
    ("at", "until"),
    [
        (datetime(2026, 11, 23, 18, 59, tzinfo=UTC), None),
        (datetime(2026, 11, 23, 19, 0, tzinfo=UTC), datetime(2026, 11, 24, 7, 0, tzinfo=UTC)),
        (datetime(2026, 11, 24, 6, 59, tzinfo=UTC), datetime(2026, 11, 24, 7, 0, tzinfo=UTC)),
        (datetime(2026, 11, 24, 7, 0, tzinfo=UTC), None),
    ],
)
def test_quiet_hours_span_midnight_in_the_persons_own_zone(at: datetime, until: datetime | None) -> None:
    quiet = Subscriber(user="U1", quiet_from=time(20), quiet_until=time(8), zone="Europe/Berlin")
    assert quiet.find_quiet_end(at) == until


def test_an_end_that_the_clocks_skip_is_that_of_the_next_day() -> None:
    quiet = Subscriber(user="U1", quiet_from=time(22), quiet_until=time(2, 30), zone="Europe/Berlin")
    before_the_change = datetime(2027, 3, 27, 22, 0, tzinfo=UTC)
    assert quiet.find_quiet_end(before_the_change) == datetime(2027, 3, 29, 0, 30, tzinfo=UTC)


def test_a_person_of_an_organisation_is_one_person() -> None:
    event = NotificationsChanged(by="slack:E1/U9", role="support", quiet_from=None, quiet_until=None, zone="")
    assert subscriptions.evolve(Subscribers(), event).find("slack:T1/U9").role == "support"
