"""Soft errors: reported by applications or found by rules in answers, counted by arm, and told where they are new."""

import random
from datetime import timedelta
from typing import Any

import pytest

from bot.rendering.charts import plain_text
from bot.rendering.messages import summary
from core.files.syntax.problems import UnreadableFile
from core.rollout import commands as c
from core.rollout.state.events import EvidenceRecorded
from core.rollout.state.model import RolloutState
from core.service.rollout_look import evaluate_rollout
from core.store.observations import observation_sums

SOFT = """
soft_errors:
  own: [rude_tone]
  language: segment
  schema: {type: object, required: [answer]}
"""


@pytest.fixture
def watched(running: Any, surface_file: str, rollout_file: str) -> Any:
    """Half of the traffic on the new version, with a limit on new kinds of errors."""
    running.apply(surface_file + SOFT)
    head, rest = rollout_file.split("stages:")
    stages = """stages:
  - canary: {percent: 5, min_hold: 1m, max_hold: 6h, min_samples: 10}
  - ramp: {steps: [50%, 100%], hold: 6h}
"""
    text = f"{head}{stages}assignment:{rest.split('assignment:')[1]}"
    running.apply(
        text.replace("rollback_when:\n", "rollback_when:\n  - {metric: new_error_category, rate_above: 1%}\n")
    )
    running.do(c.Start())
    running.wait(minutes=2)
    running.do(c.Advance(reason="half of them at once"))
    running.wait(minutes=16)  # right after a step, only those count who kept their arm
    return running


def _rollout(running: Any) -> Any:
    return running.service.load_world().rollouts["R-1"]


def _observe(running: Any, http: Any, chance: random.Random, **shares: tuple[float, float]) -> None:
    """A thousand requests; `shares` are by soft error how often it comes with the new and with the current version."""
    observed = []
    for i in range(1_000):
        is_canary = i % 2 == 1
        errors = [name for name, of in shares.items() if chance.random() < of[0 if is_canary else 1]]
        arm = "canary" if is_canary else "control"
        observed.append(
            {
                "surface": "support-assistant",
                "unit": f"{arm}-{running.now().timestamp()}-{i}",
                "variant": arm,
                "metrics": {"refusal_rate": False},
                "soft_errors": errors,
            }
        )
    answer = http.post("/api/v1/observations", json={"observations": observed}, timeout=60).json()
    assert answer == {"accepted": 1_000, "rejected": []}


def _look(running: Any) -> None:
    running.wait(minutes=2)
    evaluate_rollout(running.service, "R-1", running.now(), every=timedelta(minutes=2))


def _counts(http: Any) -> dict[str, tuple[int, int, bool]]:
    found = http.get("/api/v1/rollouts/R-1/evidence").json()["soft_errors"]
    return {one["category"]: (one["canary"]["count"], one["control"]["count"], one["is_new"]) for one in found}


@pytest.mark.shows("E24")
def test_a_kind_that_only_the_new_version_shows_is_rolled_back_and_told(watched: Any, serve: Any) -> None:
    http, chance = serve(watched), random.Random(5)
    for _ in range(6):
        _observe(watched, http, chance, loop=(0.05, 0.0), refusal=(0.02, 0.02))
        _look(watched)
        if _rollout(watched).state is RolloutState.ROLLED_BACK:
            break
    rollout = _rollout(watched)
    assert rollout.state is RolloutState.ROLLED_BACK
    finding = rollout.rollback.findings[0]
    assert finding.metric == "new_error_category"
    assert "soft:loop" in finding.note
    counts = {one.category: one for one in rollout.evidence.soft_errors}
    assert counts["loop"].is_new
    assert not counts["refusal"].is_new
    entries = watched.service.load_history("R-1")
    event = next(one for one in reversed(entries) if isinstance(one.event, EvidenceRecorded))
    shown = plain_text.render_text(summary.render(rollout, event.event, watched.now(), "UTC"))
    assert "repeats itself" in shown
    assert "new with this version" in shown
    assert "declined to answer" in shown
    page = http.get(f"/e/R-1.{event.event.number}").text
    assert "Repeats itself" in page
    assert "new with this version" in page


def test_the_same_soft_errors_on_both_sides_are_counted_and_do_nothing(watched: Any, serve: Any) -> None:
    http, chance = serve(watched), random.Random(5)
    for _ in range(4):
        _observe(watched, http, chance, loop=(0.03, 0.03), rude_tone=(0.01, 0.01))
        _look(watched)
    assert _rollout(watched).state is RolloutState.RUNNING
    counts = _counts(http)
    assert set(counts) == {"loop", "rude_tone"}
    assert all(canary > 0 and control > 0 and not is_new for canary, control, is_new in counts.values())


