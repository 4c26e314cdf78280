"""Check that the driven flag system can express the percentages of a file."""

from collections.abc import Iterator

from core.files.kinds.rollout_file import RolloutFile
from core.files.syntax.problems import FileProblem
from core.rollout.plans.plan import StageKind


def check(file: RolloutFile) -> Iterator[FileProblem]:
    """With `drives`: no cohort, no equal-size control, no fractional percentages, no conversations that finish.
    `reverts` belongs to code."""
    yield from _check_reverts(file)
    if file.drives is None:
        return
    for number, entry in enumerate(file.stage_entries):
        own = file.stages is not None
        path = ("stages", number, entry.kind.value) if own else ("template",)
        if entry.kind is StageKind.COHORT:
            message = (
                "a cohort cannot be driven: the flag system splits by its own percentage and has no `where`. "
                "Remove the stage, or remove `drives`"
            )
            yield file.source.problem_at(path, message, at_key=own)
        elif broken := [stage.percent for stage in entry.to_stages() if stage.percent % 1]:
            message = f"Unleash takes whole percentages only, not {broken[0]:g}%"
            yield file.source.problem_at(path, message, at_key=own)
    if file.assignment.control == "matched":
        message = (
            "an equal-size control cannot be driven: the flag system knows only who has the new version and "
            "who does not. Write `control: concurrent`"
        )
        yield file.source.problem_at(("assignment", "control"), message)
    if file.assignment.strata:
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
