"""A review over HTTP: read as JSON, as a page and as Markdown, and written with a command."""

from core.rollout import commands as c

ANSWERS = {"numbers": "<b>worse</b>", "unexpected": "no", "behaviour": "no", "cost": "yes"}


def ended(running, canary):
    canary(running)
    running.do(c.RollBack(reason="odd greetings"))
    return running


def test_a_review_is_read_written_and_read_again(running, canary, serve):
    client = serve(ended(running, canary))
    draft = client.get("/api/v1/rollouts/R-1/review").json()
    assert (draft["outcome"], draft["needs_review"], draft["answers"]) == ("rolled_back", True, None)
    assert [asked["name"] for asked in draft["questions"]] == ["numbers", "unexpected", "behaviour", "cost"]
    assert [shortcut["reason"] for shortcut in draft["shortcuts"]] == ["the cohort is happy"]

    sent = client.post("/api/v1/rollouts/R-1/commands", json={"command": "review", "answers": ANSWERS})
    assert sent.status_code == 200, sent.text
    written = client.get("/api/v1/rollouts/R-1/review").json()
    assert written["needs_review"] is False
    assert written["answers"]["numbers"] == "<b>worse</b>"


def test_an_answer_that_is_missing_is_named(running, canary, serve):
    client = serve(ended(running, canary))
    sent = client.post("/api/v1/rollouts/R-1/commands", json={"command": "review", "answers": {"numbers": "x"}})
    assert sent.status_code == 422
    assert "Was anything unexpected?" in sent.json()["message"]


def test_what_has_not_ended_has_no_review(running, canary, serve):
    canary(running)
    answer = serve(running).get("/api/v1/rollouts/R-1/review")
    assert answer.status_code == 409
    assert "has not ended" in answer.json()["message"]


def test_the_page_and_its_markdown_escape_what_people_wrote(running, canary, serve):
    client = serve(ended(running, canary))
    client.post("/api/v1/rollouts/R-1/commands", json={"command": "review", "answers": ANSWERS})
    page = client.get("/r/R-1/review").text
    assert "&lt;b&gt;worse&lt;/b&gt;" in page
    assert "the cohort is happy" in page
    text = client.get("/r/R-1/review.md")
    assert text.headers["content-type"].startswith("text/markdown")
    assert r"\<b\>worse\</b\>" in text.text


def test_a_surface_without_a_baseline_says_so(running, serve):
    client = serve(running)
    shown = client.get("/api/v1/surfaces/support-assistant/baseline").json()
    assert (shown["live"], shown["baseline"], shown["suggested_limits"]) == ("v42", None, [])
    assert client.get("/api/v1/surfaces/other/baseline").status_code == 404