def test_a_rare_kind_of_the_new_version_alone_is_not_called_new(watched: Any, serve: Any) -> None:
    """At half of the traffic, two of two come from the new version by chance every fourth time."""
    http = serve(watched)
    items = [
        {"surface": "support-assistant", "unit": f"{arm}-{i}", "variant": arm, "soft_errors": ["loop"] if i < 2 else []}
        for arm in ("canary", "control")
        for i in range(50)
        if arm == "canary" or i >= 2
    ]
    assert http.post("/api/v1/observations", json={"observations": items}).json()["rejected"] == []
    assert _counts(http) == {"loop": (2, 0, False)}


def test_one_person_who_meets_it_ten_times_does_not_make_it_new(watched: Any, serve: Any) -> None:
    http = serve(watched)
    items = [
        {"surface": "support-assistant", "unit": "one", "variant": "canary", "soft_errors": ["loop"]} for _ in range(12)
    ] + [{"surface": "support-assistant", "unit": f"c{i}", "variant": "control"} for i in range(12)]
    http.post("/api/v1/observations", json={"observations": items})
    assert _counts(http) == {"loop": (12, 0, False)}


def test_an_unknown_kind_counts_as_other_and_is_named_once(watched: Any, serve: Any) -> None:
    http = serve(watched)
    items = [
        {"surface": "support-assistant", "unit": f"u{i}", "variant": "canary", "soft_errors": ["rude_ton", "empty"]}
        for i in range(3)
    ]
    answer = http.post("/api/v1/observations", json={"observations": items}).json()
    assert answer["accepted"] == 3
    assert [(one["index"], one["code"]) for one in answer["rejected"]] == [(0, "unknown_soft_error")]
    assert 'Did you mean "rude_tone"?' in answer["rejected"][0]["message"]
    assert _counts(http) == {"empty": (3, 0, False), "other": (3, 0, False)}
    with watched.service.database.reading() as connection:
        assert not any(key.metric == "refused_items" for key in observation_sums.load_sums(connection, "R-1").cells)


@pytest.mark.parametrize("given", [7, {"refusal": True}, [1], ["a\x00"]])
def test_what_is_no_list_of_kinds_is_refused_and_the_rest_counts(watched: Any, serve: Any, given: Any) -> None:
    http = serve(watched)
    item = {
        "surface": "support-assistant",
        "unit": "u",
        "variant": "canary",
        "metrics": {"refusal_rate": 0},
        "soft_errors": given,
    }
    answer = http.post("/api/v1/observations", json={"observations": [item]}).json()
    assert (answer["accepted"], [one["code"] for one in answer["rejected"]]) == (1, ["bad_value"])


def test_rules_look_at_every_answer_that_is_handed_in_once(watched: Any, serve: Any) -> None:
    http = serve(watched)
    answers = [
        {"surface": "support-assistant", "unit": "u1", "variant": "canary", "id": "a1", "answer": ""},
        {
            "surface": "support-assistant",
            "unit": "u2",
            "variant": "canary",
            "id": "a2",
            "answer": '{"answer": "Sync."}',
        },
        {
            "surface": "support-assistant",
            "unit": "u3",
            "variant": "control",
            "id": "a3",
            "answer": "Откройте настройки и выберите учётную запись.",
            "segments": {"language": "de"},
            "finish_reason": "length",
        },
    ]
    for _ in range(2):
        taken = http.post("/api/v1/answers", json={"answers": answers}).json()
        assert (taken["accepted"], taken["soft_errors"], taken["rejected"]) == (3, 2, [])
    assert _counts(http) == {
        "empty": (1, 0, False),
        "schema_invalid": (0, 1, False),
        "truncated": (0, 1, False),
        "wrong_language": (0, 1, False),
    }


