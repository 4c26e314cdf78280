"""Check a well-formed file against the surface, the policy and the clock: what is wrong or unwise in it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, assert_never

from core.files.checks import (
    bundle_checks,
    date_checks,
    detectability_checks,
    drives_checks,
    layer_checks,
    limit_checks,
    notice_checks,
    source_checks,
    stage_checks,
)
from core.files.choose_template import with_chosen_template
from core.files.find_changes import find_changes
from core.files.kinds.bundle_file import BundleFile
from core.files.kinds.policy_file import PolicyFile, policy_from_file
from core.files.kinds.rollout_file import RolloutFile
from core.files.kinds.surface_file import SurfaceFile, surface_from_file
from core.files.read_file import AnyFile
from core.files.sections import metric_terms
from core.files.syntax.problems import FileProblem, UnreadableFile
from core.files.templates import TEMPLATES
from core.rollout.plans.plan import Risk, content_hash
from core.rollout.plans.policy import DEFAULT_POLICY, Policy
from core.rollout.state.surface import Surface, evolve, is_version_taken, next_version

_DATED = re.compile(r"\d{4}-?\d{2}(-?\d{2})?")


def check(file: AnyFile, surface: Surface | None, policy: Policy, now: datetime | None) -> tuple[FileProblem, ...]:
    """Every finding, sorted by line; those with severity `error` refuse the file.

    Without a surface (`lint`), what is live is not checked. Without `now`, lead times are not, so that a stored file
    does not become invalid over time.
    """
    match file:
        case BundleFile():
            found = [
                *bundle_checks.check(file),
                *(problem for one in file.rollouts for problem in check(one, surface, policy, now)),
            ]
        case RolloutFile():
            file = with_chosen_template(file, surface)
            found = [
                *_check_change(file, surface),
                *_check_approvals(file),
                *limit_checks.check(file),
                *stage_checks.check(file, surface, policy),
                *drives_checks.check(file),
                *layer_checks.check_rollout(file, policy),
                *detectability_checks.check_limits(file, surface, policy),
                *detectability_checks.check_comparisons(file, surface, policy),
                *source_checks.check_limits(file, surface),
                *notice_checks.check(file, surface, policy, now),
                *date_checks.check(file, surface, policy, now),
                *_check_unit(file),
            ]
        case SurfaceFile():
            found = [
                *_check_surface(file),
                *_check_measured(file),
                *metric_terms.check_metrics(file.source, file.metrics),
            ]
        case PolicyFile():
            found = [
                *_check_policy(file),
                *layer_checks.check_policy(file),
                *metric_terms.check_metrics(file.source, file.metrics),
            ]
        case _:
            assert_never(file)
    return tuple(sorted(found, key=lambda problem: (problem.line, problem.column)))


def check_together(files: Sequence[AnyFile]) -> tuple[FileProblem, ...]:
    """What can only be checked with several files together: whether the limits of a rollout fit the traffic of its
    surface, whether the surfaces in a policy's layers exist, and whether two surfaces are to follow one flag."""
    surfaces = {file.surface: evolve(None, surface_from_file(file)) for file in files if isinstance(file, SurfaceFile)}
    policies = [file for file in files if isinstance(file, PolicyFile)]
    policy = policy_from_file(policies[0]) if policies else DEFAULT_POLICY
    found: list[FileProblem] = []
    for file in _list_files(files):
        if isinstance(file, RolloutFile):
            found += detectability_checks.check_limits(file, surfaces.get(file.surface), policy)
            found += detectability_checks.check_comparisons(file, surfaces.get(file.surface), policy)
            found += layer_checks.check_rollout(file, policy) if policies else ()
        elif isinstance(file, PolicyFile) and surfaces:
            found += layer_checks.check_surfaces(file, surfaces)
    found += drives_checks.check_shared([file for file in _list_files(files) if isinstance(file, RolloutFile)])
    return tuple(found)


def _list_files(files: Sequence[AnyFile]) -> Iterator[AnyFile]:
    """The files, with the rollouts of a bundle in its place."""
    for file in files:
        if isinstance(file, BundleFile):
            yield from file.rollouts
        else:
            yield file


