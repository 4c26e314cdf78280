"""Commands on the audit log: verify, export, import, and erase what a person wrote."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli import session, text_files
from bot.rendering import wording

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from core.rollout.state.model import Rollout
    from core.service.replay import ReplayReport

audit = typer.Typer(help="The audit log.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.add_typer(audit, name="audit")


@audit.command()
def verify(
    first: Annotated[int | None, typer.Option("--from", min=1, help="First position.")] = None,
    last: Annotated[int | None, typer.Option("--to", min=1, help="Last position.")] = None,
    deep: Annotated[bool, typer.Option(help="Recompute every recorded verdict from its looks.")] = False,
    anchors: Annotated[bool, typer.Option("--anchors", help="Compare with the heads posted in Slack.")] = False,
    anchors_file: Annotated[
        Path | None, typer.Option(help="Compare with the heads in a file: one position and its hash per line.")
    ] = None,
    channel: Annotated[list[str] | None, typer.Option(help="Another channel to look for heads in; repeatable.")] = None,
) -> None:
    """Check every position, version and hash, the triggers, and that the read models follow from the log."""
    from bot.cli.audit import anchors as anchor_checks
    from core.store.audit import verify as verifying

    if first is not None and last is not None and first > last:
        raise typer.BadParameter(f"{first} is after --to {last}", param_hint="'--from'")
    with session.open_log_for_audit() as database, database.reading() as connection:
        shown = anchor_checks.load_anchors(connection, in_slack=anchors, file=anchors_file, channels=channel or ())
        report = verifying.verify(connection, first=first, last=last)
        replayed = _replay_verdicts(connection) if deep and not report.problems else None
        lacking = _find_without_looks(connection) if replayed is not None else None
        compared = anchor_checks.compare_anchors(connection, shown) if shown is not None else None
    for problem in report.problems:
        where = f"position {problem.position}: " if problem.position is not None else ""
        print(f"{where}{problem.what}", file=sys.stderr)
    confirmed = compared is None or anchor_checks.print_comparison(compared, session.current_time())
    position, newest = report.head
    if report.problems:
        print(
            f"{wording.pluralize(len(report.problems), 'problem')} in {wording.pluralize(report.checked, 'event')}.",
            file=sys.stderr,
        )
        raise SystemExit(1)
    print(f"Log intact: {wording.pluralize(report.checked, 'event')} checked, up to #{position} ({newest.hex()[:16]}).")
    if replayed is not None:
        _print_replay(replayed)
    if lacking is not None:
        confirmed &= _print_lacking_looks(*lacking)
    if not confirmed:
        raise SystemExit(1)


def _replay_verdicts(connection: "Connection") -> "ReplayReport":
    """Replay all rollouts, with a progress bar on a terminal."""
    from rich.progress import Progress

    from core.service import replay
    from core.store.observations import looks

    counts = looks.count_by_rollout(connection)
    with Progress(transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("Recomputing every verdict", total=sum(counts.values()))
        return replay.verify(connection, tuple(counts), on_look=lambda: progress.advance(bar))


def _find_without_looks(connection: "Connection") -> "tuple[list[Rollout], list[Rollout]]":
    """Rollouts whose looks are gone: those that ended long enough ago for that, and the others."""
    from bot.setting_values import MIN_KEEP
    from core.service import replay
    from core.store.world import ended_rollouts

    folded = (ended_rollouts.fold_rollout(connection, name) for name in replay.find_rollouts_without_looks(connection))
    found = [rollout for rollout in folded if rollout is not None]
    now = session.current_time()
    old = [r for r in found if r.ended_at is not None and now - r.ended_at >= MIN_KEEP]
    return old, [r for r in found if r not in old]


def _print_lacking_looks(old: "list[Rollout]", others: "list[Rollout]") -> bool:
    """Print which looks are gone; whether none is missing that should be there."""
    if old:
        which = old[0].id if len(old) == 1 else f"{old[0].id} to {old[-1].id}"
        print(
            f"The looks of {wording.pluralize(len(old), 'rollout')} that ended ({which}) are gone, as after "
            "ROLLOUT_KEEP_DAYS: their verdicts are in the log and cannot be computed again, as all others were."
        )
    for rollout in others:
        print(f"{rollout.id}: its looks are gone, but nothing deletes them this early.", file=sys.stderr)
    return not others


def _describe_mismatches(count: int) -> str:
    return (
        "1 verdict does not follow from its looks."
        if count == 1
        else f"{count} verdicts do not follow from their looks."
    )


def _print_replay(report: "ReplayReport") -> None:
    """Print the result of the replay; exit with status 1 if a verdict does not follow."""
    for one in report.mismatches:
        where = f"position {one.position}, " if one.position else ""
        look = f"look {one.look}: " if one.look else ""
        print(f"{where}{one.rollout}, {look}{one.what}", file=sys.stderr)
    for name in report.unchecked:
        print(f"{name} was judged by another engine: its verdicts cannot be recomputed here.", file=sys.stderr)
    if report.mismatches:
        print(_describe_mismatches(len(report.mismatches)), file=sys.stderr)
        raise SystemExit(1)
    print(
        f"Verdicts follow from their looks: {report.looks} looks judged again, "
        f"{report.verdicts} recorded verdicts the same."
    )


@audit.command()
def why(
    number: Annotated[str, typer.Argument(help="A number of a digest, such as 2026-W48.lead_time, or a week.")],
) -> None:
    """Show the events of the log behind a number of the weekly digest, or all numbers of a week."""
    from bot.rendering.answers.evidence import number_explained
    from core.digests.week import parse_week
    from core.report_sources import digest_sources

    with session.open_service() as service:
        written, _, key = number.partition(".")
        now, zone = session.current_time(), service.load_world().policy.timezone
        try:
            digest = digest_sources.load_digest(service, parse_week(written, now, zone), now)
            found = digest.find(key) if key else None
        except ValueError as error:
            print(error, file=sys.stderr)
            raise SystemExit(1) from None
        except KeyError:
            known = ", ".join(one.key for one in digest.numbers)
            print(f'There is no number "{key}". The numbers: {known}.', file=sys.stderr)
            raise SystemExit(1) from None
        if found is None:
            print("\n".join(number_explained.list_numbers(digest)))
            return
        histories = {event.rollout: service.load_entries(event.rollout) for event in found.events}
    print("\n".join(number_explained.explain_number(found, histories, zone)))


@audit.command()
def export(format: Annotated[str, typer.Option(help="jsonl or cloudevents.")] = "jsonl") -> None:  # noqa: A002
    """Write every event to standard output, one per line."""
    from core.store.audit import export as exporting

    if format not in ("jsonl", "cloudevents"):
        print(f'There is no format "{format}": write jsonl or cloudevents.', file=sys.stderr)
        raise SystemExit(1)
    with session.open_service() as service, service.database.reading() as connection:
        for line in exporting.export_events(connection, format=format):  # type: ignore[arg-type]
            sys.stdout.write(line if line.endswith("\n") else line + "\n")


@audit.command()
def erase(
    person: Annotated[str, typer.Argument(help="The person as the log names them: slack:T…/U…, or cli:ana.")],
) -> None:
    """Make what somebody wrote (reasons, notes, concerns, their handle) unreadable for ever; the log stays intact."""
    from core.store.maintenance import erasure

    with session.open_service() as service:
        now = session.current_time()
        gone = erasure.erase_words(
            service.database, service.world_cache, person, by=session.current_user().id, at=now, recorded_at=now
        )
    if not gone:
        print(f"Nothing in this log was written by {person}. `rollout history ID` shows who acted.", file=sys.stderr)
        raise SystemExit(1)
    print(
        f"What {person} wrote now reads (erased), in every process within a second. Messages in Slack and earlier "
        "backups still hold it: delete those too."
    )


@audit.command(name="import")
def import_log(file: Annotated[Path, typer.Argument(help="A file written by `audit export`.")]) -> None:
    """Fill an empty log from an export. A truncated or altered file is refused, and nothing is written."""
    from core.store.audit import export as exporting
    from core.store.errors import ImportRefused

    with session.open_service() as service:
        try:
            count = exporting.import_events(service.database, text_files.iterate_lines(file))
        except ImportRefused as refused:
            print(refused, file=sys.stderr)
            raise SystemExit(1) from None
    print(f"{count} events imported.")
