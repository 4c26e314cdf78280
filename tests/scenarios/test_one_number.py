"""Each number is one number: Slack, pages, JSON, review and digest show what the log says, rounded and named alike."""

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from slack_sdk import WebClient

from bot.delivery.messages import deliver_due
from bot.sandbox.control import Sandbox
from bot.slack.directory import SlackDirectory
from core.judging.model.verdict import Measure
from core.rollout.state import events as e
from core.rollout.state.events import EvidenceRecorded
from tests.http.conftest import Running, serve  # noqa: F401
from tests.rehearsal import Rehearsal

PLAYED = {"healthy": 40, "refusals": 20}
Cells = tuple[str, str, str]  # new, now, difference with its range


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A rollout as everybody sees it: messages by their text and blocks, and pages by their address."""

    story: Rehearsal
    messages: tuple[Any, ...]
    client: httpx.Client

    def page(self, address: str) -> str:
        answer = self.client.get(address, headers={"accept": "text/html"})
        assert answer.status_code == 200, address
        return answer.text.replace("\N{NO-BREAK SPACE}", " ")

    def recorded(self) -> Iterator[EvidenceRecorded]:
        for entry in self.story.service.load_history("R-1"):
            if isinstance(entry.event, EvidenceRecorded):
                yield entry.event

    def event(self, kind: type[Any]) -> Any:
        return next(r.event for r in self.story.service.load_history("R-1") if isinstance(r.event, kind))


class Tables(HTMLParser):
    """The rows of a page's tables, each cell as text; `<small>` remarks are left out."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._depth = 0
        self.feed(text)

    def handle_starttag(self, tag: str, _: Any) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self.rows[-1].append("")
        elif tag in {"small", "code"}:
            self._depth += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in {"small", "code"}:
            self._depth -= 1

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1] and not self._depth:
            self.rows[-1][-1] = f"{self.rows[-1][-1]}{data}".strip()


@pytest.fixture(params=PLAYED)
def shown(
    request: pytest.FixtureRequest,
    story: Callable[[str, int], Rehearsal],
    serve: Callable[..., httpx.Client],  # noqa: F811
) -> Iterator[Shown]:
    """A played rollout whose messages were all delivered to a sandbox Slack, behind the real HTTP application."""
    told = story(request.param, PLAYED[request.param])
    played_at = told.rollout.ended_at
    assert played_at is not None
    client = serve(Running(service=told.service, clock=[played_at + timedelta(minutes=1)]))
    with Sandbox.start(transport="http", rate_limits="off") as sandbox:
        slack = WebClient(token=sandbox.bot_token, base_url=sandbox.api_url, timeout=5)
        directory = SlackDirectory(slack, lambda: datetime.now(UTC))
        while deliver_due(
            told.service,
            slack,
            lambda: played_at + timedelta(minutes=1),
            mention=directory.format_mention,
            members=directory.list_members,
            channel_pause=timedelta(0),
        ):
            pass
        messages = tuple(sandbox.list_messages("#ai-rollouts"))
        replies = tuple(reply for message in messages for reply in sandbox.list_replies(message))
        shown_messages = tuple({one.ts: one for one in (*messages, *replies)}.values())
        yield Shown(story=told, messages=tuple((m, sandbox.render_text(m)) for m in shown_messages), client=client)


def written_value(number: float | None, unit: str) -> str:
    """A value as this test would write it, from the log's number and unit alone."""
    if number is None:
        return "–"
    if unit.startswith("%"):
        return f"{number * 100:.{2 if abs(number) < 0.01 else 1}f} %"
    if unit == "US$":
        return f"${number:.4f}"
    if unit == "ms":
        return f"{number / 1000:.2f} s" if number >= 1000 else f"{number:.0f} ms"
    if unit.startswith("per 1,000"):
        return f"{number * 1000:.2f} per 1,000"
    return f"{number:,.0f}" if number >= 100 else f"{number:.2f}" if number >= 1 or not number else f"{number:.3f}"


def written_sign(share: float) -> str:
    """A hundredfold with its sign; what rounds to nothing has none."""
    shown = f"{share * 100:+.1f}"
    return "0.0" if shown in ("+0.0", "-0.0") else shown


def written_difference(measure: Measure) -> str:
    """The difference and its range, likewise."""
    if measure.difference is None:
        return "–"
    unit = "%" if measure.relative else "pp"
    moved = f"{written_sign(measure.difference)} {unit}"
    if measure.low is None or measure.high is None:
        return moved
    if measure.cleared and measure.amount is not None and not measure.absolute:  # the side that is shown
        if measure.harm == "more" and measure.difference < measure.amount < measure.high:
            return f"{moved} (below {written_sign(measure.amount)})"
        if measure.harm == "less" and measure.low < -measure.amount < measure.difference:
            return f"{moved} (above {written_sign(-measure.amount)})"
    return f"{moved} ({written_sign(measure.low)} … {written_sign(measure.high)})"


def written(measure: Measure) -> Cells:
    return (
        written_value(measure.canary, measure.unit),
        written_value(measure.control, measure.unit),
        written_difference(measure),
    )


def by_title(measures: tuple[Measure, ...]) -> dict[str, set[Cells]]:
    found: dict[str, set[Cells]] = {}
    for measure in measures:
        if measure.relative or measure.unit.startswith("%") or measure.difference is None:
            found.setdefault(measure.title, set()).add(written(measure))
    return found


