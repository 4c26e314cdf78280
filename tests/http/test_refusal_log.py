"""What the log of the server, and the page of the rollout, say of reports that are refused."""

from datetime import timedelta

from structlog.testing import capture_logs

from bot.http.observations.parse_fields import RejectedItem
from bot.http.observations.refusal_log import RefusalLog
from core.service import rollout_look


def refused(*codes: str) -> list[RejectedItem]:
    return [RejectedItem(index=n, code=code, message=f"{code} number {n}") for n, code in enumerate(codes)]


def test_a_line_a_minute_and_kind_counts_what_was_refused_and_gives_an_example() -> None:
    now = [0.0]
    log = RefusalLog(lambda: now[0])
    with capture_logs() as lines:
        log.note(refused("unknown_variant", "unknown_variant"))
        for now[0] in (1.0, 30.0, 59.9):
            log.note(refused("bad_value", "unknown_field"))
        now[0] = 60.0
        log.note(refused("unknown_field"))
    assert [(line["codes"], line["example"]) for line in lines] == [
        ({"unknown_variant": 2}, "unknown_variant number 1"),
        ({"bad_value": 1, "unknown_field": 1}, "unknown_field number 1"),
        ({"bad_value": 2, "unknown_field": 3}, "unknown_field number 0"),
    ]


def test_repeated_exports_and_what_a_source_counts_are_as_they_should_be() -> None:
    with capture_logs() as lines:
        RefusalLog().note(refused("duplicate", "pulled_metric"))
    assert lines == []


def test_a_server_says_that_an_application_names_variants_that_do_not_exist(running, serve, canary) -> None:
    client = serve(running)
    canary(running)
    item = {"surface": "support-assistant", "unit": "a", "variant": "treatment", "metrics": {"refusal_rate": True}}
    with capture_logs() as lines:
        for _ in range(3):
            client.post("/api/v1/observations", json={"observations": [item] * 5}).raise_for_status()
    assert [(line["event"], line["codes"]) for line in lines] == [
        ("reports of an application were refused", {"unknown_variant": 5})
    ]
    assert 'unknown variant "treatment"' in lines[0]["example"]


def test_the_page_of_its_rollout_says_that_none_counts(running, serve, canary) -> None:
    client = serve(running)
    canary(running)
    item = {"surface": "support-assistant", "unit": "a", "variant": "canary", "metrics": {"refusal": True}}
    client.post("/api/v1/observations", json={"observations": [item] * 5}).raise_for_status()
    rollout_look.evaluate_rollout(running.service, "R-1", running.now(), every=timedelta(seconds=10))
    page = client.get("/r/R-1").text
    compared = page.index("New version compared with the old one")
    said = "None of 5 reports on the new version counts: 5 refused."
    assert said in page[compared:]
