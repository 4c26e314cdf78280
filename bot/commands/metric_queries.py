"""The verbs that show numbers: metrics, segments, explain."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bot.commands import request
from bot.commands.grammar import Parsed, written
from bot.commands.request import Asked
from bot.rendering import wording
from bot.rendering.answers import explain, metrics
from bot.rendering.blocks.blocks import Message
from bot.rendering.numbers import segments
from bot.rendering.numbers.latest import Latest, latest
from core import watch
from core.rollout.model import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sight:
    """The numbers for an answer, and for whom they are."""

    rollout: Rollout
    seen: Latest
    as_of: str
    plainly: bool  # for a channel that gets notices in plain words


def _metrics(parsed: Parsed, asked: Asked) -> Message:
    sight = _sight(parsed, asked)
    metric = parsed.args[0] if parsed.args else ""
    render = metrics.words if sight.plainly else metrics.numbers
    return render(sight.rollout, sight.seen, metric, parsed.flags.get("segment", ""), sight.as_of)


def _segments(parsed: Parsed, asked: Asked) -> Message:
    sight = _sight(parsed, asked)
    return (segments.words if sight.plainly else segments.numbers)(sight.rollout, sight.seen, sight.as_of)


def _explain(parsed: Parsed, asked: Asked) -> Message:
    sight = _sight(parsed, asked)
    metric = parsed.args[0]
    if sight.plainly:
        return explain.words(sight.rollout, sight.seen, metric, sight.as_of)
    trend = watch.trend(asked.service, sight.rollout, metric)
    zone = asked.service.peek().policy.timezone
    return explain.numbers(sight.rollout, sight.seen, metric, trend, zone, sight.as_of)


def _sight(parsed: Parsed, asked: Asked) -> _Sight:
    request.members_only(asked)
    world = asked.service.world()
    flags = [word for name, value in parsed.flags.items() if name != "public" for word in (f"--{name}", value)]
    again = written(parsed.verb, "{id}", *parsed.args, *(x.replace("{", "{{").replace("}", "}}") for x in flags))
    rollout = request.rollout(parsed.rollout, asked, world, again)
    judged = watch.evidence(asked.service, rollout) if rollout.under_way else None
    seen = latest(rollout, judged, asked.at)
    return _Sight(
        rollout=rollout,
        seen=seen,
        as_of=wording.when(seen.at, world.policy.timezone) if seen.at else "never",
        plainly=any(n.channel == asked.by.channel for n in rollout.plan.told_before),
    )


VERBS: Mapping[str, Callable[[Parsed, Asked], Message]] = {
    "metrics": _metrics,
    "segments": _segments,
    "explain": _explain,
}
