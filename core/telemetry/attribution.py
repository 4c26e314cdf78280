"""Attribution: to which surface, side and unit a span belongs, from itself outwards and then from its whole trace."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from core.telemetry.span import Facts, ReportedSpan

FindUnitKind = Callable[[str], str | None]
"""The unit that a surface's rollout assigns (`user`, `conversation`, `account`); None if there is no such surface."""

_CARRIED = ("variant", "version", "exposure", "unit")


class FlagMention(NamedTuple):
    """That a span or an event names a surface, with what it says of the evaluation; empty where it says nothing."""

    surface: str
    variant: str = ""
    version: str = ""
    exposure: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """The spans of one trace, with what was said outside of any span: the facts of events and of resources.

    `mentions` are those of each span that has any, by its id.
    """

    spans: Mapping[str, ReportedSpan]
    outside: Sequence[Facts]
    resources: Sequence[Facts]
    mentions: Mapping[str, Sequence[FlagMention]]

    def walk_outwards(self, span_id: str) -> Iterable[ReportedSpan]:
        """The span and its ancestors as far as they are known; a loop ends the walk."""
        met: set[str] = set()
        while span_id not in met and (span := self.spans.get(span_id)) is not None:
            met.add(span_id)
            yield span
            span_id = span.parent_id

    def all_facts(self) -> Iterable[Facts]:
        """Facts of every span, then of events outside of them, then of resources."""
        for span in self.spans.values():
            yield span.facts
        yield from self.outside
        yield from self.resources


def list_mentions(facts: Facts, find_unit_kind: FindUnitKind) -> list[FlagMention]:
    """The known surfaces that these facts name, each once."""
    if "flags" not in facts:
        if "surface" not in facts or find_unit_kind(facts["surface"]) is None:
            return []
        say = facts.get
        return [
            FlagMention(facts["surface"], say("variant", ""), say("version", ""), say("exposure", ""), say("unit", ""))
        ]
    found: dict[str, FlagMention] = {}
    for said in (facts, *facts.get("flags", ())):
        surface = said.get("surface", "")
        if surface and surface not in found and find_unit_kind(surface) is not None:
            found[surface] = FlagMention(surface, *(said.get(key, "") for key in _CARRIED))
    return list(found.values())


def find_mention(trace: Trace, span_id: str, find_unit_kind: FindUnitKind) -> FlagMention | str:
    """The mention that a span belongs to, or why it belongs to none.

    That of the nearest span outwards; else the only one in the trace; else a surface named like the service.
    """
    near = trace.mentions.get(span_id)
    if near is None:
        near = next((found for span in trace.walk_outwards(span_id) if (found := trace.mentions.get(span.span_id))), ())
    if near:
        return near[0] if len(near) == 1 else "several_surfaces"
    everywhere: dict[str, FlagMention] = {}
    for mentions in trace.mentions.values():
        everywhere |= {mention.surface: mention for mention in mentions if mention.surface not in everywhere}
    for facts in (*trace.outside, *trace.resources):
        for mention in list_mentions(facts, find_unit_kind):
            everywhere.setdefault(mention.surface, mention)
    if everywhere:
        return next(iter(everywhere.values())) if len(everywhere) == 1 else "several_surfaces"
    for resource in trace.resources:
        if find_unit_kind(service := resource.get("service", "")) is not None:
            return FlagMention(surface=service)
    return "no_surface"


def find_unit(trace: Trace, span_id: str, mention: FlagMention, find_unit_kind: FindUnitKind) -> str:
    """The unit: that of the evaluation, else of a span outwards, else the only one in the trace; empty if unknown.

    Without a unit that is called so, a user or a conversation is taken where the rollout assigns these.
    """
    if mention.unit:
        return mention.unit
    names = [
        "unit",
        *({"user": ["user"], "conversation": ["conversation"]}.get(find_unit_kind(mention.surface) or "", [])),
    ]
    for name in names:
        for span in trace.walk_outwards(span_id):
            if name in span.facts:
                return str(span.facts[name])
        everywhere = {str(facts[name]) for facts in trace.all_facts() if name in facts}
        if len(everywhere) == 1:
            return everywhere.pop()
    return ""


def merge_events(span: ReportedSpan, told: Sequence[Mapping[str, Any]]) -> ReportedSpan:
    """The span with what events of a log say of it."""
    facts: dict[str, Any] = {
        key: list(value) if isinstance(value, list) else value for key, value in span.facts.items()
    }
    for one in told:
        for fact, value in one.items():
            if isinstance(value, list):
                facts[fact] = [*facts.get(fact, ()), *value]
            elif isinstance(value, dict):
                facts[fact] = {**value, **facts.get(fact, {})}
            else:
                facts.setdefault(fact, value)
    return span._replace(facts=facts)
