"""What people ask, what they are served, and what their applications report of it: late, twice, in part, or never."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.random import Generator

from bench.field.harms import Harm
from bench.field.people import LANGUAGES, People
from core.flags.evaluation import choose_answer
from core.flags.snapshot import FlagAnswer, SurfaceFlags

Echo: TypeAlias = Literal["exposure", "variant", "variant and time"]
DAY = 86_400.0
SESSION = 3.0  # requests, on average
PAUSE = 40.0  # seconds between two requests of a session, on average
JUDGED = 0.25
ERROR_TEXTS = ("Timeout", "upstream 503 for request {id}", "order {number} not found", "RateLimited")


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """How one application behaves. Times in seconds; shares of requests from 0 to 1."""

    echo: Echo
    model_time: float  # median
    batch: float  # how long reports wait for each other
    lost: float  # reports that never come
    repeated: float  # reports that are sent again under the same id
    unpriced: float  # requests whose cost is not known
    drift: float  # by how much quality changes for everybody, after a deploy in between
    deploy_at: float  # as a part of the trial's length
    incidents: tuple[tuple[float, float], ...]  # (begin, end) of the provider's bad minutes, for both versions


@dataclass(slots=True)
class Requests:
    """The stream of one trial: sessions of people by the hour, answers from a cache, reports when they arrive."""

    people: People
    application: Application
    harm: Harm | None
    chance: Generator
    begins: datetime
    length: timedelta
    a_day: float
    served: int = 0
    exposed: set[int] = field(default_factory=set)
    reports: list[tuple[datetime, dict[str, Any]]] = field(default_factory=list)
    _cumulated: np.ndarray[Any, np.dtype[np.float64]] = field(init=False)
    _cached: dict[int, tuple[datetime, FlagAnswer]] = field(default_factory=dict)
    _hit: Any = None

    def __post_init__(self) -> None:
        self._cumulated = np.cumsum(self.people.activity)
        if self.harm is not None and self.harm.whom is not None:
            self._hit = self.harm.whom(self.people)

    def serve(self, flags: SurfaceFlags, since: datetime, until: datetime, percent: float) -> None:
        """Everybody who asks in a span in which the rollout stands still."""
        seconds = (until - since).total_seconds()
        hour = (since + (until - since) / 2).hour
        weekend = 0.5 if since.weekday() >= 5 else 1.0
        busy = self.a_day / DAY * seconds * weekend * (1 + 0.7 * np.sin((hour - 9) / 24 * 2 * np.pi))
        sessions = self.chance.poisson(busy / SESSION)
        who = np.searchsorted(self._cumulated, self.chance.random(sessions) * self._cumulated[-1])
        begins = self.chance.random(sessions) * seconds
        lengths = self.chance.geometric(1 / SESSION, sessions)
        for person, begin, length in zip(who.tolist(), begins.tolist(), lengths.tolist(), strict=True):
            at = begin
            for _ in range(length):
                if at >= seconds:
                    break  # the session ends with the span: a stage may begin there
                self._ask(flags, min(person, len(self.people.names) - 1), since + timedelta(seconds=at), percent)
                at += self.chance.exponential(PAUSE)

    def arrived(self, until: datetime) -> Iterator[tuple[datetime, dict[str, Any]]]:
        """The reports that have come in by now, in their order."""
        self.reports.sort(key=lambda report: report[0])
        count = next((i for i, report in enumerate(self.reports) if report[0] > until), len(self.reports))
        here, self.reports = self.reports[:count], self.reports[count:]
        yield from here

    def _ask(self, flags: SurfaceFlags, person: int, at: datetime, percent: float) -> None:
        people, name = self.people, self.people.names[person]
        expires, answer = self._cached.get(person, (at, None))
        if answer is None or expires <= at:
            answer = choose_answer(flags, name, self._context(person, at))
            if people.cache[person]:
                self._cached[person] = (at + timedelta(seconds=float(people.cache[person])), answer)
        self.served += 1
        new = answer.version.name == "v43"
        if new:
            self.exposed.add(person)
        took = self.application.model_time * self.chance.lognormal(0.0, 0.5) * people.slow[person]
        arrives = at + timedelta(seconds=took + self.application.batch * self.chance.random())
        if self.chance.random() < self.application.lost:
            return
        report = self._report(answer, person, at, took, self._at_work(person, at, percent) if new else None)
        self.reports.append((arrives, report))
        if self.chance.random() < self.application.repeated:
            self.reports.append((arrives + timedelta(seconds=self.chance.exponential(20)), report))

    def _context(self, person: int, at: datetime) -> dict[str, Any]:
        people, opted = self.people, bool(self.people.opted_in[person])
        if self._part(at) > people.changes[person]:
            opted = not opted
        return {
            "targetingKey": people.names[person],
            "opt_in": opted,
            "internal": bool(people.internal[person]),
            "plan": "paid" if people.paid[person] else "free",
        }

    def _part(self, at: datetime) -> float:
        return (at - self.begins) / self.length

    def _at_work(self, person: int, at: datetime, percent: float) -> Harm | None:
        harm = self.harm
        if harm is None or self._part(at) < harm.late or percent < harm.from_percent:
            return None
        return harm if self._hit is None or self._hit[person] else None

    def _report(self, answer: FlagAnswer, person: int, at: datetime, took: float, harm: Harm | None) -> dict[str, Any]:
        people, application, chance = self.people, self.application, self.chance
        harm, part = harm or _NONE, self._part(at)
        incident = any(begin <= part < end for begin, end in application.incidents)
        drift = application.drift if part > application.deploy_at else 0.0
        text = ""
        if chance.random() < harm.new_error:
            text = "tool schema mismatch"
        elif chance.random() < people.failing[person] + harm.errors + (0.15 if incident else 0.0):
            text = str(chance.choice(ERROR_TEXTS)).format(
                id=f"req_{chance.integers(1 << 40):x}", number=chance.integers(10**6)
            )
        slow = (10.0 if chance.random() < harm.tail else 1.0) * harm.latency * (3.0 if incident else 1.0)
        metrics: dict[str, Any] = {
            "hard_error_rate": bool(text),
            "latency_ms": took * 1000 * slow,
            "cost_per_request": None
            if text or chance.random() < application.unpriced
            else 0.014 * chance.lognormal(0.0, 0.6) * people.dear[person] * harm.cost,
        }
        if not text:
            metrics["refusal_rate"] = bool(chance.random() < people.refused[person] + harm.refuses)
            metrics["suggestion_ctr"] = bool(chance.random() < people.clicks[person] + harm.clicks)
            if chance.random() < JUDGED:
                metrics["eval_pass_rate"] = bool(chance.random() < people.quality[person] + harm.passes + drift)
        if chance.random() < 0.002 + harm.complaints:
            metrics["complaint_rate"] = True
        report: dict[str, Any] = {
            "surface": "assistant",
            "unit": people.names[person],
            "id": f"{self.served}",
            "variant": answer.variant.value,
            "metrics": metrics,
            "segments": {"language": LANGUAGES[people.language[person]] if chance.random() > 0.02 else None},
        }
        if text:
            report["error_category"] = text
        if application.echo == "exposure" and answer.exposure:
            report["exposure"] = answer.exposure
        elif application.echo == "variant and time":
            report["at"] = at.isoformat()
        return report


_NONE = Harm()
