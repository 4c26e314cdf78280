"""Strata that were rolled back alone, in plain words."""

from collections.abc import Sequence

from bot.rendering import wording
from core.files.foresight.strata_traffic import StratumTraffic
from core.rollout.state import events as e
from core.rollout.state.model import Rollout, StratumRollback


def list_planned(strata: Sequence[StratumTraffic]) -> list[str]:
    """Each stratum of a plan in order, with its share of the traffic, or that nobody is in it."""
    return [_describe_traffic(one) for one in strata]


def list_empty(strata: Sequence[StratumTraffic]) -> list[str]:
    """What speaks against a plan whose stratum has nobody in it."""
    return [f"nobody would be compared in {_describe_traffic(one)}" for one in strata if one.is_empty]


def _describe_traffic(one: StratumTraffic) -> str:
    name = wording.escape(one.stratum, 100)
    if one.share is None:
        return f"{name}: its share of the traffic is not known"
    counted = f"of the {wording.pluralize(one.requests, 'request')} in {wording.escape(one.rollout, 40)}"
    if one.is_empty:
        values = wording.escape(" or ".join(f"{one.deciding}={value}" for value in one.values), 200)
        return f"{name}: nobody. None {counted} had {values}"
    return f"{name}: at most {wording.format_percent(100 * one.share)} {counted}"


def describe_event(rollout: Rollout, event: e.StratumRolledBack) -> str:
    """What was decided, and that the others stay."""
    name, why = wording.escape(event.stratum, 100), f": “{wording.escape(event.reason, 300)}”" if event.reason else ""
    who, old = wording.format_actor(event.by), wording.escape(event.version, 40)
    return (
        f"Rolled back for {name} alone by {who}: {rollout.id}{why}. They get {old} again and are not compared any "
        "more; the others stay."
    )


def describe_flip(rollout: Rollout, event: e.FlipConfirmed) -> str:
    """How long it took until every process served it."""
    name, took = wording.escape(event.stratum or "", 100), wording.format_duration(event.seconds)
    return f"Confirmed: {name} of {rollout.id} was switched back everywhere after {took}"


def list_lines(rollout: Rollout) -> list[str]:
    """One line of the card for each stratum that went back alone, while the rollout goes on."""
    if not rollout.is_under_way:
        return []
    old = wording.escape(rollout.plan.from_version, 40)
    return [
        f"Rolled back alone: {wording.escape(name, 100)} gets {old} again; {_describe_switch(back)}."
        for name, back in rollout.strata_back.items()
    ]


def describe_for_customers(rollout: Rollout, feature: str) -> str:
    """Who has the previous version again, for people outside engineering; empty if nobody."""
    if not rollout.strata_back or not rollout.is_under_way:
        return ""
    names = wording.join_limited([wording.escape(name, 100) for name in rollout.strata_back])
    return f"the group {names} has the old version of the {feature} again; nothing changes for the others"


def _describe_switch(back: StratumRollback) -> str:
    if back.flip is not None:
        return f"it took {wording.format_duration(back.flip.seconds)}"
    return "the switch is NOT CONFIRMED yet" if back.flip_doubted else "the switch is being confirmed"
