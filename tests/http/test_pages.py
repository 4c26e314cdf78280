"""The read-only pages: what people wrote is shown escaped, and nothing is loaded from elsewhere."""

from typing import Any

from core.judging.verdict import Continue, Measure
from core.rollout import commands as c
from core.rollout.context import ENGINE
from core.service import Request


def sighting() -> c.Sighting:
    measure = Measure(
        metric="refusal_rate",
        title="Declined to answer",
        limit_text="rises by 1 pp",
        canary=0.064,
        control=None,
        difference=None,
        low=None,
        high=None,
        log_e=0.0,
        word="Not enough data",
        n_canary=10,
        n_control=0,
        unit="%",
        relative=False,
        weaker=False,
        note="<b>noted</b>",
    )
    return c.Sighting(
        verdict=Continue(),
        measures=(measure,),
        canary_requests=10,
        control_requests=0,
        canary_units=7,
        control_units=0,
        stage_requests=10,
        exposed_requests=10,
        exposed_units=7,
        first_look=1,
        last_look=2,
        state_before="",
        looks="ab12",
        state_after="cd34",
    )


def test_what_people_wrote_is_escaped(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    running.do(c.Pause(reason="<img src=x onerror=alert(1)>"))
    for path in ("/", "/r/R-1"):
        page = client.get(path)
        assert page.status_code == 200
        assert "text/html" in page.headers["content-type"]
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "<script" not in page.text
        assert "<img" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in client.get("/r/R-1").text
    assert "&lt;img src=x" in client.get("/r/R-1").text


def test_a_piece_of_evidence_shows_the_unknown_as_a_dash(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    tick = Request(command=c.Tick(sighting=sighting()), command_id="tick-1", by=ENGINE, at=running.now(), rollout="R-1")
    running.service.handle(tick)
    assert '<a href="/e/R-1.1">' in client.get("/r/R-1").text
    page = client.get("/e/R-1.1").text
    assert "Declined to answer" in page
    assert "10 requests of 7 units" in page
    assert '<td class="n">–</td>' in page
    assert "&lt;b&gt;noted&lt;/b&gt;" in page
    assert client.get("/style.css").headers["content-type"].startswith("text/css")


def test_what_does_not_exist_is_not_found(running: Any, serve: Any) -> None:
    client = serve(running)
    for path in ("/r/R-9", "/e/R-9.1", "/e/nonsense", "/nothing"):
        assert client.get(path).status_code == 404


def test_a_browser_may_give_the_token_as_a_password(running: Any, serve: Any) -> None:
    client = serve(running, tokens=[("operator", "operator-token")])
    refused = client.get("/")
    assert (refused.status_code, "Basic" in refused.headers["www-authenticate"]) == (401, True)
    assert client.get("/", auth=("anybody", "operator-token")).status_code == 200
    assert client.get("/", auth=("anybody", "wrong")).status_code == 401
