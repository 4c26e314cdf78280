"""Who somebody is, as Slack says it; and what happens when Slack cannot say it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from slack_sdk import WebClient

from bot.sandbox.control import Sandbox
from bot.sandbox.workspace import people
from bot.slack.directory import SlackDirectory
from core.files.plan_from_file import UnknownPerson
from core.rollout.refusal import Refused


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def later(self, minutes: float) -> None:
        self.at += timedelta(minutes=minutes)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(rate_limits="off") as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def directory(sandbox: Sandbox, clock: Callable[[], datetime]) -> SlackDirectory:
    return SlackDirectory(WebClient(token=sandbox.bot_token, base_url=sandbox.api_url, timeout=5), clock)


def test_somebody_has_a_handle_groups_and_a_membership(directory: SlackDirectory) -> None:
    lee = directory.resolve_actor(
        people.TEAM_ID, people.LEE.id, channel="#x", channel_id="C0SUPPORT1", moves_forward=True
    )
    assert lee.id == f"slack:{people.TEAM_ID}/{people.LEE.id}"
    assert lee.handle == "@lee"
    assert set(lee.groups) == {"@ai-leads", "@support-leads"}
    assert lee.is_full_member
    assert lee.channel == "#support"


def test_names_of_people_are_those_that_slack_knows(directory: SlackDirectory) -> None:
    asked = [people.LEE.id, "U0NOBODY01", people.ANA.id]
    assert directory.find_handles(asked) == {people.LEE.id: "@lee", people.ANA.id: "@ana"}


def test_once_slack_is_down_names_are_those_already_known(
    sandbox: Sandbox, directory: SlackDirectory, clock: Clock
) -> None:
    directory.find_handles([people.LEE.id])
    clock.later(minutes=10)
    sandbox.stop()
    assert directory.find_handles([people.ANA.id, people.LEE.id]) == {people.LEE.id: "@lee"}


def test_guests_and_strangers_are_no_full_members(directory: SlackDirectory) -> None:
    assert not directory.resolve_actor(people.TEAM_ID, people.GIL.id, moves_forward=True).is_full_member
    assert not directory.resolve_actor(people.TEAM_ID, "U0NOBODY01", moves_forward=False).is_full_member


def test_what_was_asked_is_remembered_for_five_minutes(
    directory: SlackDirectory, sandbox: Sandbox, clock: Clock
) -> None:
    directory.resolve_actor(people.TEAM_ID, people.ANA.id, moves_forward=True)
    asked = len(sandbox.api_calls)
    clock.later(4)
    directory.resolve_actor(people.TEAM_ID, people.ANA.id, moves_forward=True)
    assert len(sandbox.api_calls) == asked
    clock.later(2)
    directory.resolve_actor(people.TEAM_ID, people.ANA.id, moves_forward=True)
    assert len(sandbox.api_calls) > asked


def test_an_approval_asks_again_each_time(directory: SlackDirectory, sandbox: Sandbox) -> None:
    directory.resolve_actor(people.TEAM_ID, people.ANA.id, moves_forward=True)
    asked = len(sandbox.api_calls)
    directory.resolve_actor(people.TEAM_ID, people.ANA.id, moves_forward=True, fresh=True)
    assert len(sandbox.api_calls) > asked


@pytest.mark.parametrize("kind", ["500", "error:internal_error"])
def test_without_slack_nothing_moves_forward_but_everything_moves_back(
    directory: SlackDirectory, sandbox: Sandbox, kind: str
) -> None:
    sandbox.fail_next("users.info", kind, times=2)
    with pytest.raises(Refused, match="nothing moves forward"):
        directory.resolve_actor(people.TEAM_ID, people.ANA.id, moves_forward=True)
    ana = directory.resolve_actor(people.TEAM_ID, people.ANA.id, moves_forward=False)
    assert ana.is_full_member
    assert ana.groups == ()


def test_a_guest_who_is_known_stays_a_guest_without_slack(
    directory: SlackDirectory, sandbox: Sandbox, clock: Clock
) -> None:
    directory.resolve_actor(people.TEAM_ID, people.GIL.id, moves_forward=False)
    clock.later(6)
    sandbox.fail_next("users.info", "500")
    assert not directory.resolve_actor(people.TEAM_ID, people.GIL.id, moves_forward=False).is_full_member


def test_handles_in_files_become_ids_and_ids_stay(directory: SlackDirectory) -> None:
    assert directory.resolve_handle("@dana") == people.DANA.id
    assert directory.resolve_handle("@Dana") == people.DANA.id
    assert directory.resolve_handle(people.DANA.id) == people.DANA.id


@pytest.mark.parametrize("handle", ["@nobody", "U0NOBODY01", "@rampart"])
def test_a_handle_of_nobody_is_refused(directory: SlackDirectory, handle: str) -> None:
    with pytest.raises(UnknownPerson, match=f"there is no {handle}"):
        directory.resolve_handle(handle)


def test_the_name_that_people_see_is_resolved_too_and_one_that_two_have_is_not(
    directory: SlackDirectory, sandbox: Sandbox, clock: Clock
) -> None:
    known = sandbox.workspace.people
    known["U0KOWALSKI"] = replace(people.MIA, id="U0KOWALSKI", handle="eva.kowalski", display_name="eva")
    assert directory.resolve_handle("@eva") == "U0KOWALSKI"
    clock.later(6)
    known["U0SMITH001"] = replace(people.MIA, id="U0SMITH001", handle="eva")
    with pytest.raises(UnknownPerson, match=r"@eva could be @eva \(U0SMITH001\) or @eva.kowalski \(U0KOWALSKI\)"):
        directory.resolve_handle("@eva")


def test_without_slack_it_is_not_known_who_a_handle_is(directory: SlackDirectory, sandbox: Sandbox) -> None:
    sandbox.fail_next("users.list", "500")
    with pytest.raises(UnknownPerson, match="cannot say right now") as unknown:
        directory.resolve_handle("@dana")
    assert unknown.value.is_temporary


def test_a_group_can_be_mentioned(directory: SlackDirectory) -> None:
    assert directory.format_mention("@ai-leads") == "<!subteam^S0AILEADS1>"
    assert directory.format_mention("@nobody") == ""
