"""`audit verify --deep`: recorded verdicts follow from their looks, and whatever is altered is found and located."""

import json
import zlib
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner

from bot.cli import session
from bot.cli.root import app
from core.judging import record
from core.service import replay
from core.store.maintenance import retention
from core.store.models import look


def deep(story):
    with story.service.database.reading() as connection:
        return replay.verify(connection, ("R-1",))


def altered(story, number, change):
    """Rewrite one look's text."""
    with story.service.database.writing_outside_log() as connection:
        text = zlib.decompress(connection.execute(select(look.c.look).where(look.c.number == number)).scalar_one())
        changed = change(json.loads(text))
        assert changed is not None
        packed = zlib.compress(json.dumps(changed, separators=(",", ":")).encode())
        connection.execute(update(look).where(look.c.number == number).values(look=packed))


@pytest.fixture
def refused(story):
    return story("refusals", 20)


def test_every_verdict_of_a_rollout_follows_to_the_byte(refused):
    report = deep(refused)
    assert report.mismatches == ()
    assert report.looks == refused.rollout.evidence.last_look
    assert report.verdicts >= 1
    assert report.unchecked == ()


def test_through_every_stage_to_the_end(story):
    report = deep(story("healthy", 40))
    assert (report.mismatches, report.unchecked) == ((), ())
    assert report.verdicts > 3


def test_one_count_that_was_altered_is_found_at_its_look_and_its_evidence(refused):
    def one_more(seen):
        seen["look"]["steps"][0]["canary_events"] += 1
        return seen

    altered(refused, 5, one_more)
    report = deep(refused)
    assert min(one.look for one in report.mismatches if one.look) == 5
    assert any(one.position and "does not follow" in one.what for one in report.mismatches)


def test_a_question_that_was_altered_is_found(refused):
    def lenient(seen):
        seen["question"]["limits"][0]["amount"] = 0.5
        return seen

    altered(refused, 1, lenient)
    assert any("is not the one that the plan" in one.what for one in deep(refused).mismatches)


def test_looks_that_are_missing_are_found(refused):
    with refused.service.database.writing_outside_log() as connection:
        connection.execute(look.delete().where(look.c.number == 3))
    assert any("missing, from 3 on" in one.what for one in deep(refused).mismatches)


def test_a_state_that_the_next_look_would_go_on_from_is_checked(refused):
    last = refused.rollout.evidence.last_look
    with refused.service.database.writing_outside_log() as connection:
        kept = json.loads(
            zlib.decompress(connection.execute(select(look.c.state).where(look.c.number == last)).scalar_one())
        )
        judgement = json.loads(kept["judgement"])
        judgement["state"]["looks"] = 1
        kept["judgement"] = json.dumps(judgement, separators=(",", ":"))
        packed = zlib.compress(json.dumps(kept).encode())
        connection.execute(update(look).where(look.c.number == last).values(state=packed))
    assert [one.look for one in deep(refused).mismatches] == [last]


@pytest.mark.parametrize(
    "change",
    [
        lambda seen: {**seen, "look": {"at": "no"}},
        lambda seen: {**seen, "question": None},
        lambda seen: {**seen, "question": {**seen["question"], "alpha": 2}},
        lambda seen: {key: value for key, value in seen.items() if key != "question"},
    ],
)
def test_a_look_that_cannot_be_read_is_named(refused, change):
    altered(refused, 1, change)
    assert [(one.look, "damaged" in one.what) for one in deep(refused).mismatches][-1] == (1, True)


def test_bytes_that_are_no_text_at_all_are_named(refused):
    with refused.service.database.writing_outside_log() as connection:
        connection.execute(update(look).where(look.c.number == 4).values(look=b"\x00\x01"))
    assert [(one.look, "damaged" in one.what) for one in deep(refused).mismatches][-1] == (4, True)


def test_another_engine_is_said_and_not_guessed(refused):
    def older(seen):
        return {**seen, "engine": record.ENGINE_VERSION - 1}

    altered(refused, 1, older)
    report = deep(refused)
    assert (report.unchecked, report.looks, report.mismatches) == (("R-1",), 0, ())


@pytest.mark.parametrize(
    ("later", "status", "said"),
    [
        (timedelta(days=100), 0, "The looks of 1 rollout that ended (R-1) are gone, as after ROLLOUT_KEEP_DAYS"),
        (timedelta(days=1), 1, "R-1: its looks are gone, but nothing deletes them this early"),
    ],
    ids=["by retention", "by somebody"],
)
def test_whose_verdicts_cannot_be_computed_again_is_said(refused, monkeypatch, later, status, said):
    ended = refused.rollout.ended_at
    with refused.service.database.writing_outside_log() as connection:
        retention.delete_old(connection, ended + timedelta(days=99), ())
    monkeypatch.setattr(session, "current_time", lambda: ended + later)
    url = refused.service.database.engine.url.render_as_string(hide_password=False)
    found = CliRunner().invoke(app, ["audit", "verify", "--deep"], env={"DATABASE_URL": url})
    assert (found.exit_code, said in found.output) == (status, True), found.output
    assert "Log intact" in found.output
