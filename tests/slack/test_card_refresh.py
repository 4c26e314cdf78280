"""The card between two events: never older than a minute while something new is seen, and left alone otherwise."""

import json
import random
import re
from datetime import timedelta

import pytest

from bot.demo import traffic
from bot.http.observations.writer import ObservationBatch, ObservationWriter
from bot.jobs import looking, message_edits
from core.report_sources import look_reports
from core.rollout.serving import exposure
from tests.served import evaluate

SURFACE = "support-assistant"
TICK = timedelta(seconds=10)
WIDE = {"rises_by: 1pp": "rises_by: 10pp", "drops_by: 2pp": "drops_by: 20pp", "hold: 2m, max": "hold: 25m, max"}


class Users:
    """Who use the surface, and a worker that looks at what they report."""

    def __init__(self, office):
        self.office = office
        self.intake = ObservationWriter(
            office.service.database, lambda: exposure.build_snapshot(office.service.cached_world()), lambda: office.at
        )
        self.chance = random.Random(11)
        self.batches = 0

    def pass_by(self, seconds, a_tick=100):
        """Time passes; every tick so many requests are reported, there is a look, and what is due is sent."""
        for _ in range(seconds // 10):
            self.office.later(seconds=10)
            if a_tick:
                self._report(a_tick)
            looking.tick(self.office.service, self.office.at, TICK)
            message_edits.refresh_cards(self.office.service, self.office.at)
            self.office.deliver()

    def _report(self, count):
        snapshot = exposure.build_snapshot(self.office.service.cached_world())

        def serve(visitor):
            served = evaluate(snapshot, SURFACE, visitor.unit, visitor.context)
            return served.variant, served.version.name

        seen = traffic.simulate_requests(self.chance, "healthy", self.office.at, count, serve, "v42")
        self.batches += 1
        body = json.dumps({"observations": [{"surface": SURFACE, **one} for one in seen]}).encode()
        self.intake.submit(ObservationBatch(body=body, content_type="", token="", key=f"b{self.batches}")).result()


@pytest.fixture
def users(office):
    for old, new in WIDE.items():
        assert old in office.files["rollout"]
        office.files["rollout"] = office.files["rollout"].replace(old, new)
    office.apply(office.files["surface"])
    office.apply(office.files["rollout"])
    office.deliver()
    assert office.typed("lee", "approve R-1").acked
    assert office.later(minutes=10).typed("ana", "start R-1").acked
    office.deliver()
    found = Users(office)
    yield found
    found.intake.close()


def requests_shown(office):
    found = re.search(r"([\d,]+) requests on the new version", office.shown(office.card()))
    return int(found[1].replace(",", "")) if found else 0


def requests_counted(office):

    return look_reports.load_newest_judgement(office.service, office.rollout).canary_requests


def edits(office):
    card = office.card()
    return [c for c in office.sandbox.api_calls if c.method == "chat.update" and c.args.get("ts") == card.ts]


def test_the_card_is_at_most_a_minute_behind_what_is_seen(office, users):
    users.pass_by(120)
    for _ in range(4):
        before = requests_counted(office)
        users.pass_by(60)
        assert requests_shown(office) >= before > 0
    assert office.shown(office.card()).count("as of") == 1


def test_it_is_edited_once_a_minute_and_not_at_all_where_nothing_is_new(office, users):
    users.pass_by(180)
    began, events = len(edits(office)), len(office.service.load_history("R-1"))
    users.pass_by(300)
    assert len(edits(office)) - began <= 5 + len(office.service.load_history("R-1")) - events
    users.pass_by(120, a_tick=0)
    began, events = len(edits(office)), len(office.service.load_history("R-1"))
    users.pass_by(180, a_tick=0)
    assert len(edits(office)) - began <= len(office.service.load_history("R-1")) - events


def test_two_workers_edit_it_no_more_often_than_one(office, users):
    users.pass_by(190)
    began = len(edits(office))
    for _ in range(3):
        message_edits.refresh_cards(office.service, office.at)
        office.deliver()
    assert len(edits(office)) == began


def test_status_says_what_was_seen_last(office, users):
    users.pass_by(170)
    office.typed("ana", "status R-1")
    shown = office.shown(office.whispered("ana"))
    assert f"{requests_counted(office):,} requests on the new version" in shown
