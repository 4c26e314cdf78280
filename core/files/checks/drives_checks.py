"""Check that what a file drives can express its plan, and that it drives everything once."""

import re
from collections.abc import Iterator, Sequence

from core.files.kinds.rollout_file import RolloutFile
from core.files.syntax.problems import FieldPath, FileProblem
from core.rollout.plans.driven_systems import DRIVEN_SYSTEMS
from core.rollout.plans.plan import DrivenFlag, StageKind

_ROUNDING = 1e-6


def check(file: RolloutFile) -> Iterator[FileProblem]:
    """With a flag system: no cohort, no equal-size control, no percentages that it lacks, and nobody goes back
    alone. With labels, too: nobody is held back, and no conversations finish. `reverts` belongs to code."""
    yield from _check_reverts(file)
    if file.drives is None:
        return
    driven = tuple(entry.to_driven_flag() for entry in file.driven_entries)
    yield from _check_entries(file, driven)
    dividing = [one for one in driven if not one.is_label]
    yield from _check_nobody_apart(file, divides=bool(dividing))
    if dividing:
        yield from _check_percentages(file, dividing)


def check_shared(files: Sequence[RolloutFile]) -> Iterator[FileProblem]:
    """A flag or label has one setting, so two AI features cannot follow it at once."""
    driving: dict[tuple[str, ...], RolloutFile] = {}
    for file in files:
        for number, entry in enumerate(file.driven_entries):
            driven = entry.to_driven_flag()
            first = driving.setdefault(driven.place, file)
            if first.surface != file.surface:
                message = (
                    f"{driven.title} is driven by {first.rollout} for {first.surface}, too: it has one setting, so the "
                    "two cannot be under way at once, and the later one begins it anew. Give each AI feature its own"
                )
                path = (*entry_path(file, number), driven.system)
                yield file.source.problem_at(path, message, at_key=True, severity="warning")


def entry_path(file: RolloutFile, number: int) -> FieldPath:
    """Where the entry with this number stands in the file."""
    return ("drives", number) if isinstance(file.drives, tuple) else ("drives",)


def _check_entries(file: RolloutFile, driven: Sequence[DrivenFlag]) -> Iterator[FileProblem]:
    """Each is driven once, and a label has somewhere to go."""
    for number, one in enumerate(driven):
        path = (*entry_path(file, number), one.system)
        earlier = next((n for n in range(number) if driven[n].title == one.title), None)
        if earlier is not None:
            message = f"{one.title} is driven already: leave one of the two out"
            also = (*entry_path(file, earlier), one.system)
            yield file.source.problem_at(path, message, at_key=True, also=also)
        system = DRIVEN_SYSTEMS[one.system]
        if system.reserved and re.fullmatch(system.reserved, one.strategy, re.IGNORECASE):
            written = next(field.written for field in system.fields if field.held == "strategy")
            message = f"{system.title} keeps the name {one.strategy} for itself: name one that stays where it is put"
            yield file.source.problem_at((*path, written), message)
        if one.new is not None and one.new == one.old:
            written = next(field.written for field in system.fields if field.held == "new")
            message = "the new version and the old one are the same, so nothing would move"
            yield file.source.problem_at((*path, written), message)


def _check_percentages(file: RolloutFile, dividing: Sequence[DrivenFlag]) -> Iterator[FileProblem]:
    for number, entry in enumerate(file.stage_entries):
        own = file.stages is not None
        path = ("stages", number, entry.kind.value) if own else ("template",)
        if entry.kind is StageKind.COHORT:
            message = (
                "a cohort cannot be driven: the flag system splits by its own percentage and has no `where`. "
                "Remove the stage, or remove `drives`"
            )
            yield file.source.problem_at(path, message, at_key=own)
            continue
        for system in {one.system: None for one in dividing}:
            known = DRIVEN_SYSTEMS[system]
            if broken := [stage.percent for stage in entry.to_stages() if not _is_multiple(stage.percent, known.step)]:
                takes = "whole percentages" if known.step == 1 else f"steps of {known.step:g} %"
                message = f"{known.title} takes {takes} only, not {broken[0]:g}%"
                yield file.source.problem_at(path, message, at_key=own)
    if file.assignment.control == "matched":
        message = (
            "an equal-size control cannot be driven: the flag system knows only who has the new version and "
            "who does not. Write `control: concurrent`"
        )
        yield file.source.problem_at(("assignment", "control"), message)


def _is_multiple(percent: float, step: float) -> bool:
    return abs(percent / step - round(percent / step)) < _ROUNDING


def _check_nobody_apart(file: RolloutFile, *, divides: bool) -> Iterator[FileProblem]:
    """`divides`: a flag system decides who gets what, and not only a label follows at the end."""
    if file.holdout is not None:
        message = "a driven flag is set to 100% at the end, so nobody would be held back: leave out holdout, or drives"
        yield file.source.problem_at(("holdout",), message, at_key=True)
    if file.assignment.strata and divides:
        message = (
            "a stratum cannot be rolled back alone where another flag system assigns the versions: it has no `where`. "
            "Remove this, or remove `drives`"
        )
        yield file.source.problem_at(("assignment", "strata"), message, at_key=True)
    if file.assignment.conversations == "finish":
        message = (
            "conversations cannot finish on the version they began with: the flag system assigns it anew at every "
            "turn. Write `conversations: next_turn`, or remove `drives`"
        )
        yield file.source.problem_at(("assignment", "conversations"), message)


def _check_reverts(file: RolloutFile) -> Iterator[FileProblem]:
    """Code needs a way back of its own, and a way back needs code."""
    changes_code = "code" in file.change.to.model_fields_set
    if changes_code and file.reverts is None:
        message = "a rollback switches the flag off and reverts no code: add `reverts`, or people revert it by hand"
        yield file.source.problem_at(("change", "to", "code"), message, severity="warning")
    if file.reverts is not None and not changes_code:
        message = "there is no code to revert: write `code: <commit or build>` under `change.to`, or remove this"
        yield file.source.problem_at(("reverts",), message, at_key=True)
