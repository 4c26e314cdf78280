"""Whom a version was served to, who goes on with it in a conversation, and what is left when out of touch."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from core.flags.bucketing import bucket_of_digest, make_digester
from core.flags.conversations import continue_conversation, format_conversation
from core.flags.layers import build_layer_share
from core.flags.snapshot import (
    FinishingVersion,
    FlagAnswer,
    Reason,
    ServedShare,
    ServedUnits,
    Snapshot,
    SurfaceFlags,
    Variant,
    Version,
    build_exposure,
)
from core.flags.targeting import parse_conditions

DIGEST = make_digester("expose", "R-1")
STAFF = parse_conditions({"plan": "staff"})
EVERYBODY = ServedShare(where=None, below=1_000_000)
OLD, NEW = Version("v42", {"prompt": "old"}), Version("v43", {"prompt": "new"})
LIVE = FlagAnswer(version=OLD, variant=Variant.STABLE, reason=Reason.DEFAULT)
UNDER_WAY: Mapping[str, Any] = {"rollout": "R-1", "stage": "canary"}
CANARY = FlagAnswer(version=NEW, variant=Variant.CANARY, reason=Reason.SPLIT, exposure="R-1.0.canary", **UNDER_WAY)
CONTROL = FlagAnswer(version=OLD, variant=Variant.CONTROL, reason=Reason.SPLIT, exposure="R-1.0.control", **UNDER_WAY)
UNCOMPARED = FlagAnswer(version=OLD, variant=Variant.STABLE, reason=Reason.SPLIT, exposure="R-1.0.stable", **UNDER_WAY)


def served(*shares: ServedShare, **exceptions: Any) -> ServedUnits:
    everything = {"moved_back": frozenset(), "taken_back": (), "digest": DIGEST, **exceptions}
    return ServedUnits(rollout="R-1", shares=shares, **everything)


def goes_on(version: Version, served_to: tuple[ServedUnits, ...] | None = None) -> FinishingVersion:
    answer = FlagAnswer(version=version, variant=Variant.STABLE, reason=Reason.TARGETING_MATCH)
    return FinishingVersion(answer=answer, served_to=served_to)


def surface(**finishing: FinishingVersion) -> SurfaceFlags:
    return SurfaceFlags(name="support", live=LIVE, versions=frozenset({"v42", "v43"}), finishing=finishing)


def test_whoever_lies_in_the_share_was_served() -> None:
    bucket = bucket_of_digest(DIGEST("u1"))
    assert served(ServedShare(where=None, below=bucket + 1)).includes("u1", {})
    assert not served(ServedShare(where=None, below=bucket)).includes("u1", {})
    assert not served().includes("u1", {})


def test_one_share_is_enough_and_that_of_a_cohort_only_for_its_members() -> None:
    both = served(ServedShare(where=None, below=0), ServedShare(where=STAFF, below=1_000_000))
    assert both.includes("u1", {"plan": "staff"})
    assert not both.includes("u1", {"plan": "free"})


def test_in_any_doubt_nobody_was_served() -> None:
    assert served(EVERYBODY).includes("u1", {"plan": "staff"})
    assert not served(EVERYBODY).includes("\ud800", {})
    assert not served(EVERYBODY, moved_back=frozenset({DIGEST("u1")})).includes("u1", {})
    assert served(EVERYBODY, moved_back=frozenset({DIGEST("u2")})).includes("u1", {})
    assert not served(EVERYBODY, taken_back=(STAFF,)).includes("u1", {"plan": "staff"})
    assert served(EVERYBODY, taken_back=(STAFF,)).includes("u1", {"plan": "free"})


def test_of_a_layer_only_its_own_units_were_served() -> None:
    slot = build_layer_share("checkout", ()).slot("u1")
    assert served(EVERYBODY, layer=build_layer_share("checkout", ((slot, slot + 1),))).includes("u1", {})
    assert not served(EVERYBODY, layer=build_layer_share("checkout", ((0, slot),))).includes("u1", {})


def turn(flags: SurfaceFlags, sent: object, fresh: FlagAnswer, unit: str | None = "u1") -> FlagAnswer:
    return continue_conversation(flags, unit, {"conversation": sent}, fresh)


@pytest.mark.parametrize("fresh", [CANARY, CONTROL, UNCOMPARED, LIVE])
def test_a_conversation_that_began_with_what_one_gets_today_gets_just_that(fresh: FlagAnswer) -> None:
    flags = surface(v42=goes_on(OLD), v43=goes_on(NEW))
    assert turn(flags, format_conversation("support", fresh), fresh) is fresh


def test_one_that_began_earlier_goes_on_with_its_version_and_is_not_compared() -> None:
    flags = surface(v42=goes_on(OLD), v43=goes_on(NEW))
    assert turn(flags, "support@v42", CANARY) is flags.finishing["v42"].answer
    assert turn(flags, "support@v43", CONTROL) is flags.finishing["v43"].answer
    assert turn(flags, "support@v43", LIVE) is flags.finishing["v43"].answer


def test_one_that_would_be_compared_anew_is_not_though_the_version_is_the_same() -> None:
    flags = surface(v42=goes_on(OLD), v43=goes_on(NEW))
    assert turn(flags, "support@v42", CONTROL) is flags.finishing["v42"].answer
    assert turn(flags, "support@v43", CANARY) is flags.finishing["v43"].answer


def test_whoever_is_not_compared_and_gets_that_version_anyway_is_answered_as_everybody() -> None:
    flags = surface(v42=goes_on(OLD), v43=goes_on(NEW))
    assert turn(flags, "support@v42/R-1.0.control", LIVE) is LIVE
    assert turn(flags, "support@v42", UNCOMPARED) is UNCOMPARED


def test_what_finishes_no_more_or_was_never_served_to_one_is_not_gone_on_with() -> None:
    assert turn(surface(v42=goes_on(OLD)), "support@v43", CONTROL) is CONTROL
    assert turn(surface(v43=goes_on(NEW, (served(),))), "support@v43", CONTROL) is CONTROL
    one_of_two = surface(v43=goes_on(NEW, (served(), served(EVERYBODY))))
    assert turn(one_of_two, "support@v43", CONTROL) is one_of_two.finishing["v43"].answer
    assert turn(one_of_two, "support@v43", LIVE, unit=None) is LIVE


def test_out_of_touch_only_the_named_surfaces_fall_back_and_by_default_all() -> None:
    exposure = build_exposure(
        rollout="R-1",
        live_version=OLD,
        to_version=NEW,
        stage="canary",
        stage_index=0,
        canary=50_000,
        matched=False,
        cohort=None,
        past_cohorts=(),
    )
    support = replace(surface(v43=goes_on(NEW)), exposure=exposure)
    search = replace(support, name="search")
    whole = Snapshot(position=7, surfaces={"support": support, "search": search}, keeps_units=True)

    one = whole.with_live_only({"search"})
    assert one.surfaces["support"] is support
    assert (one.surfaces["search"].exposure, one.surfaces["search"].finishing) == (None, {})
    assert (one.position, one.keeps_units) == (7, True)

    assert [(f.exposure, f.finishing) for f in whole.with_live_only().surfaces.values()] == [(None, {}), (None, {})]
    assert all(flags is whole.surfaces[name] for name, flags in whole.with_live_only(()).surfaces.items())
