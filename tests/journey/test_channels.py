"""Whoever applies a file over HTTP reads at once that Slack has no such channel, as the whole program is wired."""

from collections.abc import Callable

import pytest

from tests.journey.house import EXAMPLES, ROLLOUT, House


@pytest.fixture
def house(sqlite_url: str, open_house: Callable[..., House]) -> House:
    return open_house(sqlite_url)


def test_a_channel_that_slack_does_not_have_is_in_the_answer(house: House) -> None:
    surface = house.apply((EXAMPLES / "surface.yaml").read_text())
    assert surface["warnings"] == []
    answer = house.apply(ROLLOUT.replace('"#support"', '"#suport"'))
    (warned,) = [one for one in answer["warnings"] if "#suport" in one["message"]]
    assert warned["message"].startswith("Slack has no public channel #suport")
    assert warned["pointer"].startswith("/notify/")
