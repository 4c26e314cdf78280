"""The strata of a rollout in one table, each compared within itself."""

from collections.abc import Sequence

from bot.rendering import wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.rendering.numbers import measure_rows
from core.reviews.strata_verdicts import StratumState, StratumVerdict
from core.rollout.state.model import Rollout

HEADER = ("Who", "Where it stands", "Verdict", "Requests new / old", "Most urgent")
MAX_BUTTONS = 3


def render(rollout: Rollout, rows: Sequence[StratumVerdict]) -> Message:
    """The table, and a button for each stratum that can go back alone."""
    if len(rows) == 1:
        return blocks.build_message(
            f"Strata: {wording.format_subject(rollout)} has none; everyone is compared together.",
            blocks.context("A cohort stage is one, and so is what its file lists under `assignment.strata`."),
        )
    able = [row.name for row in rows if row.name and row.state in {StratumState.COMPARED, StratumState.SERVED}]
    offered = [
        buttons.run_command(f"Roll back {name} alone", f'rollback {rollout.id} --stratum "{name}"', number)
        for number, name in enumerate(able[:MAX_BUTTONS] if rollout.is_under_way else ())
    ]
    return blocks.build_message(
        f"Strata: {wording.format_subject(rollout)}, each compared within itself.",
        blocks.table(HEADER, list_rows(rollout, rows)),
        blocks.actions(*offered),
        blocks.context(f"{rollout.id} · people of one stratum say little about another"),
    )


def list_rows(rollout: Rollout, rows: Sequence[StratumVerdict]) -> list[tuple[str, ...]]:
    """The cells of the table under `HEADER`, as plain text; empty if everyone is compared together."""
    return [_build_row(rollout, row) for row in rows] if len(rows) > 1 else []


def _build_row(rollout: Rollout, row: StratumVerdict) -> tuple[str, ...]:
    return (
        row.name or "everyone else",
        _describe_state(rollout, row),
        wording.verdict_word(row.verdict) if row.verdict is not None else "not compared by itself",
        f"{wording.format_count(row.canary_requests)} / {wording.format_count(row.control_requests)}"
        if row.verdict is not None
        else "",
        _describe_most_urgent(row),
    )


def _describe_state(rollout: Rollout, row: StratumVerdict) -> str:
    new, old, share = rollout.plan.to_version, rollout.plan.from_version, wording.format_percent(row.percent)
    match row.state:
        case StratumState.NOT_REACHED:
            return f"{old}; not reached yet" if rollout.is_under_way else old
        case StratumState.COMPARED:
            return f"{share} on {new}, being compared"
        case StratumState.SERVED:
            return f"{share} on {new}"
        case StratumState.BACK:
            return f"back on {old}"


def _describe_most_urgent(row: StratumVerdict) -> str:
    known = [measure for measure in row.measures if measure.word != "No data"]
    if not known:
        return ""
    worst = measure_rows.sort_by_urgency(tuple(known))[0]
    title = measure_rows.metric_title(worst.metric, worst.title)
    return f"{title}: {worst.word.lower()}, {measure_rows.format_difference_with_range(worst)}"