@pytest.mark.parametrize(
    "answer", [r'{"answer": "\ud83d"}', r'"\ud83d"', r'["\udc00"]', "[" * 9_999, "NaN", "1" * 9_999]
)
def test_json_that_no_program_can_read_is_a_wrong_format(watched: Any, serve: Any, answer: str) -> None:
    http = serve(watched)
    said = {"surface": "support-assistant", "unit": "u1", "variant": "canary", "id": "a1", "answer": answer}
    reply = http.post("/api/v1/answers", json={"answers": [said]})
    assert reply.status_code == 200, reply.text
    assert _counts(http)["schema_invalid"] == (1, 0, False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"at": "2020-01-01T00:00:00Z"}, "more than an hour ago"),
        ({"at": "2099-01-01T00:00:00Z"}, "lies in the future"),
        ({"at": "2026-11-24T12:00:00"}, "needs a time zone"),
        ({"variant": "blah"}, 'unknown variant "blah"'),
        ({"variant": None, "exposure": "R-1.0.nonsense"}, "send metadata.exposure unchanged"),
        ({"variant": None}, "exposure"),
    ],
)
def test_an_answer_that_contradicts_what_was_served_is_rejected_and_counts_nowhere(
    watched: Any, serve: Any, change: dict[str, Any], said: str
) -> None:
    http = serve(watched)
    answer = {"surface": "support-assistant", "unit": "u1", "variant": "canary", "id": "a1", "answer": ""}
    taken = http.post("/api/v1/answers", json={"answers": [{**answer, **change}]}).json()
    assert (taken["accepted"], taken["soft_errors"]) == (0, 0)
    assert said in taken["rejected"][0]["message"]
    assert _counts(http) == {}


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("soft_errors: {own: [refusal]}", "refusal is a category already: leave it out"),
        ("soft_errors: {own: [Rude]}", '"Rude" is not a name'),
        ("soft_errors: {own: [a1, a1]}", "a category is written twice"),
        ("soft_errors: {language: klingon}", '"klingon" is not known: write one of'),
        ("soft_errors: {schema: {type: 7}}", "this is no JSON Schema: "),
        ("soft_errors: {schema: {$ref: 'https://example.com/x.json'}}", "this is no JSON Schema: "),
    ],
)
def test_a_wrong_block_points_at_its_line(running: Any, surface_file: str, block: str, said: str) -> None:
    text = surface_file + block + "\n"
    with pytest.raises(UnreadableFile) as refusal:
        running.apply(text)
    assert said in str(refusal.value)
    assert f":{len(text.splitlines())}:" in str(refusal.value)


MEASURED = """
metrics:
  - {name: declined, kind: rate, direction: down}
  - {name: answer_words, kind: mean, unit: words, direction: same}
soft_errors:
  measure: {declined: refusal, answer_words: words}
"""


@pytest.mark.shows("E24")
def test_rules_measure_own_metrics_which_roll_back_without_a_model(
    running: Any, serve: Any, surface_file: str, rollout_file: str
) -> None:
    running.apply(surface_file + MEASURED)
    head, rest = rollout_file.split("stages:")
    stages = """stages:
  - canary: {percent: 5, min_hold: 1m, max_hold: 6h, min_samples: 10}
  - ramp: {steps: [50%, 100%], hold: 6h}
"""
    text = f"{head}{stages}assignment:{rest.split('assignment:')[1]}"
    running.apply(text.replace("rollback_when:\n", "rollback_when:\n  - {metric: declined, rises_by: 2pp}\n"))
    running.do(c.Start())
    running.wait(minutes=2)
    http = serve(running)
    for number in range(6):
        units = [(arm, f"{arm}-{number}-{i}") for arm in ("canary", "control") for i in range(400)]
        observed = [{"surface": "support-assistant", "unit": unit, "variant": arm} for arm, unit in units]
        http.post("/api/v1/observations", json={"observations": observed})
        for arm in ("canary", "control"):
            refused = "I'm sorry, but I can't help with that."
            answers = [
                {
                    "surface": "support-assistant",
                    "unit": unit,
                    "variant": arm,
                    "id": unit,
                    "answer": refused if arm == "canary" and i % 5 == 0 else "Press Sync now.",
                }
                for i, (side, unit) in enumerate(units)
                if side == arm
            ]
            assert http.post("/api/v1/answers", json={"answers": answers}).json()["accepted"] == 400
        _look(running)
        if _rollout(running).state is RolloutState.ROLLED_BACK:
            break
    assert _rollout(running).rollback.findings[0].metric == "declined"
    words = next(one for one in _rollout(running).evidence.measures if one.metric == "answer_words")
    assert words.control == pytest.approx(3, rel=0.01)


@pytest.mark.parametrize(
    ("measure", "said"),
    [
        ("{mood: refusal}", "mood is not among the metrics of this file"),
        ("{answer_words: refusal}", "refusal is for a rate, and answer_words is a mean"),
        ("{declined: words}", "words is for a mean, and declined is a rate"),
        ("{declined: tone}", "Input should be"),
    ],
)
def test_what_rules_cannot_measure_points_at_its_line(running: Any, surface_file: str, measure: str, said: str) -> None:
    text = surface_file + MEASURED.replace("{declined: refusal, answer_words: words}", measure)
    with pytest.raises(UnreadableFile) as refusal:
        running.apply(text)
    assert said in str(refusal.value)
    assert f":{len(text.splitlines())}:" in str(refusal.value)
