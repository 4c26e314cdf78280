"""Check that the driven flag system can express the percentages of a file."""

from collections.abc import Iterator

from core.files.rollout_file import RolloutFile
from core.files.syntax.problems import FileProblem
from core.rollout.plan import StageKind


def check(file: RolloutFile) -> Iterator[FileProblem]:
    """With `drives`: no cohort, no equal-size control and no fractional percentages."""
    if file.drives is None:
        return
    for number, entry in enumerate(file.stage_entries):
        own = file.stages is not None
        path = ("stages", number, entry.kind.value) if own else ("template",)
        if entry.kind is StageKind.COHORT:
            message = (
                "a cohort cannot be driven: the flag system divides by its own percentage and knows no `where`. "
                "Leave the stage out, or leave out `drives`"
            )
            yield file.source.problem_at(path, message, at_key=own)
        elif broken := [stage.percent for stage in entry.to_stages() if stage.percent % 1]:
            message = f"Unleash knows whole percentages only, and {broken[0]:g}% is none"
            yield file.source.problem_at(path, message, at_key=own)
    if file.assignment.control == "matched":
        message = (
            "an equal-size control cannot be driven: the flag system knows who is on the new version and who is not. "
            "Write `control: concurrent`"
        )
        yield file.source.problem_at(("assignment", "control"), message)
