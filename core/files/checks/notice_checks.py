"""Check that people are told what they need, in time, and that the start is possible."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from core.files.build_plan import notices, start_problem
from core.files.rollout_file import RolloutFile
from core.files.syntax.fields import NoticeTerms
from core.files.syntax.marks import Source
from core.files.syntax.problems import Path, Problem
from core.files.syntax.times import ahead, spoken
from core.rollout.plan import Risk
from core.rollout.policy import Policy
from core.rollout.surface import Surface

VAGUE = frozenset(
    """
    a an and are as assistant answers answer be better bits bug bugs bugfix bugfixes change changed changes cleanup
    different enhanced enhancement enhancements experience few fix fixed fixes for general good improve improved
    improvement improvements improves in is issues it its maintenance many minor misc miscellaneous model more na
    new no none now of optimisation optimisations optimization optimizations other our performance polish prompt
    quality response responses same several small smarter some stability stuff tbd the things this to todo tweak
    tweaks update updated updates various version we with works
    """.split()  # noqa: SIM905
)


def check(file: RolloutFile, surface: Surface | None, policy: Policy, now: datetime | None) -> Iterator[Problem]:
    """Wording, channels, lead times and freezes."""
    yield from _vague(file)
    if file.notify is not None:
        yield from twice(file.source, file.notify)
    yield from _untold(file, surface)
    yield from _start(file, surface, policy, now)


def twice(source: Source, written: Sequence[NoticeTerms]) -> Iterator[Problem]:
    """Channels that are listed more than once for the same audience."""
    seen: set[str] = set()
    for number, notice in enumerate(written):
        key = notice.plan().key
        if key in seen:
            message = f"{notice.channel} is told as {notice.audience} already"
            yield source.problem(("notify", number, "channel"), message)
        seen.add(key)


def _vague(file: RolloutFile) -> Iterator[Problem]:
    for number, behaviour in enumerate(file.behaviour_changes):
        words = re.findall(r"[^\W_]+", behaviour.text.lower())
        if set(words) <= VAGUE:
            yield file.source.problem(
                ("behaviour_changes", number, "text"),
                f"‘{behaviour.text}’ does not tell support what to expect. Name one thing a customer will notice.",
            )


def _untold(file: RolloutFile, surface: Surface | None) -> Iterator[Problem]:
    if file.notify is None and surface is None:
        return
    told = notices(file, surface)
    known = told if surface is None else (*told, *surface.notices)
    path: Path = ("notify",) if file.notify is not None else ("rollout",)
    if all(notice.audience != "engineering" for notice in known):
        message = 'no channel is told "as: engineering", so the rollout would have no card'
        yield file.source.problem(path, message, at_key=True)
    meaningful = file.noticeable or file.careful is not Risk.LOW
    if meaningful and all(notice.audience == "engineering" for notice in told):
        why = "people will notice it" if file.noticeable else f"its risk is {file.careful}"
        message = f"a meaningful change needs a notice ({why}): name a channel as: support or as: marketing"
        yield file.source.problem(path, message, at_key=True)


def _start(file: RolloutFile, surface: Surface | None, policy: Policy, now: datetime | None) -> Iterator[Problem]:
    if file.start is None:
        return
    if problem := start_problem(file, policy):
        yield file.source.problem(("start",), problem)
        return
    start = file.start.at(policy.timezone)
    if frozen := policy.frozen(start):
        name, until = frozen
        message = f"{spoken(policy.local(start))} lies in the freeze {name}, which lasts until {spoken(until)}"
        yield file.source.problem(("start",), message)
    if now is None:
        return
    leads = [(notice.before, notice.channel) for notice in notices(file, surface) if notice.before is not None]
    longest, channel = max(leads, default=(timedelta(0), ""))
    if leads and now + longest > start:
        yield file.source.problem(
            ("start",),
            f"{channel} needs {ahead(longest)} notice, and the start is sooner. "
            f"Earliest start: {spoken(policy.local(now + longest))}",
        )
    elif start < now:
        message = "this start is past: the rollout begins as soon as it is approved"
        yield file.source.problem(("start",), message, severity="warning")
