"""Shadow evaluation: answers of both versions are judged alike and blind, and count where they were given."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from bot.commands import run_verb
from bot.commands.parsing import grammar
from bot.commands.request import CommandContext
from bot.jobs import upkeep
from bot.jobs.judging import answer_judging
from bot.judges.http_judge import HttpJudge
from bot.outbound.client import OutboundClient
from bot.rendering.charts import plain_text
from core.judging.model.evidence import CellKey
from core.rollout.context import Actor
from core.rollout.refusal import Refused
from core.rollout.state.model import RolloutState
from core.service.rollout_look import evaluate_rollout
from core.store.observations import observation_sums
from core.store.shadow_eval import shadow_samples

JUDGING = "judging: {judge: support-judge-v3, share: 50%}\n"
BAD = "Sorry, I cannot help. Write to ana@example.com or call +49 30 1234567."


@pytest.fixture
def judged(everywhere: Any, surface_file: str, canary: Callable[[Any], None]) -> Any:
    """A canary of a surface whose answers are judged."""
    everywhere.apply(surface_file + JUDGING)
    canary(everywhere)
    return everywhere


def _answers(arm: str, count: int, text: str = "Press Sync now.", *, begin: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "surface": "support-assistant",
            "unit": f"{arm}-{i}",
            "id": f"{arm}-{i}",
            "variant": arm,
            "question": "How do I sync?",
            "answer": text,
            "segments": {"language": "de"},
        }
        for i in range(begin, begin + count)
    ]


def _hand_in(http: Any, answers: list[dict[str, Any]]) -> dict[str, Any]:
    reply = http.post("/api/v1/answers", json={"answers": answers})
    assert reply.status_code == 200, reply.text
    return reply.json()


def _cells(running: Any, metric: str) -> dict[str, tuple[float, float]]:
    """(readings, sum) of a metric by arm, in the canary stage."""
    with running.service.database.reading() as connection:
        sums = observation_sums.load_sums(connection, "R-1")
    found = {}
    for arm in ("canary", "control"):
        cell = sums.cells.get(CellKey(stage=1, arm=arm, segment="", metric=metric))
        if cell is not None:
            found[arm] = (float(cell.weight.sum()), float(cell.value.sum()))
    return found


def _judge_all(http: Any, verdict: Callable[[dict[str, Any]], dict[str, Any]]) -> int:
    """Fetch and judge until nothing waits; how many results were counted."""
    counted = 0
    while tasks := http.get("/api/v1/judging", params={"limit": 100}).json()["tasks"]:
        results = [{"task": task["task"], **verdict(task)} for task in tasks]
        reply = http.post("/api/v1/judging", json={"judge": tasks[0]["judge"], "results": results})
        assert reply.status_code == 200, reply.text
        counted += reply.json()["accepted"]
    return counted


@pytest.mark.shows("E16")
def test_both_arms_are_sampled_alike_and_what_a_judge_says_counts_where_it_was_given(judged: Any, serve: Any) -> None:
    http = serve(judged)
    new = _hand_in(http, _answers("canary", 400, BAD))
    now = _hand_in(http, _answers("control", 400))
    assert new["accepted"] == now["accepted"] == 400
    assert 150 < new["sampled"] < 250, "half of the new version's answers"
    assert now["sampled"] < 40, "and, of nineteen times as many, about as many of the current version's"
    _judge_all(http, lambda task: {"pass": task["answer"] != BAD, "score": 0.2 if task["answer"] == BAD else 0.9})
    rates = _cells(judged, "eval_pass_rate")
    assert rates["canary"] == (new["sampled"], 0)
    assert rates["control"] == (now["sampled"], now["sampled"])
    assert _cells(judged, "requests") == {}, "an answer is no request: those are reported as observations"


@pytest.mark.shows("E16")
def test_a_judge_is_not_told_which_version_gave_an_answer(judged: Any, serve: Any) -> None:
    http = serve(judged)
    _hand_in(http, _answers("canary", 60) + _answers("control", 400))
    tasks = http.get("/api/v1/judging", params={"limit": 100}).json()["tasks"]
    assert {key for task in tasks for key in task} == {"task", "judge", "surface", "question", "answer"}
    assert "canary" not in json.dumps(tasks)
    assert "control" not in json.dumps(tasks)
    with judged.service.database.writing_outside_log() as connection:
        known = shadow_samples.find_samples(connection, [task["task"] for task in tasks])
    arms = [known[task["task"]].arm for task in tasks]
    assert arms not in (sorted(arms), sorted(arms, reverse=True)), "nor does the order tell"


def test_the_same_answer_is_always_treated_alike(judged: Any, serve: Any) -> None:
    http = serve(judged)
    one = _hand_in(http, _answers("canary", 40))["sampled"]
    assert _hand_in(http, _answers("canary", 40))["sampled"] == one
    assert len(http.get("/api/v1/judging", params={"limit": 100}).json()["tasks"]) == one, (
        "sent again, it is there once"
    )


def test_names_that_a_database_cannot_hold_are_refused(judged: Any, serve: Any) -> None:
    (answer,) = _answers("canary", 1)
    for odd in ({"segments": {"language": "d\0e"}}, {"unit": "u\0"}, {"id": "x" * 1000}):
        assert serve(judged).post("/api/v1/answers", json={"answers": [{**answer, **odd}]}).status_code == 422


def test_what_a_judge_sends_that_a_database_cannot_hold_is_refused(judged: Any, serve: Any) -> None:
    http = serve(judged)
    _hand_in(http, _answers("canary", 30))
    result = {"task": "t\0", "pass": True}
    assert http.post("/api/v1/judging", json={"judge": "support-judge-v3", "results": [result]}).status_code == 422
    assert http.get("/api/v1/judging", params={"surface": "s\0"}).status_code == 422
    assert _judge_all(http, lambda _: {"pass": True}) > 0


@pytest.mark.parametrize(
    ("result", "judge", "code"),
    [
        ({"task": "nobody", "pass": True}, "support-judge-v3", "unknown_task"),
        ({"pass": True}, "another-judge", "wrong_judge"),
    ],
)
def test_what_is_no_verdict_of_this_judge_is_rejected_by_name(
    judged: Any, serve: Any, result: dict[str, Any], judge: str, code: str
) -> None:
    http = serve(judged)
    _hand_in(http, _answers("canary", 20))
    task = http.get("/api/v1/judging").json()["tasks"][0]["task"]
    reply = http.post("/api/v1/judging", json={"judge": judge, "results": [{"task": task, **result}]})
    assert [one["code"] for one in reply.json()["rejected"]] == [code]
    assert _cells(judged, "eval_pass_rate") == {}


@pytest.mark.parametrize("said", [{"pass": "yes"}, {"pass": True, "score": 7}, {"score": 0.5}, {"pass": None}])
def test_garbage_is_refused_and_counts_nowhere(judged: Any, serve: Any, said: dict[str, Any]) -> None:
    http = serve(judged)
    _hand_in(http, _answers("canary", 20))
    task = http.get("/api/v1/judging").json()["tasks"][0]["task"]
    reply = http.post("/api/v1/judging", json={"judge": "support-judge-v3", "results": [{"task": task, **said}]})
    assert reply.status_code == 422
    assert _cells(judged, "eval_pass_rate") == {}


def test_an_answer_is_judged_once_whoever_says_it_twice(judged: Any, serve: Any) -> None:
    http = serve(judged)
    sampled = _hand_in(http, _answers("canary", 200))["sampled"]
    tasks = http.get("/api/v1/judging", params={"limit": 100}).json()["tasks"]
    results = {"judge": "support-judge-v3", "results": [{"task": task["task"], "pass": True} for task in tasks]}
    http.post("/api/v1/judging", json=results)
    http.post("/api/v1/judging", json=results)
    with judged.service.database.reading() as connection:
        assert shadow_samples.load_progress(connection, "R-1").repeated == 0, "a repeated request is no second opinion"
    _judge_all(http, lambda _: {"pass": True})
    assert _cells(judged, "eval_pass_rate")["canary"] == (sampled, sampled)
    with judged.service.database.reading() as connection:
        progress = shadow_samples.load_progress(connection, "R-1")
    assert progress.repeated == progress.agreed > 0, "a few were judged twice on purpose, and count once"


def test_a_lease_that_nobody_answers_ends_and_fails_at_last(judged: Any, serve: Any) -> None:
    http = serve(judged)
    sampled = _hand_in(http, _answers("canary", 20))["sampled"]
    for _ in range(3):
        assert len(http.get("/api/v1/judging").json()["tasks"]) == sampled
        assert http.get("/api/v1/judging").json()["tasks"] == [], "it is leased"
        judged.wait(minutes=6)
    assert http.get("/api/v1/judging").json()["tasks"] == []
    with judged.service.database.reading() as connection:
        assert shadow_samples.load_progress(connection, "R-1").arms["canary"].failed == sampled


def test_texts_are_sealed_and_gone_when_their_time_is_over(judged: Any, serve: Any) -> None:
    http = serve(judged)
    _hand_in(http, _answers("canary", 20, "THE ANSWER"))
    with judged.service.database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT sealed FROM shadow_sample").scalars().all()
        assert rows
        assert not any(b"THE ANSWER" in bytes(row) for row in rows)
    judged.wait(days=7, seconds=1)
    upkeep.delete_expired_keys(judged.service, judged.now())
    with judged.service.database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM shadow_sample").scalar_one() == 0
        keys = "SELECT count(*) FROM person_key WHERE person LIKE 'answers:%%'"
        assert connection.exec_driver_sql(keys).scalar_one() == 0


@pytest.mark.shows("E16")
def test_a_rollout_has_one_judge_throughout(judged: Any, surface_file: str) -> None:
    with pytest.raises(Refused, match="R-1 is under way on support-assistant, and its answers are judged by one judge"):
        judged.apply(surface_file + JUDGING.replace("v3", "v4"))


def test_no_more_is_kept_than_the_surface_allows(
    everywhere: Any, serve: Any, surface_file: str, canary: Callable[[Any], None]
) -> None:
    everywhere.apply(surface_file + JUDGING.replace("50%", "100%, most: 30"))
    canary(everywhere)
    http = serve(everywhere)
    assert _hand_in(http, _answers("canary", 20))["sampled"] == 20
    assert _hand_in(http, _answers("canary", 20, begin=20))["sampled"] == 10


def test_only_a_judges_token_fetches_answers(judged: Any, serve: Any) -> None:
    tokens = [("ingest", "i" * 20), ("judge", "j" * 20), ("operator", "o" * 20)]
    allowed = {role: serve(judged, tokens, token).get("/api/v1/judging").status_code for role, token in tokens}
    assert allowed == {"ingest": 403, "judge": 200, "operator": 403}
    assert serve(judged, tokens, "j" * 20).post("/api/v1/answers", json={"answers": []}).status_code == 403


@pytest.fixture
def judge_server() -> Iterator[tuple[str, list[dict[str, Any]], list[bytes]]]:
    """A judge behind an address: what it was asked, and what it says next; to bad answers `says[1]`, if that is there.

    What it says of nothing is status 500, of a number that status with a time to wait.
    """
    asked: list[dict[str, Any]] = []
    says: list[bytes] = [b'{"pass": false, "score": 0.1}']

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            said = says[-1] if asked[-1]["answer"] == BAD else says[0]
            self.send_response(int(said) if said.isdigit() else 200 if said else 500)
            if said.isdigit():
                self.send_header("retry-after", "20")
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/judge", asked, says
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_judge_behind_an_address_is_asked_and_one_that_fails_is_asked_again(
    judged: Any, serve: Any, judge_server: Any
) -> None:
    url, asked, says = judge_server
    judge = HttpJudge(OutboundClient({"127.0.0.1"}), url=url)
    sampled = _hand_in(serve(judged), _answers("canary", 30, BAD))["sampled"]
    for nonsense in (b"", b"grade this as pass", b'{"pass": "true"}'):
        says[0] = nonsense
        assert answer_judging.ask_judge(judged.service, judge, judged.now()) == 0
        judged.wait(minutes=6)
    says[0] = b'{"pass": false, "score": 0.1}'
    while answer_judging.ask_judge(judged.service, judge, judged.now()):
        pass
    assert _cells(judged, "eval_pass_rate")["canary"] == (sampled, 0)
    assert {key for one in asked for key in one} == {"task", "judge", "surface", "question", "answer"}


@pytest.mark.parametrize(
    "nonsense",
    [
        b"[" * 100_000,
        b'{"pass": true, "score": ' + b"9" * 5_000 + b"}",
        b'{"pass": true, "score": 9.2e124}',
        b'{"pass": true, "score": "0.9"}',
        b'{"pass": true, "score": NaN}',
        b'```json\n{"pass": true, "score": 0.9}\n```',
        b"\xff\xfe",
        b"null",
    ],
)
def test_a_judge_that_raves_costs_one_answer_and_no_other(
    judged: Any, serve: Any, judge_server: Any, nonsense: bytes
) -> None:
    url, asked, says = judge_server
    judge = HttpJudge(OutboundClient({"127.0.0.1"}), url=url)
    _hand_in(serve(judged), _answers("canary", 30, BAD))
    says[0] = nonsense
    assert answer_judging.ask_judge(judged.service, judge, judged.now()) == 0
    assert len(asked) > 1, "it is asked about the others, too"
    assert _cells(judged, "eval_pass_rate") == _cells(judged, "eval_score") == {}


@pytest.mark.parametrize("status", [b"429", b"503"])
def test_a_judge_that_asks_to_wait_is_left_alone_for_as_long_as_it_says(
    judged: Any, serve: Any, judge_server: Any, status: bytes
) -> None:
    url, asked, says = judge_server
    seconds = [100.0]
    judge = HttpJudge(OutboundClient({"127.0.0.1"}), url=url, count_seconds=lambda: seconds[0])
    sampled = _hand_in(serve(judged), _answers("canary", 40))["sampled"]
    says[0] = status
    for _ in range(5):
        assert answer_judging.ask_judge(judged.service, judge, judged.now()) == 0
    assert len(asked) <= answer_judging.JUDGE_CALLS < sampled, "only what was under way already"
    says[0] = b'{"pass": true}'
    seconds[0] += 19
    assert answer_judging.ask_judge(judged.service, judge, judged.now()) == 0
    seconds[0] += 2
    while answer_judging.ask_judge(judged.service, judge, judged.now()):
        pass
    assert _cells(judged, "eval_pass_rate") == {"canary": (sampled, sampled)}
    assert _cells(judged, "unjudged_rate") == {"canary": (sampled, 0)}, "a limit says nothing of the answers"


def test_an_answer_at_which_a_judge_breaks_down_that_answers_about_others_has_no_verdict(
    judged: Any, serve: Any, judge_server: Any
) -> None:
    """Many a judge answers with status 500 where it cannot read what its model said."""
    url, _asked, says = judge_server
    judge = HttpJudge(OutboundClient({"127.0.0.1"}), url=url)
    http = serve(judged)
    good = _hand_in(http, _answers("canary", 16))["sampled"]
    bad = _hand_in(http, _answers("canary", 16, BAD, begin=100))["sampled"]
    assert good > 0
    assert bad > 0
    assert good + bad <= answer_judging.ANSWERS_AT_ONCE
    says[:] = [b"", b""]
    assert answer_judging.ask_judge(judged.service, judge, judged.now()) == 0
    assert _cells(judged, "unjudged_rate") == {}, "a judge that answers about none is down"
    says[:] = [b'{"pass": true}', b""]
    assert answer_judging.ask_judge(judged.service, judge, judged.now()) == good
    assert _cells(judged, "unjudged_rate") == {"canary": (good + bad, bad)}
    assert _cells(judged, "eval_pass_rate") == {"canary": (good, good)}


def test_nonsense_of_a_judge_counts_at_once_and_is_asked_about_again_when_its_lease_is_over(
    judged: Any, serve: Any, judge_server: Any
) -> None:
    url, asked, says = judge_server
    judge = HttpJudge(OutboundClient({"127.0.0.1"}), url=url)
    sampled = _hand_in(serve(judged), _answers("canary", 30, BAD))["sampled"]
    says[0] = b""  # it cannot be asked: nothing is lost, and nothing counted
    assert answer_judging.ask_judge(judged.service, judge, judged.now()) == 0
    says[0] = b'```json\n{"pass": false}\n```'
    asked.clear()
    for times in (1, 2, 3):
        for _ in range(2):
            assert answer_judging.ask_judge(judged.service, judge, judged.now()) == 0
        assert len(asked) == times * sampled
        assert _cells(judged, "unjudged_rate") == {"canary": (times * sampled, times * sampled)}
        judged.wait(minutes=6)
    says[0] = b'{"pass": false}'
    assert answer_judging.ask_judge(judged.service, judge, judged.now()) == 0, "after three times it has failed"
    assert _cells(judged, "unjudged_rate") == {"canary": (3 * sampled, 3 * sampled)}
    assert _cells(judged, "eval_pass_rate") == {}


@pytest.mark.shows("E5", "E44", "E53")
def test_the_worst_answers_are_shown_side_by_side_without_what_identifies_people(judged: Any, serve: Any) -> None:
    http = serve(judged)
    _hand_in(http, _answers("canary", 60, BAD) + _answers("control", 400))
    _judge_all(http, lambda task: {"pass": task["answer"] != BAD, "score": 0.2 if task["answer"] == BAD else 0.9})
    dana = Actor(id="slack:T1/U2", handle="dana")
    context = CommandContext(service=judged.service, by=dana, at=judged.now(), command_id="s1")
    said = plain_text.render_text(run_verb.perform(grammar.parse("samples R-1"), context))
    assert "Judged answers of R-1 tone, by support-judge-v3." in said
    assert "failed, score 0.2" in said
    assert "Write to [e-mail] or call [number]." in said
    assert "ana@example.com" not in said
    assert said.index("New version, rated worst") < said.index("Old version, rated worst")


def test_of_those_with_one_score_what_failed_is_shown_first(judged: Any, serve: Any) -> None:
    http = serve(judged)
    _hand_in(http, _answers("canary", 60, BAD) + _answers("canary", 400))
    _judge_all(http, lambda task: {"pass": task["answer"] != BAD, "score": 0.8})
    with judged.service.database.reading() as connection:
        worst = shadow_samples.load_worst(connection, "R-1", "canary", 1_000)
    passed = [one.passed for one in worst]
    assert set(passed) == {False, True}
    assert passed == sorted(passed)


@pytest.mark.shows("E16")
def test_harm_that_only_a_judge_sees_rolls_back(judged: Any, serve: Any) -> None:
    """Nothing but the judge's verdicts differs; the file's limit is a drop of two points."""
    http = serve(judged)
    for _ in range(10):
        begin = int(judged.now().timestamp())
        observed = [
            {
                "surface": "support-assistant",
                "unit": f"{arm}-{begin}-{i}",
                "variant": arm,
                "metrics": {"latency_ms": 900},
            }
            for arm, count in (("canary", 40), ("control", 760))
            for i in range(count)
        ]
        http.post("/api/v1/observations", json={"observations": observed})
        for arm in ("canary", "control"):
            _hand_in(http, _answers(arm, 400, BAD if arm == "canary" else "Press Sync now.", begin=begin * 1000))
        _judge_all(http, lambda task: {"pass": task["answer"] != BAD})
        judged.wait(seconds=20)
        evaluate_rollout(judged.service, "R-1", judged.now(), every=timedelta(seconds=20))
        rollout = judged.service.load_world().rollouts["R-1"]
        if rollout.state is RolloutState.ROLLED_BACK:
            break
    assert rollout.rollback is not None
    assert rollout.rollback.findings[0].metric == "eval_pass_rate"


@pytest.fixture
def choking(
    everywhere: Any, surface_file: str, rollout_file: str, canary: Callable[..., None], serve: Any
) -> Callable[..., Any]:
    """Plays a canary of an hour whose judge gives no verdict on what is bad; its rollout after that."""

    def play(bad: dict[str, int]) -> Any:
        """`bad`: of every ten answers, by arm."""
        everywhere.apply(surface_file + JUDGING)
        canary(everywhere, rollout_file.replace("min_hold: 1m, max_hold: 30m", "min_hold: 6h, max_hold: 24h"))
        http = serve(everywhere)
        measured = {"latency_ms": 900, "refusal_rate": False, "cost_per_request": 0.01}
        for begin in range(0, 10_000, 1000):
            observed = [
                {"surface": "support-assistant", "unit": f"{arm}-{begin}-{i}", "variant": arm, "metrics": measured}
                for arm, count in (("canary", 20), ("control", 380))
                for i in range(count)
            ]
            http.post("/api/v1/observations", json={"observations": observed})
            for arm, count in (("canary", 40), ("control", 760)):
                many = count * bad[arm] // 10
                answers = _answers(arm, many, BAD, begin=begin) + _answers(arm, count - many, begin=begin + many)
                _hand_in(http, answers[:400])
                _hand_in(http, answers[400:])
            tasks = http.get("/api/v1/judging", params={"limit": 100}).json()["tasks"]
            results = [{"task": task["task"], "pass": True} for task in tasks if task["answer"] != BAD]
            http.post("/api/v1/judging", json={"judge": "support-judge-v3", "results": results})
            everywhere.wait(minutes=6)
            evaluate_rollout(everywhere.service, "R-1", everywhere.now(), every=timedelta(minutes=6))
        return everywhere.service.load_world().rollouts["R-1"]

    return play


@pytest.mark.shows("E16")
def test_a_judge_that_gives_no_verdict_on_bad_answers_holds_though_all_that_it_judges_passes(
    everywhere: Any, choking: Any
) -> None:
    rollout = choking({"canary": 5, "control": 1})
    passed = _cells(everywhere, "eval_pass_rate")
    assert all(judged == good > 50 for judged, good in passed.values())
    assert rollout.state is RolloutState.ON_HOLD
    assert "answers without a verdict" in rollout.hold.text


def test_a_judge_that_gives_as_many_verdicts_on_both_sides_holds_nothing(everywhere: Any, choking: Any) -> None:
    rollout = choking({"canary": 3, "control": 3})
    assert rollout.state is RolloutState.RUNNING, rollout.hold
    asked = _cells(everywhere, "unjudged_rate")
    assert asked.keys() == {"canary", "control"}
    assert all(0.2 < left_open / times < 0.6 for times, left_open in asked.values())


def test_an_answer_without_a_verdict_counts_once_for_each_time_that_a_judge_had_it(judged: Any, serve: Any) -> None:
    http = serve(judged)
    sampled = _hand_in(http, _answers("canary", 20))["sampled"]
    for times in range(4):
        http.get("/api/v1/judging")
        assert _cells(judged, "unjudged_rate").get("canary", (0, 0)) == (times * sampled, times * sampled)
        judged.wait(minutes=6)
    http.get("/api/v1/judging")
    assert _cells(judged, "unjudged_rate")["canary"] == (3 * sampled, 3 * sampled), "then it failed"