def rows_of_message(message: Any) -> list[list[str]]:
    return [
        [cell["text"] for cell in row]
        for block in message.blocks
        if block["type"] == "table"
        for row in block["rows"][1:]
    ]


def test_summaries_pages_and_json_show_the_numbers_of_their_evidence(shown: Shown) -> None:
    compared = 0
    for seen in shown.recorded():
        expected = by_title(seen.measures)
        page = shown.page(f"/e/R-1.{seen.number}")
        rows = [row for row in Tables(page).rows if len(row) == 7 and row[0] in expected]
        for what, verdict, new, now, moved, _, _ in rows:
            assert (new, now, moved) in expected[what], (seen.number, what)
            words = {m.word for m in seen.measures if m.title == what}
            assert any(verdict.startswith((word, "As expected")) for word in words), (what, verdict)
        assert {row[0] for row in rows} == set(expected)
        counts = (
            f"{seen.canary_requests:,} requests from {seen.canary_units:,} people",
            f"{seen.control_requests:,} requests from {seen.control_units:,} people",
        )
        assert all(text in page for text in counts)
        for message, said in shown.messages:
            if f"evidence #{seen.number} " not in said:
                continue
            for what, verdict, new, now, moved in rows_of_message(message):
                if what in expected:
                    assert (new, now, moved) in expected[what], (seen.number, what)
                    compared += 1
                assert re.match(r"[A-Z]", verdict), "the verdict stands second"
            assert f"{seen.canary_requests:,} requests on the new version" in said
            assert f"{seen.control_requests:,} requests on the old one" in said
            assert f"{seen.canary_units:,} and {seen.control_units:,} people" in said
    assert compared or shown.story.rollout.rollback is not None


def test_the_page_and_the_json_of_a_rollout_show_its_last_evidence(shown: Shown) -> None:
    *_, last = shown.recorded()
    expected = by_title(last.measures)
    rows = [row for row in Tables(shown.page("/r/R-1")).rows if len(row) == 7 and row[0] in expected]
    assert {row[0] for row in rows} == set(expected)
    assert all(tuple(row[2:5]) in expected[row[0]] for row in rows)
    sent = shown.client.get("/api/v1/rollouts/R-1/evidence").json()
    assert sent["arms"] == {
        "canary": {"units": last.canary_units, "requests": last.canary_requests},
        "control": {"units": last.control_units, "requests": last.control_requests},
    }
    numbers = [(m.metric, m.canary, m.control, m.difference, m.low, m.high, m.word) for m in last.measures]
    assert [
        (m["metric"], m["canary"], m["control"], m["estimate"], m["bound"]["low"], m["bound"]["high"], m["verdict"])
        for m in sent["metrics"]
    ] == numbers


def test_a_review_shows_the_last_numbers_that_were_compared(shown: Shown) -> None:
    compared = [by_title(seen.measures) for seen in shown.recorded()]
    rows = [row for row in Tables(shown.page("/r/R-1/review")).rows if len(row) == 6][1:]
    assert rows
    for what, _, new, before, moved, _ in rows:
        assert any((new, before, moved) in one.get(what, set()) for one in compared), what
    (said,) = [text for _, text in shown.messages if "four questions" in text]
    told = r"^([A-Z][^:\n]+): (\S.*?) new vs ([^;\n]+?) old(; no difference shown)? \(([^\n]+)\)$"
    lines = re.findall(told, said, re.MULTILINE)
    assert lines
    for what, new, before, by_chance, moved in lines:
        same = [row[2] for one in compared for row in one.get(what, set()) if row[:2] == (new, before)]
        span = f"({moved.removesuffix(' %').removesuffix(' pp')})"
        assert any(known.endswith(span) if by_chance else known == moved for known in same), what


@pytest.mark.parametrize("shown", ["refusals"], indirect=True)
def test_a_rollback_is_the_same_rollback_in_alert_investigation_review_and_digest(shown: Shown) -> None:
    back: e.RolledBack = shown.event(e.RolledBack)
    finding = back.findings[0]
    assert finding.canary is not None
    fired = f"{finding.difference * 100:+.1f} pp ({finding.low * 100:+.1f} … {finding.high * 100:+.1f})"
    levels = f"{written_value(finding.canary, '%')} new vs {written_value(finding.control, '%')} old"
    people = f"about {back.exposed_units:,} people"
    alert = next(
        text
        for _, text in shown.messages
        if text.startswith("*Rolled back:* R-1 fix-first. Everyone is being switched back to v42;")
    )
    card = shown.messages[0][1] if "needs review" in shown.messages[0][1].lower() else shown.messages[1][1]
    assert f"{levels}, {fired}" in alert
    assert f"{back.exposed_requests:,} requests, {people}" in alert
    assert fired in card
    assert fired in html.unescape(shown.page("/r/R-1/investigation"))
    assert fired in html.unescape(shown.page("/r/R-1/review"))
    week = shown.page("/digest/this")
    assert people in html.unescape(week)
    spans = set(re.findall(r"automatically after ([^,<]+),", week))
    began = shown.story.rollout.spans[-1].since if shown.story.rollout.spans else None
    assert len(spans) == 1
    assert began is not None
