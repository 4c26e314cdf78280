"""Reports none of which counts: whoever asks how the rollout does is told that they come, and that none counts."""

import json
import random
from datetime import timedelta

from bot.http.observations.writer import ObservationBatch, ObservationWriter
from bot.jobs import looking
from core.rollout.serving import exposure

SURFACE = "support-assistant"
TICK = timedelta(seconds=10)


def report(office, each, count, variants=("canary", "control")):
    """So many reports of each version, with these metrics; then a look."""
    intake = ObservationWriter(
        office.service.database, lambda: exposure.build_snapshot(office.service.cached_world()), lambda: office.at
    )
    observations = [
        {"surface": SURFACE, "unit": f"u{number}", "variant": variant, "metrics": each}
        for variant in variants
        for number in range(count)
    ]
    body = json.dumps({"observations": observations}).encode()
    key = f"b{random.random()}"
    intake.submit(ObservationBatch(body=body, content_type="", token="", key=key)).result()
    office.later(seconds=10)
    looking.tick(office.service, office.at, TICK)


def answer(office, line):
    office.typed("ana", line)
    return office.shown(office.whispered("ana"))


def test_status_and_metrics_say_that_none_of_the_reports_counts(office):
    office.start()
    report(office, {"refusal": True}, 70)
    for line in ("status R-1", "metrics R-1"):
        shown = answer(office, line)
        assert "None of 140 reports counts: 140 refused." in shown
        assert "The answers of `POST /api/v1/observations` say why, under `rejected`." in shown


def test_nothing_is_said_of_it_once_some_count(office):
    office.start()
    report(office, {"refusal": True}, 70)
    report(office, {"refusal_rate": False}, 70)
    for line in ("status R-1", "metrics R-1"):
        assert "reports counts" not in answer(office, line)


def test_the_version_none_of_whose_reports_counts_is_named(office):
    office.start()
    report(office, {"refusal": True}, 70, ("canary",))
    report(office, {"refusal_rate": False}, 70, ("control",))
    for line in ("status R-1", "metrics R-1"):
        assert "None of 70 reports on the new version counts: 70 refused." in answer(office, line)
