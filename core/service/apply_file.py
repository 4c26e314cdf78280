"""Applies a file: what it describes is handed in as one command."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, TypeAlias, assert_never

from core.files.command_from_file import NO_LOOKUPS, FileLookups, build_command
from core.files.kinds.bundle_file import BundleFile
from core.files.kinds.policy_file import PolicyFile
from core.files.kinds.rollout_file import RolloutFile
from core.files.kinds.surface_file import SurfaceFile
from core.files.prompt_files import ReadPrompt, refuse_prompt_file
from core.files.read_file import AnyFile, parse_file
from core.files.syntax.problems import FileProblem
from core.rollout.concurrency import bundles
from core.rollout.context import Actor
from core.service.service import CommandOutcome, CommandRequest, RolloutService

FileKind: TypeAlias = Literal["rollout", "bundle", "surface", "policy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedFile:
    """The result of applying a file. `changed` is False if it describes what is already the case."""

    kind: FileKind
    id: str  # R-1, the name of the surface or of the bundle, or "policy"
    changed: bool
    outcome: CommandOutcome
    warnings: tuple[FileProblem, ...]
    rollouts: tuple[str, ...] = ()  # the ids of those in a bundle, in its order


def apply_text(
    service: RolloutService,
    text: str,
    filename: str,
    *,
    by: Actor,
    at: datetime,
    command_id: str,
    lookups: FileLookups = NO_LOOKUPS,
    read_prompt: ReadPrompt = refuse_prompt_file,
    source: str = "",
) -> AppliedFile:
    """Read the text of a rollout, bundle, surface or policy file, and apply it.

    `read_prompt` reads a prompt that stands in a file beside this one. Raises `UnreadableFile` with every problem and
    its line, `NotFound` for an unknown surface, `Refused` from the decider.
    """
    file = parse_file(text, filename, read_prompt, service.load_world().own_metrics)
    return apply_parsed_file(service, file, by=by, at=at, command_id=command_id, lookups=lookups, source=source)


def apply_parsed_file(
    service: RolloutService,
    file: AnyFile,
    *,
    by: Actor,
    at: datetime,
    command_id: str,
    lookups: FileLookups,
    source: str,
) -> AppliedFile:
    """As `apply_text`, for a file that has been read."""
    command, warnings = build_command(file, service.load_world(), at, lookups)
    kind, name = _name_file(file)
    outcome = service.handle(CommandRequest(command=command, command_id=command_id, by=by, at=at, source=source))
    rollout = outcome.world.find_named(name) if kind == "rollout" else None
    bundle = bundles.find_bundle(outcome.world, name) if kind == "bundle" else None
    return AppliedFile(
        kind=kind,
        id=rollout.id if rollout else name,
        rollouts=tuple(one.id for one in bundle.members) if bundle is not None else (),
        changed=bool(outcome.positions) and not outcome.repeated,
        outcome=replace(outcome, rollout=rollout or outcome.rollout),
        warnings=warnings,
    )


def _name_file(file: AnyFile) -> tuple[FileKind, str]:
    match file:
        case SurfaceFile():
            return "surface", file.surface
        case PolicyFile():
            return "policy", "policy"
        case RolloutFile():
            return "rollout", file.rollout
        case BundleFile():
            return "bundle", file.bundle
        case _:
            assert_never(file)
