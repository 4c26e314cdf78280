"""What an applied surface file or policy file changes; a file makes no version live but the first."""

from core.rollout import commands as c
from core.rollout.plans.plan import content_hash
from core.rollout.refusal import Refused
from core.rollout.state import events as e
from core.rollout.state.sources import map_owners, map_unknown_units
from core.rollout.state.surface import JudgingTerms, Surface, SurfaceDeclared, is_version_taken


def decide_surface(known: Surface | None, declared: SurfaceDeclared) -> list[SurfaceDeclared]:
    """The declaration, unless it is the one that is known. `Refused` if it contradicts what is live or under way."""
    if known is None:
        return [declared]
    if known.fingerprint == declared.fingerprint:
        return []
    if known.live != declared.version and declared.version not in known.versions:
        raise Refused(
            f"{known.live} is live on {known.name}; a file cannot make {declared.version} live.",
            hint="Plan a rollout: that is the only way to make a version live.",
            code="conflict",
        )
    if is_version_taken(known, declared.version, declared.content):
        there = content_hash(known.versions[declared.version])
        raise Refused(
            f"{declared.version} of {known.name} already stands for other content ({there}): a version never "
            "changes, and a file makes nothing live.",
            hint="To change what is live, start a rollout; here, leave `live` as it was.",
            code="conflict",
        )
    if known.running and _has_other_judge(known, declared):
        running = ", ".join(known.running)
        raise Refused(
            f"{running} is under way on {known.name}, and its answers are judged by one judge and one rubric "
            "throughout, checked by the same anchors.",
            hint="Apply this file once it has ended, or leave judge, criteria and anchors as they were. The rest of "
            "`judging` may change.",
            code="conflict",
        )
    if known.running and map_owners(known.sources or ()) != map_owners(declared.sources or ()):
        raise Refused(
            f"{', '.join(known.running)} is under way on {known.name}, and each of its metrics comes from one place "
            "throughout.",
            hint="Apply this file once it has ended, or let each source count what it counted before: its columns, "
            "query and times may change.",
            code="conflict",
        )
    if known.running and map_unknown_units(known.sources or ()) != map_unknown_units(declared.sources or ()):
        raise Refused(
            f"{', '.join(known.running)} is under way on {known.name}, and how many requests count as one, where units "
            "are unknown, is agreed beforehand.",
            hint="Apply this file once it has ended, or leave `requests_per_unit` as it was.",
            code="conflict",
        )
    return [declared]


def decide_policy(known_fingerprint: str, command: c.ApplyPolicy, by: str) -> list[e.PolicyApplied]:
    """The new policy, unless it is the one that is known."""
    if known_fingerprint == command.fingerprint:
        return []
    return [e.PolicyApplied(policy=command.policy, fingerprint=command.fingerprint, by=by)]


def _has_other_judge(known: Surface, declared: SurfaceDeclared) -> bool:
    before, after = known.judging, declared.judging
    if before is None:
        return False
    return after is None or _list_fixed_terms(after) != _list_fixed_terms(before)


def _list_fixed_terms(terms: JudgingTerms) -> tuple[object, ...]:
    """What stays as it is while a rollout is under way."""
    return terms.judge, terms.criteria, terms.anchors
