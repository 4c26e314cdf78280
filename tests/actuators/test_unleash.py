"""What is asked of Unleash, and what its answers mean. The answers are those of version 8.2."""

import re
from dataclasses import replace

import pytest

from bot.actuators.system_api import SystemAccess
from bot.actuators.unleash import UnleashFlag
from bot.outbound.client import OutboundClient
from bot.outbound.errors import PermanentFailure, RetryLater
from tests.actuators import stand_in
from tests.actuators.stand_in import TOKEN, StandIn


def opened(unleash: StandIn, *, token: str = TOKEN, **changes: str) -> UnleashFlag:
    return UnleashFlag(
        OutboundClient({"127.0.0.1"}), replace(unleash.driven, **changes), SystemAccess(url=unleash.url, token=token)
    )


def test_it_is_read_and_written_and_nothing_else_of_it_changes(unleash):
    before = {**unleash.strategy, "parameters": {**unleash.strategy["parameters"]}}
    system = opened(unleash)
    assert system.read() == 0
    system.write(25)
    assert system.read() == 25
    assert unleash.strategy == {**before, "parameters": {**before["parameters"], "rollout": "25"}}
    assert unleash.log == ["GET", "PATCH 25", "GET"]


@pytest.mark.parametrize(("written", "percent"), [("0", 0), ("100", 100), ("33.5", 33.5), (7, 7), ("250", 250)])
def test_whatever_stands_there_is_read(unleash, written, percent):
    unleash.strategy["parameters"]["rollout"] = written
    assert opened(unleash).read() == percent


@pytest.mark.parametrize("written", ["x", "", None, "nan", "inf", pytest.param(10**400, id="too large"), True, [], {}])
def test_what_is_no_percentage_needs_a_human(unleash, written):
    unleash.strategy["parameters"]["rollout"] = written
    with pytest.raises(PermanentFailure, match="strategy s-1 has no percentage"):
        opened(unleash).read()


def test_another_kind_of_strategy_needs_a_human(unleash):
    unleash.strategy |= {"name": "default", "parameters": {}}
    with pytest.raises(PermanentFailure, match="it must be a gradual rollout"):
        opened(unleash).read()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"token": "another"}, "rejects the token: set UNLEASH_TOKEN .* (401)"),
        ({"feature": "old-prompt"}, "has no old-prompt in production, project default, .* (404)"),
        ({"project": "else"}, "has no new-prompt in production, project else, .* (404)"),
        ({"environment": "staging"}, "has no new-prompt in staging, project default, .* (404)"),
        ({"strategy": "s-2"}, "new-prompt has no strategy s-2 in production: was it deleted"),
    ],
)
def test_what_a_human_has_to_mend_is_said(unleash, changes, said):
    with pytest.raises(PermanentFailure, match=said.replace("(4", r"\(4").replace(")", r"\)")) as caught:
        opened(unleash, **changes).read()
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("code", [408, 409, 412, 423, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(unleash, code):
    unleash.fail_next("PATCH", stand_in.status(code))
    with pytest.raises(RetryLater, match=f"^Unleash answers {code}$"):
        opened(unleash).write(5)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 410, 422])
def test_what_will_not_pass_is_not(unleash, code):
    unleash.fail_next("PATCH", stand_in.status(code))
    with pytest.raises(PermanentFailure, match=rf"\({code}\)$") as caught:
        opened(unleash).write(5)
    assert TOKEN not in str(caught.value), "not even where Unleash repeats it"


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("7", 7), ("0", 1), ("86400", 300), ("Thu, 01 Jan 1970 00:00:00 GMT", 1), ("Fri, 31 Dec 9999 23:59:59 GMT", 300)],
)
def test_it_waits_as_long_as_it_is_asked_to_within_reason(unleash, said, seconds):
    unleash.fail_next("GET", stand_in.status(429, Retry_After=said))
    with pytest.raises(RetryLater) as caught:
        opened(unleash).read()
    assert caught.value.seconds == seconds


