"""Check a well-formed file against the surface, the policy and the clock: what is wrong or unwise in it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, assert_never

from core.files.build_plan import changes
from core.files.checks import (
    date_checks,
    detectability_checks,
    drives_checks,
    limit_checks,
    notice_checks,
    stage_checks,
)
from core.files.policy_file import PolicyFile
from core.files.read_file import File
from core.files.rollout_file import RolloutFile
from core.files.surface_file import SurfaceFile, surface_of
from core.files.syntax.problems import Problem, Unreadable
from core.files.templates import TEMPLATES
from core.rollout.plan import Risk, content_hash
from core.rollout.policy import Policy
from core.rollout.surface import Surface, evolve, is_taken, next_version

_DATED = re.compile(r"\d{4}-?\d{2}(-?\d{2})?")


def check(file: File, surface: Surface | None, policy: Policy, now: datetime | None) -> tuple[Problem, ...]:
    """Every finding, sorted by line; those with severity `error` refuse the file.

    Without a surface (`lint`), what is live is not checked. Without `now`, lead times are not, so that a stored file
    does not become invalid over time.
    """
    match file:
        case RolloutFile():
            found = [
                *_change(file, surface),
                *_approvals(file),
                *limit_checks.check(file),
                *stage_checks.check(file, surface, policy),
                *drives_checks.check(file),
                *detectability_checks.check(file, surface, policy),
                *notice_checks.check(file, surface, policy, now),
                *date_checks.check(file, surface, policy, now),
                *_unit(file),
            ]
        case SurfaceFile():
            found = [*_surface(file)]
        case PolicyFile():
            found = [*_policy(file)]
        case _:
            assert_never(file)
    return tuple(sorted(found, key=lambda problem: (problem.line, problem.column)))


def together(files: Sequence[File]) -> tuple[Problem, ...]:
    """What can only be checked with a rollout file and its surface file together: whether the limits fit the
    traffic."""
    surfaces = {file.surface: evolve(None, surface_of(file)) for file in files if isinstance(file, SurfaceFile)}
    return tuple(
        problem
        for file in files
        if isinstance(file, RolloutFile)
        for problem in detectability_checks.check(file, surfaces.get(file.surface))
    )


def _change(file: RolloutFile, surface: Surface | None) -> Iterator[Problem]:
    change, source = file.change, file.source
    path = ("change", "from")
    if change.from_surface not in ("", file.surface):
        yield source.problem(path, f'"{change.from_surface}" is not the surface of this file, which is {file.surface}')
    elif surface is not None and surface.live != change.from_version:
        yield source.problem(
            path,
            f"{change.from_version} is not live now, {surface.live} is: someone shipped in between. Write "
            f"{surface.name}@{surface.live} here and read the plan again",
        )
    elif surface is not None:
        yield from _new_version(file, surface)
    if change.to.version is not None and change.to.version == change.from_version:
        yield source.problem(("change", "to", "version"), f"{change.to.version} is the version it starts from")
    if "model" in change.to.model_fields_set:
        strict = file.careful is Risk.HIGH or TEMPLATES[file.template].dated_snapshot
        yield from _model(file, ("change", "to", "model"), change.to.model, strict=strict)


def _new_version(file: RolloutFile, surface: Surface) -> Iterator[Problem]:
    try:
        _, changed = changes(file, surface)
    except Unreadable as refusal:
        yield from refusal.problems
        return
    name = file.change.to.version
    if name is not None and name != surface.live and is_taken(surface, name, {**surface.live_content, **changed}):
        yield file.source.problem(
            ("change", "to", "version"),
            f"{name} is another content already ({content_hash(surface.versions[name])}), and a version never changes. "
            f"The next free name is {next_version(surface)}; it is taken by itself where you leave this out",
        )


def _model(file: RolloutFile | SurfaceFile, path: tuple[str, ...], model: Any, *, strict: bool) -> Iterator[Problem]:
    """A model name needs the date of its snapshot, so that the model cannot change by itself."""
    parts = {str(k): str(v) for k, v in model.items()} if isinstance(model, dict) else {"": str(model)}
    for key, text in parts.items():
        if re.search(r"\blatest\b", text.lower()):
            at = (*path, key) if key else path
            yield file.source.problem(at, f"'{text}' can change without you. Use a dated snapshot.")
            return
    if not any(_DATED.search(text) for text in parts.values()):
        message = "this model has no date, so it can change without you. Use a dated snapshot."
        yield file.source.problem(path, message, severity="error" if strict else "warning")


def _approvals(file: RolloutFile) -> Iterator[Problem]:
    terms, source = file.approvals, file.source
    if file.careful is not Risk.HIGH:
        return
    if terms.required is not None and terms.required < 2:
        yield source.problem(("approvals", "required"), f"high risk needs at least 2 approvals, not {terms.required}")
    if terms.owner_may_approve:
        yield source.problem(("approvals", "owner_may_approve"), "at high risk the owner may not approve")


def _unit(file: RolloutFile) -> Iterator[Problem]:
    unit = file.assignment.unit
    if unit != "user":
        message = (
            "Rampart divides by the targetingKey that applications send, whatever this says: send the id of the "
            f"{unit} there, and as the unit of observations"
        )
        yield file.source.problem(("assignment", "unit"), message, severity="warning")


def _surface(file: SurfaceFile) -> Iterator[Problem]:
    if all(notice.audience != "engineering" for notice in file.notify):
        message = 'no channel is told "as: engineering", so rollouts of this surface would have no card'
        yield file.source.problem(("notify",), message, at_key=True)
    yield from notice_checks.twice(file.source, file.notify)
    if "model" in file.live.model_fields_set:
        for problem in _model(file, ("live", "model"), file.live.model, strict=False):
            yield replace(
                problem, severity="warning"
            )  # it is already live, and refusing the file would not change that


def _policy(file: PolicyFile) -> Iterator[Problem]:
    high = file.risk.high
    if high is not None and high.approvals < 2:
        message = (
            f"high risk with {high.approvals} approval{'' if high.approvals == 1 else 's'}: two people should agree"
        )
        yield file.source.problem(("risk", "high", "approvals"), message, severity="warning")