def _check_change(file: RolloutFile, surface: Surface | None) -> Iterator[FileProblem]:
    change, source = file.change, file.source
    path = ("change", "from")
    if change.from_surface not in ("", file.surface):
        yield source.problem_at(
            path, f'"{change.from_surface}" is not the surface of this file, which is {file.surface}'
        )
    elif surface is not None and surface.live != change.from_version:
        yield source.problem_at(
            path,
            f"{change.from_version} is no longer live, {surface.live} is: someone shipped in between. Write "
            f"{surface.name}@{surface.live} here and review the plan again",
        )
    elif surface is not None:
        yield from _check_new_version(file, surface)
    if change.to.version is not None and change.to.version == change.from_version:
        yield source.problem_at(
            ("change", "to", "version"), f"{change.to.version} is also the version that it starts from"
        )
    if "model" in change.to.model_fields_set:
        strict = file.effective_risk is Risk.HIGH or TEMPLATES[file.template].dated_snapshot
        yield from _check_model(file, ("change", "to", "model"), change.to.model, strict=strict)


def _check_new_version(file: RolloutFile, surface: Surface) -> Iterator[FileProblem]:
    try:
        _, changed = find_changes(file, surface)
    except UnreadableFile as refusal:
        yield from refusal.problems
        return
    name = file.change.to.version
    if (
        name is not None
        and name != surface.live
        and is_version_taken(surface, name, {**surface.live_content, **changed})
    ):
        yield file.source.problem_at(
            ("change", "to", "version"),
            f"{name} already stands for other content ({content_hash(surface.versions[name])}), and a version "
            f"never changes. Leave this out to get the next free name, {next_version(surface)}",
        )


def _check_model(
    file: RolloutFile | SurfaceFile, path: tuple[str, ...], model: Any, *, strict: bool
) -> Iterator[FileProblem]:
    """A model name needs the date of its snapshot, so that the model cannot change by itself."""
    parts = {str(k): str(v) for k, v in model.items()} if isinstance(model, dict) else {"": str(model)}
    for key, text in parts.items():
        if re.search(r"\blatest\b", text.lower()):
            at = (*path, key) if key else path
            yield file.source.problem_at(at, f"'{text}' can change without you. Use a dated snapshot.")
            return
    if not any(_DATED.search(text) for text in parts.values()):
        message = "this model has no date, so it can change without you. Use a dated snapshot."
        yield file.source.problem_at(path, message, severity="error" if strict else "warning")


def _check_approvals(file: RolloutFile) -> Iterator[FileProblem]:
    terms, source = file.approvals, file.source
    if file.effective_risk is not Risk.HIGH:
        return
    if terms.required is not None and terms.required < 2:
        yield source.problem_at(
            ("approvals", "required"), f"high risk needs at least 2 approvals, not {terms.required}"
        )
    if terms.owner_may_approve:
        yield source.problem_at(("approvals", "owner_may_approve"), "at high risk the owner may not approve")


def _check_unit(file: RolloutFile) -> Iterator[FileProblem]:
    unit = file.assignment.unit
    if unit != "user":
        message = (
            "Rampart splits traffic by the targetingKey that applications send, regardless of this field: send "
            f"the id of the {unit} there, and as the unit of observations"
        )
        yield file.source.problem_at(("assignment", "unit"), message, severity="warning")


def _check_surface(file: SurfaceFile) -> Iterator[FileProblem]:
    if all(notice.audience != "engineering" for notice in file.notify):
        message = 'no channel is notified "as: engineering", so rollouts of this surface would have no card'
        yield file.source.problem_at(("notify",), message, at_key=True)
    yield from notice_checks.check_duplicates(file.source, file.notify)
    yield from source_checks.check(file)
    if "model" in file.live.model_fields_set:
        for problem in _check_model(file, ("live", "model"), file.live.model, strict=False):
            # it is already live, and refusing the file would not change that
            yield replace(problem, severity="warning")


def _check_measured(file: SurfaceFile) -> Iterator[FileProblem]:
    """What rules read off answers is of a metric that the file defines, and of a kind that suits it."""
    kinds = {terms.name: terms.kind for terms in file.metrics}
    for metric, what in (file.soft_errors.measure if file.soft_errors is not None else {}).items():
        path = ("soft_errors", "measure", metric)
        suits = ("mean", "quantile") if what in ("words", "links") else ("rate",)
        if metric not in kinds:
            yield file.source.problem_at(path, f"{metric} is not among the metrics of this file", at_key=True)
        elif kinds[metric] not in suits:
            yield file.source.problem_at(path, f"{what} is for a {suits[0]}, and {metric} is a {kinds[metric]}")


def _check_policy(file: PolicyFile) -> Iterator[FileProblem]:
    high = file.risk.high
    if high is not None and high.approvals < 2:
        message = (
            f"high risk with {high.approvals} approval{'' if high.approvals == 1 else 's'}: two people should agree"
        )
        yield file.source.problem_at(("risk", "high", "approvals"), message, severity="warning")