@pytest.mark.parametrize("said", ["", "soon", "-1", "1.5", "Fri, 31 Dec 9999 23:59:59 -0500"])
def test_a_wait_that_means_nothing_is_our_own(unleash, said):
    unleash.fail_next("GET", stand_in.status(503, Retry_After=said))
    with pytest.raises(RetryLater) as caught:
        opened(unleash).read()
    assert caught.value.seconds is None


def test_a_page_of_something_in_between_is_not_believed(unleash):
    one = {"id": "s-1", "name": "flexibleRollout"}
    for body in (
        "<html>",
        [],
        {"strategies": []},
        *({"enabled": True, "strategies": found} for found in ([one], [{**one, "parameters": []}], ["x"], None)),
        None,
    ):
        unleash.fail_next("GET", lambda call, body=body: call.answer(200, body))
        with pytest.raises(RetryLater, match="answers, but not like Unleash"):
            opened(unleash).read()


def test_the_token_goes_where_it_belongs_and_nowhere_else(unleash):
    """Whoever writes a rollout's file names an address: else it would be a way to be sent the token."""
    with stand_in.running() as thief:
        with pytest.raises(PermanentFailure, match=re.escape(f"the token is for {unleash.url} (UNLEASH_URL)")):
            UnleashFlag(OutboundClient({"127.0.0.1"}), thief.driven, SystemAccess(url=unleash.url, token=TOKEN))
        assert thief.log == []


@pytest.mark.parametrize(("url", "token", "named"), [("", TOKEN, "UNLEASH_URL"), ("x", "", "UNLEASH_TOKEN")])
def test_a_setting_that_is_missing_is_named(unleash, url, token, named):
    with pytest.raises(PermanentFailure, match=f"^{named} is not set"):
        UnleashFlag(OutboundClient(), unleash.driven, SystemAccess(url=url and unleash.url, token=token))


def test_a_strategy_of_another_environment_is_none(unleash):
    """By its id alone, Unleash would find it, and refuse only the change."""
    with pytest.raises(PermanentFailure, match=r"no strategy s-1 in development: .* is it one of another environment"):
        opened(unleash, environment="development").read()


@pytest.mark.parametrize("off", ["the feature", "the strategy"])
def test_what_is_off_is_nobody_and_does_not_grow_but_goes_back(unleash, off):
    unleash.set("50")
    unleash.is_on = off != "the feature"
    unleash.strategy["disabled"] = off == "the strategy"
    system = opened(unleash)
    assert (system.read(), system.read_dormant()) == (0, 50)
    system.rehearse(0)
    for act in (system.rehearse, system.write):
        with pytest.raises(PermanentFailure, match=r"is off in production: turn it on|is disabled: enable it"):
            act(5)
    system.write(0)
    assert system.read_dormant() == 0


FIXED = {"id": "s-7", "name": "default", "parameters": {}}


@pytest.mark.parametrize(
    "other",
    [
        FIXED,
        {"id": "s-7", "name": "userWithId", "parameters": {"userIds": "ana"}, "disabled": False},
        {"id": "s-7", "name": "flexibleRollout", "parameters": {"rollout": "5"}},
    ],
)
def test_nothing_grows_beside_a_strategy_whose_people_no_rollback_would_reach(unleash, other):
    unleash.others = [other]
    system = opened(unleash)
    assert system.read() == 0
    for grow in (system.rehearse, system.write):
        with pytest.raises(PermanentFailure, match="strategy s-7 of new-prompt in production turns it on, too"):
            grow(5)
    system.write(0)
    assert unleash.log[-1] == "PATCH 0", "going back is never refused"


@pytest.mark.parametrize(
    "other", [{**FIXED, "disabled": True}, {"id": "s-7", "name": "flexibleRollout", "parameters": {"rollout": "0"}}]
)
def test_a_strategy_that_turns_it_on_for_nobody_is_no_obstacle(unleash, other):
    unleash.others = [other]
    system = opened(unleash)
    system.read()
    system.write(5)
    assert system.read() == 5


def test_a_share_that_is_drawn_at_each_request_does_not_grow(unleash):
    unleash.strategy["parameters"]["stickiness"] = "random"
    with pytest.raises(PermanentFailure, match=r"has the stickiness random: .* Let it stick to userId there"):
        opened(unleash).rehearse(5)
    opened(unleash).write(0)
