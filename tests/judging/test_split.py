"""How people are split: found where it is wrong, not on a handful of people, and right again by itself."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.judging.look.look import ExposureCounts, Look
from core.judging.model.question import Question, StageDesign
from core.judging.model.state import SplitCheck
from core.judging.verdict.sample_ratio import MIN_SPLIT_UNITS, check_split

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LIMIT = Limit(
    metric="refusal_rate", kind=LimitKind.RISES_BY, amount=0.01, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
)


def asked(*shares: float, set_aside: int = 0) -> Question:
    stages = tuple(
        StageDesign(index=i, name=f"{share:.0%}", compared=True, canary_share=share, control_left=True)
        for i, share in enumerate(shares)
    )
    return Question(limits=(LIMIT,), stages=stages, current=len(shares) - 1, splits_set_aside=set_aside)


def look(*counts: tuple[int, int]) -> Look:
    exposures = tuple(
        ExposureCounts(stage=i, canary=canary, control=control) for i, (canary, control) in enumerate(counts)
    )
    return Look(at=NOON, stage=len(counts) - 1, exposures=exposures)


def test_a_handful_of_people_decides_no_split() -> None:
    assert check_split(asked(0.25), look((14, 185)), SplitCheck()).found is None
    assert check_split(asked(0.25), look((0, MIN_SPLIT_UNITS - 1)), SplitCheck()).found is None
    assert check_split(asked(0.25), look((0, MIN_SPLIT_UNITS)), SplitCheck()).found is not None


def test_a_wrong_split_is_found_with_the_share_that_was_seen() -> None:
    found = check_split(asked(0.25), look((100, 900)), SplitCheck()).found
    assert found is not None
    assert (found.expected_share, found.observed_share, found.number) == (0.25, 0.1, 1)


def test_a_finding_stands_while_the_split_is_wrong_and_ends_once_it_is_right() -> None:
    held = check_split(asked(0.25), look((100, 900)), SplitCheck())
    still_wrong = check_split(asked(0.25), look((200, 1800)), held)
    assert still_wrong.found is not None
    barely = check_split(asked(0.25), look((105, 915)), held)
    assert barely.found is not None, "twenty people show nothing"
    right = check_split(asked(0.25), look((100 + 50, 900 + 150)), held)
    assert right.found is None
    assert check_split(asked(0.25), look((100 + 300, 900 + 900)), right).found is None, (
        "the past is not held against it"
    )


def test_a_finding_is_over_once_the_same_people_are_served_as_planned() -> None:
    """Clients had cached the side of the stage before; nobody new comes to show that they no longer do."""
    held = check_split(asked(0.25), look((100, 900)), SplitCheck())

    def later(moved: int) -> SplitCheck:
        seen = look((100, 900))
        return check_split(
            asked(0.25), replace(seen, exposures=tuple(replace(one, moved=moved) for one in seen.exposures)), held
        )

    assert later(0).found is not None
    assert later(60).found is not None, "16 % is not yet a quarter"
    right = later(145)
    assert right.found is None
    assert later(300).found is not None, "nor is 40 %"
    assert check_split(asked(0.25), look((100, 900)), right).found is None, "the past is not held against it"


def test_people_who_go_on_with_their_old_side_are_found_though_they_counted_as_planned_at_first() -> None:
    def seen(moved: int) -> Look:
        begun = look((250, 750))
        return replace(begun, exposures=tuple(replace(one, moved=moved) for one in begun.exposures))

    assert check_split(asked(0.25), seen(-10), SplitCheck()).found is None
    held = check_split(asked(0.25), seen(-150), SplitCheck())
    assert held.found is not None
    assert held.found.observed_share == 0.1
    resumed = check_split(asked(0.25, set_aside=1), seen(-150), held)
    assert resumed.found is None
    assert check_split(asked(0.25, set_aside=1), seen(-150), resumed).found is None, "the past is not held against it"


def test_an_arm_that_reports_later_is_not_held_for_catching_up() -> None:
    """The canary's answers take half a minute: a few thousand people, first too few of them on it, then too many."""
    held = check_split(asked(0.25), look((60, 700)), SplitCheck())
    assert held.found is not None
    right = check_split(asked(0.25), look((160, 800)), held)
    assert right.found is None
    for canary, control in ((260, 950), (600, 1800), (1000, 3000)):
        right = check_split(asked(0.25), look((canary, control)), right)
        assert right.found is None, "of all who came a quarter has the new version"


def test_a_split_that_is_wrong_again_is_a_finding_of_its_own() -> None:
    held = check_split(asked(0.25), look((100, 900)), SplitCheck())
    right = check_split(asked(0.25), look((350, 1650)), held)
    again = check_split(asked(0.25), look((400, 2600)), right)
    assert again.found is not None
    assert again.found.number == 2


def test_setting_a_finding_aside_does_not_set_the_test_aside() -> None:
    held = check_split(asked(0.25), look((100, 900)), SplitCheck())
    resumed = check_split(asked(0.25, set_aside=1), look((101, 909)), held)
    assert resumed.found is None
    as_wrong_as_before = check_split(asked(0.25, set_aside=1), look((201, 1809)), resumed)
    assert as_wrong_as_before.found is not None
    assert as_wrong_as_before.found.number == 2


def test_a_finding_is_over_in_the_next_stage_when_that_is_split_as_planned() -> None:
    held = check_split(asked(0.05), look((10, 990)), SplitCheck())
    assert held.found is not None
    assert check_split(asked(0.05, 0.25), look((10, 990), (500, 1500)), held).found is None
    assert check_split(asked(0.05, 0.25), look((10, 990), (120, 1880)), held).found is not None


@pytest.mark.parametrize("seed", range(3))
def test_the_same_people_in_every_stage_are_rarely_taken_for_a_wrong_split(seed: int) -> None:
    """Who is over-represented by chance in the first stage is so in all of them: one coincidence, not six."""
    chance = np.random.default_rng(20261128 + seed)
    shares = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9)
    wrong = 0
    for _ in range(300):
        place = chance.random(3000)
        seen: list[tuple[int, int]] = []
        state = SplitCheck()
        for share in shares:
            for part in (0.3, 0.6, 1.0):
                came = place[: int(part * len(place))]
                state = check_split(
                    asked(*shares[: len(seen) + 1]),
                    look(*seen, (int((came < share).sum()), int((came >= share).sum()))),
                    state,
                )
            seen.append((int((place < share).sum()), int((place >= share).sum())))
        wrong += state.findings > 0
    assert wrong <= 2, "one chance in a thousand was promised"


def test_only_what_came_since_the_test_began_counts() -> None:
    begun = replace(SplitCheck(), since={"0|canary": 500, "0|control": 500}, findings=1)
    assert check_split(asked(0.25), look((500 + 75, 500 + 225)), begun).found is None
