"""The history that people read: sentences as of their time, without the chatter of delivered messages."""
# ruff: noqa: E501 - a line of a message is as long as it is

import csv
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import Any

from inline_snapshot import snapshot

from bot.rendering.answers import history
from bot.rendering.charts import plain_text
from bot.rendering.documents import history_file
from core.judging.model.verdict import Continue
from core.rollout.state import events as e
from core.rollout.state.history import HistoryEntry
from core.rollout.state.model import Rollout

DANA, LEE, ENGINE = "slack:T1/U2DANA", "slack:T1/U5LEE", "system:engine"


def _entries(words: Any, *told: tuple[float, str, e.RolloutEvent]) -> list[HistoryEntry]:
    """Entries from (hours after the plan, actor, event), after the plan itself."""
    planned = e.Planned(
        rollout="R-118",
        plan=words.plan,
        fingerprint=words.plan.fingerprint(),
        from_content=words.before,
        to_content={**words.before, "prompt": "new.md"},
        by=DANA,
    )
    return [
        HistoryEntry(position=number, at=words.monday + timedelta(hours=hours), actor=actor, event=event)
        for number, (hours, actor, event) in enumerate([(0, DANA, planned), *told], start=10)
    ]


def _posted(key: str) -> e.MessagePosted:
    return e.MessagePosted(key=key, channel="C1", ts="1.0")


def _life(words: Any, story: Any) -> list[HistoryEntry]:
    seen = story.evidence(reason="summary")
    return _entries(
        words,
        (0, ENGINE, _posted("card")),
        (0, ENGINE, _posted("notice:abc:support:#support")),
        (0.01, ENGINE, _posted("line:7")),
        (0.02, ENGINE, _posted("notice:abc:marketing:#marketing")),
        (20, DANA, e.Started(fingerprint="7f3a19", by=DANA)),
        (20, ENGINE, e.StageEntered(index=0, name="eval", percent=0)),
        (21, LEE, e.StageEntered(index=2, name="canary", percent=5, skipped="copy fix")),
        (22, ENGINE, replace(seen, number=3, verdict=Continue())),
        (23, ENGINE, replace(seen, number=4, verdict=Continue())),
        (24, ENGINE, replace(seen, number=5, verdict=Continue())),
        (25, DANA, e.Paused(by=DANA, reason="odd")),
        (26, DANA, e.Resumed(by=DANA, reason="seen")),
        (26, ENGINE, e.MessageFailed(key="x", channel="#support", error="is_archived")),
    )


def _rollout(story: Any) -> Rollout:
    rollout: Rollout = story.planned().now
    return rollout


def test_each_line_is_a_sentence_and_deliveries_are_folded_away(words: Any, story: Any) -> None:
    message = history.render(_rollout(story), _life(words, story), words.zone)
    assert plain_text.render_text(message) == snapshot("""\
History: R-118 support-tone, newest first.
Tue 24 Nov 18:00 CET  Not delivered: a message to #support could not be posted (is_archived).
Tue 24 Nov 18:00 CET  Resumed by <@U2DANA>: “seen”.
Tue 24 Nov 17:00 CET  Paused by <@U2DANA>: “odd”. It stays at 5 %.
Tue 24 Nov 14:00 CET to Tue 24 Nov 16:00 CET  Checked 3 times: R-118, not fully judged, errors not known yet (evidence #5 is the last).
Tue 24 Nov 13:00 CET  Small test: R-118 now 5 %. Risk accepted: the wait and internal were skipped: “copy fix”. By <@U5LEE>.
Tue 24 Nov 12:00 CET  Checking: R-118, eval. Nobody sees it yet.
Tue 24 Nov 12:00 CET  Started by <@U2DANA>: R-118. Plan and limits are locked (7f3a19). Nobody in #support has confirmed the notice.
Mon 23 Nov 16:00 CET to Mon 23 Nov 16:01 CET  Told: #support, #marketing.
Mon 23 Nov 16:00 CET  Planned by <@U2DANA>: R-118 support-tone, prompt change, v42 -> v43. Plan b336cd; nothing changes yet.
[ Post to channel ] [ Get CSV ] [ Get JSON ]
2 delivered messages not listed · `rollout audit verify` checks the log\
""")


def test_a_sentence_says_what_was_so_then_and_not_what_is_so_now(words: Any, story: Any) -> None:
    (paused,) = [x for x in history.list_lines(_life(words, story), words.zone) if x.text.startswith("Paused")]
    assert paused.text == "Paused by <@U2DANA>: “odd”. It stays at 5 %."


def test_the_file_has_every_entry_in_the_zone_of_the_workspace(words: Any, story: Any) -> None:
    rows = list(csv.DictReader(StringIO(history_file.format_csv(_life(words, story), words.zone))))
    assert [row["position"] for row in rows] == [str(number) for number in range(10, 24)]
    assert rows[0]["time"] == "2026-11-23T16:00:00+01:00"
    assert rows[11]["what"] == "Paused by @U2DANA: “odd”. It stays at 5 %."
    assert rows[2]["type"] == "rollout.message_posted"


def test_no_cell_of_the_file_is_a_formula(words: Any) -> None:
    actor = "=cmd()"
    felt = e.FeltOff(by=actor, handle="x", text="=2+2")
    entries = _entries(words, (1, actor, felt))
    (_, row) = list(csv.reader(StringIO(history_file.format_csv(entries, words.zone))))[1:]
    assert row[2] == "'=cmd()"
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)
