"""Who was served the new version of a rollout, a page at a time."""

from collections.abc import Sequence
from datetime import timedelta

from bot.rendering import wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from core.rollout.state.model import Rollout
from core.store.units.served_units import ServedUnit

HEADER = ("Customer", "First", "Last", "Requests")
CSV_HEADER = ("customer", "version", "first_at", "last_at", "requests")


def render(
    rollout: Rollout, shown: Sequence[ServedUnit], *, total: int, first: int, keeps: timedelta | None, zone: str
) -> Message:
    """The customers from number `first` on; without any on record, how to find out all the same."""
    if not total:
        return _render_none(rollout, keeps)
    new, subject = wording.escape(rollout.plan.to_version, 40), wording.format_subject(rollout)
    last = first + len(shown) - 1
    which = f"{wording.format_count(first)} to {wording.format_count(last)}" if shown else "none on this page"
    rows = [
        (
            one.unit,
            wording.format_plain_time(one.first_at, zone),
            wording.format_plain_time(one.last_at, zone),
            wording.format_count(one.requests),
        )
        for one in shown
    ]
    page = (first - 1) // max(1, len(shown)) + 1 if last < total else 0
    kept = f"Ids are kept for {wording.format_duration(keeps)} after a customer's last request. " if keeps else ""
    return blocks.build_message(
        f"{wording.pluralize(total, 'customer')} got {new} in {subject}: {which}, in the order of their first request.",
        blocks.table(HEADER, rows, numeric=frozenset({3})) if rows else None,
        blocks.actions(
            buttons.run_command("Next page", f"customers {rollout.id} {page + 1}", 0) if page else None,
        ),
        blocks.context(
            f"{kept}Only customers whose requests were reported are listed. "
            f"All of them as CSV: `rollout customers {rollout.id} --csv`"
        ),
    )


def _render_none(rollout: Rollout, keeps: timedelta | None) -> Message:
    subject = wording.format_subject(rollout)
    if keeps is not None:
        return blocks.build_message(
            f"No customers on record: nobody was reported to have got the new version of {subject}, or their ids were "
            f"deleted {wording.format_duration(keeps)} after their last request."
        )
    return blocks.build_message(
        f"No list: Rampart keeps no ids of customers here, so it cannot list who got the new version of {subject}.",
        blocks.lines_section(
            [
                "• One customer: `/rollout whois &lt;customer id&gt;` always has the answer.",
                f"• A list of your own: `rollout customers {rollout.id} --check FILE` says who of them got it.",
                '• From now on: add `customers: {keep: 30d, channels: ["#support"]}` to the policy.',
            ]
        ),
    )


def customer_to_json(one: ServedUnit) -> dict[str, str | int]:
    """A customer as JSON; times are UTC."""
    return {
        "customer": one.unit,
        "first_at": one.first_at.isoformat(),
        "last_at": one.last_at.isoformat(),
        "requests": one.requests,
    }


def build_csv_row(rollout: Rollout, one: ServedUnit) -> tuple[str, ...]:
    """A customer as a row of the export, under `CSV_HEADER`; times are UTC."""
    return (
        one.unit,
        rollout.plan.to_version,
        one.first_at.isoformat(timespec="seconds"),
        one.last_at.isoformat(timespec="seconds"),
        str(one.requests),
    )
