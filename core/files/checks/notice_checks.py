"""Check that people are told what they need, in time, and that the start is possible."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from core import durations
from core.files.build_plan import build_notices, find_start_problem
from core.files.kinds.rollout_file import RolloutFile
from core.files.syntax.fields import NoticeTerms
from core.files.syntax.problems import FieldPath, FileProblem
from core.files.syntax.times import format_moment
from core.files.syntax.yaml_with_lines import SourceFile
from core.rollout.plans.plan import Risk
from core.rollout.plans.policy import Policy
from core.rollout.state.surface import Surface

VAGUE_WORDS = frozenset(
    """
    a an and are as assistant answers answer be better bits bug bugs bugfix bugfixes change changed changes cleanup
    different enhanced enhancement enhancements experience few fix fixed fixes for general good improve improved
    improvement improvements improves in is issues it its maintenance many minor misc miscellaneous model more na
    new no none now of optimisation optimisations optimization optimizations other our performance polish prompt
    quality response responses same several small smarter some stability stuff tbd the things this to todo tweak
    tweaks update updated updates various version we with works
    """.split()  # noqa: SIM905
)


def check(file: RolloutFile, surface: Surface | None, policy: Policy, now: datetime | None) -> Iterator[FileProblem]:
    """Wording, channels, lead times and freezes."""
    yield from _check_wording(file)
    yield from _check_what_is_noticed(file, surface)
    if file.notify is not None:
        yield from check_duplicates(file.source, file.notify)
    yield from _check_channels(file, surface)
    yield from _check_start(file, surface, policy, now)


def check_duplicates(source: SourceFile, written: Sequence[NoticeTerms]) -> Iterator[FileProblem]:
    """Channels that are listed more than once for the same audience."""
    seen: set[str] = set()
    for number, notice in enumerate(written):
        key = notice.to_notice_plan().key
        if key in seen:
            message = f"{notice.channel} is already notified as {notice.audience}"
            yield source.problem_at(("notify", number, "channel"), message)
        seen.add(key)


def _check_wording(file: RolloutFile) -> Iterator[FileProblem]:
    for number, behaviour in enumerate(file.behaviour_changes):
        words = re.findall(r"[^\W_]+", behaviour.text.lower())
        if set(words) <= VAGUE_WORDS:
            yield file.source.problem_at(
                ("behaviour_changes", number, "text"),
                f"‘{behaviour.text}’ does not tell support what to expect. Name one thing a customer will notice.",
            )


def _check_what_is_noticed(file: RolloutFile, surface: Surface | None) -> Iterator[FileProblem]:
    """Above low risk somebody says on purpose that nobody will notice anything."""
    if file.behaviour_changes or file.effective_risk is Risk.LOW or (file.notify is None and surface is None):
        return
    if any(notice.audience in {"support", "marketing"} for notice in build_notices(file, surface)):
        message = (
            "nothing says what people will notice, so support reads “Nothing we know of.”: add behaviour_changes, or, "
            "to say so on purpose, one with kind: unchanged"
        )
        yield file.source.problem_at(("rollout",), message, severity="warning", at_key=True)


def _check_channels(file: RolloutFile, surface: Surface | None) -> Iterator[FileProblem]:
    if file.notify is None and surface is None:
        return
    planned = build_notices(file, surface)
    known = planned if surface is None else (*planned, *surface.notices)
    path: FieldPath = ("notify",) if file.notify is not None else ("rollout",)
    if all(notice.audience != "engineering" for notice in known):
        message = 'no channel is notified "as: engineering", so the rollout would have no card'
        yield file.source.problem_at(path, message, at_key=True)
    meaningful = file.is_noticeable or file.effective_risk is not Risk.LOW
    if meaningful and all(notice.audience == "engineering" for notice in planned):
        why = "people will notice it" if file.is_noticeable else f"its risk is {file.effective_risk}"
        message = f"a meaningful change needs a notice ({why}): add a channel as: support or as: marketing"
        yield file.source.problem_at(path, message, at_key=True)


def _check_start(
    file: RolloutFile, surface: Surface | None, policy: Policy, now: datetime | None
) -> Iterator[FileProblem]:
    if file.start is None:
        return
    if problem := find_start_problem(file, policy):
        yield file.source.problem_at(("start",), problem)
        return
    start = file.start.to_utc(policy.timezone)
    if frozen := policy.find_freeze(start):
        name, until = frozen
        message = (
            f"{format_moment(policy.to_local_time(start))} is within the freeze {name}, which lasts until "
            f"{format_moment(until)}"
        )
        yield file.source.problem_at(("start",), message)
    if now is None:
        return
    leads = [(notice.before, notice.channel) for notice in build_notices(file, surface) if notice.before is not None]
    longest, channel = max(leads, default=(timedelta(0), ""))
    if leads and now + longest > start:
        yield file.source.problem_at(
            ("start",),
            f"{channel} needs {durations.format_exact(longest)} notice, but the start is sooner. Earliest start: "
            f"{format_moment(policy.to_local_time(now + longest))}",
        )
    elif start < now:
        message = "this start is in the past: the rollout starts as soon as it is approved"
        yield file.source.problem_at(("start",), message, severity="warning")
