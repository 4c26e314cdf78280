"""No field of a file is accepted and ignored: another value of it is refused or warned of, or changes what people read,
what happens when, who is served what, or what the judge is asked. What takes a whole program or another system to see is
shown by the tests that are named here."""
# ruff: noqa: E501 - a test is named by its whole path

import ast
import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import fields, is_dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from core.files import build_plan
from core.files.checks import check_files
from core.files.kinds.bundle_file import BundleFile
from core.files.kinds.policy_file import PolicyFile, policy_from_file
from core.files.kinds.rollout_file import RolloutFile
from core.files.kinds.surface_file import SurfaceFile, surface_from_file
from core.files.read_file import MODELS_BY_KIND, parse_file
from core.files.syntax.problems import UnreadableFile, render_text
from core.metrics.own_metrics import OwnMetrics
from core.rollout.plans.plan import Plan
from core.rollout.plans.policy import Policy
from core.rollout.state.surface import Surface, SurfaceDeclared, evolve
from tests.files.conftest import NOW
from tests.files.plan_effects import yield_effects

ROOT = Path(__file__).parents[2]
COST = {"metric": "cost_per_request", "rises_by": "15%"}
LATENCY = {"metric": "latency_p95", "exceeds": "4000ms"}
ROLLOUT: dict[str, Any] = {
    "version": 1,
    "rollout": "tone",
    "surface": "support-assistant",
    "owner": "@dana",
    "risk": "standard",
    "change": {"from": "v42", "to": {"prompt": "Fix first."}},
    "behaviour_changes": [{"audience": "support", "text": "Answers start with the fix."}],
    "expectations": {"output_tokens": {"direction": "down", "range": ["-40%", "-20%"]}},
    "stages": [
        {"eval": {"min_pass_rate": "92%"}},
        {"safety": {"no_new_failures_in": "all"}},
        {"cost_latency": {"max_cost_rise": "25%"}},
        {"rollback_drill": {}},
        {"cohort": {"name": "internal", "where": {"internal": True}, "hold": "2h"}},
        {"canary": {"percent": 5, "min_hold": "6h"}},
        {"ab": {"percent": 20, "days": 7}},
        {"ramp": {"steps": ["50%", "100%"], "hold": "12h"}},
        {"bake": {"hold": "48h"}},
    ],
    "rollback_when": [{"metric": "eval_pass_rate", "drops_by": "2pp"}, COST, LATENCY],
    "hold_when": [{"metric": "retry_rate", "rises_by": "1pp"}],
    "notify": [
        {"channel": "#support", "as": "support", "before": "24h"},
        {"channel": "#ai-rollouts", "as": "engineering"},
    ],
}
SURFACE: dict[str, Any] = {
    "version": 1,
    "kind": "surface",
    "surface": "support-assistant",
    "owner": "@dana",
    "live": {"version": "v42", "prompt": "Old."},
    "notify": [
        {"channel": "#support", "as": "support"},
        {"channel": "#ai-rollouts", "as": "engineering"},
    ],
}
POLICY: dict[str, Any] = {
    "version": 1,
    "kind": "policy",
    "risk": {"low": {"approvals": 0}, "standard": {"approvals": 1}, "high": {"approvals": 2}},
    "freeze": [{"name": "weekend", "from": "Fri 16:00", "to": "Mon 08:00"}],
    "quiet_hours": {"from": "20:00", "to": "08:00"},
    "break_glass": {"groups": ["@ai-platform"]},
}
_OTHER_URL = "https://other.example.com"
DRIVEN: dict[str, dict[str, tuple[Any, Any]]] = {  # of each system its fields, with two values of each
    "unleash": {
        "url": ("https://flags.example.com", _OTHER_URL),
        "project": ("default", "other"),
        "environment": ("production", "staging"),
        "feature": ("new-prompt", "other"),
        "strategy": ("9c2d7a52-6f0e-4d4c-9df1-8a2f6c1b7e10", "1c2d7a52-6f0e-4d4c-9df1-8a2f6c1b7e10"),
    },
    "launchdarkly": {
        "url": ("https://app.launchdarkly.com", _OTHER_URL),
        "project": ("default", "other"),
        "environment": ("production", "staging"),
        "flag": ("new-prompt", "other"),
        "variation": ("5f0c-new", "5f0c-else"),
        "otherwise": ("5f0c-old", "5f0c-else"),
    },
    "growthbook": {
        "url": ("https://api.growthbook.io/api", _OTHER_URL),
        "feature": ("new-prompt", "other"),
        "rule": ("fr_1", "fr_2"),
    },
    "flagd": {
        "file": ("flags.json", "other.json"),
        "flag": ("new-prompt", "other"),
        "variant": ("fix-first", "else"),
        "otherwise": ("thanks-first", "else"),
    },
    "mlflow": {
        "url": ("https://mlflow.example.com", _OTHER_URL),
        "model": ("summarizer", "other"),
        "alias": ("production", "champion"),
        "version": (4, 5),
        "from": (3, 2),
        "moves": ("everyone", "first_stage"),
    },
    "langfuse": {
        "url": ("https://cloud.langfuse.com", _OTHER_URL),
        "prompt": ("support/assistant", "other"),
        "label": ("production", "eu"),
        "version": (4, 5),
        "from": (3, 2),
        "moves": ("everyone", "first_stage"),
    },
}
DRIVEN_FIELDS: dict[str, tuple[Any, Any]] = {
    f"drives.{system}.{name}": values for system, fields in DRIVEN.items() for name, values in fields.items()
}
REVERTING = {
    "github": {"repository": "acme/assistant", "pull_request": 881},
    "webhook": {"url": "https://deploy.example.com/hook"},
}
LIMITS: dict[str, tuple[Any, Any]] = {  # whole limits
    "metric": ({"metric": "retry_rate", "rises_by": "1pp"}, {"metric": "refusal_rate", "rises_by": "1pp"}),
    "drops_by": ({"metric": "accept_rate", "drops_by": "2pp"}, {"metric": "accept_rate", "drops_by": "3pp"}),
    "rises_by": ({"metric": "retry_rate", "rises_by": "1pp"}, {"metric": "retry_rate", "rises_by": "2pp"}),
    "changes_by": ({"metric": "retry_rate", "changes_by": "1pp"}, {"metric": "retry_rate", "changes_by": "2pp"}),
    "exceeds": ({"metric": "retry_rate", "exceeds": "5%"}, {"metric": "retry_rate", "exceeds": "6%"}),
    "rate_above": (
        {"metric": "new_error_category", "rate_above": "1%"},
        {"metric": "new_error_category", "rate_above": "2%"},
    ),
    "exceeds_normal_by": (
        {"metric": "complaint_rate", "exceeds_normal_by": "50%"},
        {"metric": "complaint_rate", "exceeds_normal_by": "60%"},
    ),
    "for": ({"metric": "retry_rate", "rises_by": "1pp", "for": "15m"}, {"metric": "retry_rate", "rises_by": "1pp"}),
    "min_events": (
        {"metric": "new_error_category", "rate_above": "1%", "min_events": 5},
        {"metric": "new_error_category", "rate_above": "1%", "min_events": 9},
    ),
    "confidence": (
        {"metric": "retry_rate", "rises_by": "1pp", "confidence": "strict"},
        {"metric": "retry_rate", "rises_by": "1pp"},
    ),
    "mode": (
        {"metric": "retry_rate", "rises_by": "1pp", "mode": "dry_run"},
        {"metric": "retry_rate", "rises_by": "1pp"},
    ),
}
PARTS: dict[str, tuple[Any, Any]] = {
    "version": ("v50", "v51"),
    "prompt": ("a", "b"),
    "model": ({"name": "x-2026-03-01"}, {"name": "y-2026-03-01"}),
    "params": ({"t": 1}, {"t": 2}),
    "tools": (["a"], ["b"]),
    "routing": ({"default": "a"}, {"default": "b"}),
    "code": ("build-77", "build-78"),
}
HELD = {"max_hold": ("30d", "40d"), "min_samples": (10, 20), "advance": ("auto", "approve")}
GATE = {
    "suite": ("a.yaml", "b.yaml"),
    "min_pass_rate": ("90%", "95%"),
    "no_new_failures_in": (["a"], ["b"]),
    "compare_to_current": (True, False),
    "by_lower_bound": (True, False),
}
NOTICE: dict[str, tuple[Any, Any]] = {
    "channel": ("#help", "#support"),
    "as": ("marketing", "support"),
    "before": ("2h", "3h"),
    "acknowledge": (True, False),
}
ROLE = {"groups": (["@a"], ["@b"]), "people": (["@a"], ["@b"]), "channels": (["#a"], ["#b"])}
RISK = {
    "approvals": (3, 4),
    "min_canary_hold": ("1h", "2h"),
    "may_skip": (["ab"], ["bake"]),
    "grow_on": ("shown", "time"),
}


def under(prefix: str, values: dict[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    return {f"{prefix}.{name}": pair for name, pair in values.items()}


OF_ROLLOUT: dict[str, tuple[Any, Any]] = {
    "version": (1, 2),
    "kind": ("rollout", "surface"),
    "rollout": ("tone", "voice"),
    "surface": ("support-assistant", "search"),
    "owner": ("@dana", "@lee"),
    "risk": ("standard", "high"),
    "template": ("prompt-standard", "tools-change"),
    "change.from": ("v42", "v41"),
    **under("change.to", PARTS),
    "change.why": ("a", "b"),
    "change.ticket": ("a", "b"),
    "change.deadline": ("2026-11-21", "2027-12-31"),
    "change.rollback_to_available_until": ("2026-11-21", "2027-12-31"),
    "behaviour_changes.text": ("Answers start with the fix.", "Answers end with a link."),
    "behaviour_changes.audience": ("support", "marketing"),
    "behaviour_changes.example_before": ("a", "b"),
    "behaviour_changes.example_after": ("a", "b"),
    "behaviour_changes.kind": ("changed", "unchanged"),
    "expectations.direction": ("down", "up"),
    "expectations.range": (["-40%", "-20%"], ["-30%", "-20%"]),
    **under("stages.eval", GATE),
    **under("stages.safety", GATE),
    **under(
        "stages.cost_latency",
        {"replay": ("a", "b"), "max_cost_rise": ("10%", "20%"), "max_p95_rise": ("10%", "20%")},
    ),
    "stages.rollback_drill.within": ("5s", "6s"),
    **under("stages.cohort", HELD),
    "stages.cohort.name": ("internal", "friends"),
    "stages.cohort.where": ({"internal": True}, {"plan": "beta"}),
    "stages.cohort.percent": (50, 40),
    "stages.cohort.steps": (["10%", "50%"], ["20%", "50%"]),
    "stages.cohort.hold": ("2h", "3h"),
    **under("stages.canary", HELD),
    "stages.canary.percent": (5, 4),
    "stages.canary.min_hold": ("6h", "7h"),
    **under("stages.ab", HELD),
    "stages.ab.percent": (20, 30),
    "stages.ab.days": (7, 14),
    "stages.ab.hold": (None, "7h"),  # beside days it is refused
    "stages.ab.decide_on": (["eval_pass_rate"], ["retry_rate"]),
    "stages.ab.early_win": ("never", "always"),
    "stages.ab.early_stop_on_harm": (True, False),
    **under("stages.ramp", HELD),
    "stages.ramp.steps": (["50%", "100%"], ["60%", "100%"]),
    "stages.ramp.hold": ("12h", "13h"),
    "stages.bake.hold": ("48h", "49h"),
    "stages.bake.advance": ("auto", "approve"),
    "assignment.unit": ("user", "account"),
    "assignment.control": ("concurrent", "matched"),
    "assignment.segments": (["plan"], ["language"]),
    "assignment.strata": ({"free": {"plan": "free"}}, {"free": {"plan": "trial"}}),
    "assignment.conversations": ("next_turn", "finish"),
    "assignment.finish_within": ("2h", "3h"),
    "holdout.percent": ("2%", "3%"),
    "holdout.for": ("30d", "90d"),
    "approvals.required": (1, 2),
    "approvals.groups": (["@a"], ["@b"]),
    "approvals.owner_may_approve": (True, False),
    **under("rollback_when", LIMITS),
    **under("hold_when", LIMITS),
    **under("notify", NOTICE),
    "start": ("2026-11-24 10:00", "2026-11-25 10:00"),
    **DRIVEN_FIELDS,
    "reverts.github.repository": ("acme/assistant", "acme/other"),
    "reverts.github.pull_request": (881, 882),
    "reverts.github.url": ("https://github.example.com/api/v3", "https://other.example.com"),
    "reverts.webhook.url": ("https://deploy.example.com/hook", "https://other.example.com"),
}
TESTERS: dict[str, tuple[Any, Any]] = {
    "testers.person": ("@kim", "@lee"),
    "testers.channel": ("#beta", "#gamma"),
    "testers.unit": ("user-1", "user-2"),
}
OF_ROLLOUT |= TESTERS
SOURCE: dict[str, Any] = {
    "name": "warehouse",
    "sql": {
        "url": "SOURCE_A_URL",
        "table": "requests",
        "rows": "requests",
        "unit": "user_id",
        "at": "at",
        "exposure": "exposure",
        "metrics": {"latency_ms": "duration"},
    },
}
TRACED: dict[str, Any] = {
    "url": "SOURCE_A_URL",
    "rows": "requests",
    "unit": "user",
    "exposure": "tag.exposure",
    "metrics": {"latency_ms": "latency_ms"},
}
TRACES: dict[str, dict[str, Any]] = {
    "langfuse": {"name": "traces", "langfuse": TRACED},
    "phoenix": {"name": "traces", "phoenix": {**TRACED, "project": "1"}},
    "mlflow": {"name": "traces", "mlflow": {**TRACED, "project": "1"}},
}
TRACE_FIELDS: dict[str, tuple[Any, Any]] = {
    "url": ("SOURCE_A_URL", "SOURCE_B_URL"),
    "rows": ("requests", "readings"),
    "unit": ("user", "session"),
    "exposure": ("tag.exposure", "metadata.exposure"),
    "variant": ("tag.a", "tag.b"),
    "version": ("version", "tag.version"),
    "id": ("trace", "request"),
    "segments": ({"language": "tag.a"}, {"language": "tag.b"}),
    "metrics": ({"latency_ms": "latency_ms"}, {"latency_ms": "metadata.ms"}),
}
COUNTERS: dict[str, Any] = {
    "name": "cluster-metrics",
    "prometheus": {
        "url": "SOURCE_A_URL",
        "exposure": "exposure",
        "metrics": {"latency_ms": {"histogram": "latency_seconds"}, "refusal_rate": {"counter": "a", "of": "b"}},
    },
}
SOURCES: dict[str, tuple[Any, Any]] = {
    "sources.name": ("a", "b"),
    "sources.every": ("5m", "6m"),
    "sources.delay": ("1m", "2m"),
    "sources.late": ("1h", "2h"),
    "sources.timeout": ("20s", "40s"),
    "sources.sql.url": ("SOURCE_A_URL", "SOURCE_B_URL"),
    "sources.sql.table": ("requests", "analytics.requests"),
    "sources.sql.select": ("SELECT * FROM a", "SELECT * FROM b"),
    "sources.sql.rows": ("requests", "readings"),
    "sources.sql.unit": ("a", "b"),
    "sources.sql.at": ("a", "b"),
    "sources.sql.exposure": ("a", "b"),
    "sources.sql.variant": ("a", "b"),
    "sources.sql.version": ("a", "b"),
    "sources.sql.id": ("a", "b"),
    "sources.sql.segments": ({"language": "a"}, {"language": "b"}),
    "sources.sql.metrics": ({"latency_ms": "a"}, {"latency_ms": "b"}),
    "sources.sql.metrics.numerator": ("a", "b"),
    "sources.sql.metrics.denominator": ("a", "b"),
    "sources.sql.error_category": ("a", "b"),
    "sources.prometheus.url": ("SOURCE_A_URL", "SOURCE_B_URL"),
    "sources.prometheus.exposure": ("exposure", "token"),
    "sources.prometheus.variant": ("variant", "arm"),
    "sources.prometheus.version": ("version", "release"),
    "sources.prometheus.match": ({"job": "a"}, {"job": "b"}),
    "sources.prometheus.requests": ("a", "b"),
    "sources.prometheus.requests_per_unit": (5, 20),
    "sources.prometheus.metrics.histogram": ("a", "b"),
    "sources.prometheus.metrics.scale": (1, 1000),
    "sources.prometheus.metrics.counter": ("a", "c"),
    "sources.prometheus.metrics.of": ("b", "c"),
    **{f"sources.{kind}.{name}": values for kind in TRACES for name, values in TRACE_FIELDS.items()},
    "sources.phoenix.project": ("a", "b"),
    "sources.mlflow.project": ("1", "2"),
}
METRICS: dict[str, tuple[Any, Any]] = {
    "metrics.name": ("answer_words", "answer_letters"),
    "metrics.kind": ("mean", "ratio"),
    "metrics.direction": ("up", "same"),
    "metrics.title": ("Length", "Size"),
    "metrics.unit": ("words", "letters"),
    "metrics.quantile": ("95%", "99%"),
    "metrics.class": ("limit", "signal"),
    "metrics.usual": (120, 130),
    "metrics.cap": (800, 900),
}
OF_SURFACE: dict[str, tuple[Any, Any]] = {
    "version": (1, 2),
    "kind": ("surface", "rollout"),
    "surface": ("support-assistant", "search"),
    "title": ("a", "b"),
    "owner": ("@dana", "@lee"),
    **under("live", PARTS),
    "daily_requests": (100, 200),
    "judging.judge": ("careful", "quick"),
    "judging.share": ("10%", "20%"),
    "judging.keep": ("7d", "8d"),
    "judging.most": (100, 200),
    "judging.anchors.id": ("a", "b"),
    "judging.anchors.question": ("How?", "Why?"),
    "judging.anchors.answer": ("So.", "Thus."),
    "judging.anchors.label": ("pass", "fail"),
    "judging.anchors_every": ("2h", "3h"),
    "judging.cost": ("$0.01", "$0.02"),
    "judging.cap": ("$5", "$6"),
    "judging.criteria.name": ("tone", "directness"),
    "judging.criteria.title": ("Tone", "Manner"),
    "judging.criteria.asks": ("Is it kind?", "Is it brief?"),
    **under("notify", NOTICE),
    "flows": ({"refunds": {"intent": "refund"}}, {"refunds": {"intent": "return"}}),
    **TESTERS,
    **SOURCES,
    **METRICS,
    "soft_errors.own": (["rude_tone"], ["wrong_price"]),
    "soft_errors.language": ("de", "segment"),
    "soft_errors.measure": ({"answer_words": "words"}, {"answer_words": "links"}),
    "soft_errors.schema": ({"type": "object"}, {"type": "array"}),
}
OF_POLICY: dict[str, tuple[Any, Any]] = {
    "version": (1, 2),
    "kind": ("policy", "rollout"),
    "timezone": ("UTC", "Europe/Berlin"),
    **under("roles.admin", ROLE),
    **under("roles.operator", ROLE),
    **under("roles.approver", ROLE),
    "roles.rollback.who": ("workspace_members", "admins"),
    **under("risk.low", RISK),
    **under("risk.standard", RISK),
    **under("risk.high", RISK),
    "max_step": ("2x", "3x"),
    "canary_percent.min": (1, 2),
    "canary_percent.max": (5, 6),
    "concurrency.per_surface": (1, 2),
    "concurrency.when_busy": ("refuse", "queue"),
    "freeze.name": ("a", "b"),
    "freeze.from": ("Fri 16:00", "Fri 17:00"),
    "freeze.to": ("Mon 08:00", "Mon 09:00"),
    "quiet_hours.from": ("20:00", "21:00"),
    "quiet_hours.to": ("08:00", "09:00"),
    "quiet_hours.applies_to": (["advance"], ["summary"]),
    "quiet_hours.never_applies_to": (["rollback", "alert"], ["alert"]),
    "break_glass.groups": (["@a"], ["@b"]),
    "break_glass.reason_min_chars": (10, 20),
    "break_glass.review_within": ("24h", "48h"),
    "summaries.first_day": ("1h", "2h"),
    "summaries.later": ("5h", "6h"),
    "approval_expires": ("1h", "2h"),
    "customers.keep": ("30d", "40d"),
    "customers.channels": (["#ai-rollouts"], ["#support"]),
    "when_unwatched": ("keep", "withdraw"),
    "layers": ({"chat": {"answers": "50%", "search": None}}, {"chat": {"answers": "40%", "search": None}}),
    "channels.engineering": ("#ai-rollouts", "#ai-changes"),
    "channels.leadership": ("#leadership", "#heads"),
    **METRICS,
}
FILES = ((RolloutFile, ROLLOUT, OF_ROLLOUT), (SurfaceFile, SURFACE, OF_SURFACE), (PolicyFile, POLICY, OF_POLICY))
CASES = [
    pytest.param(base, path, pair, id=f"{model.__name__}-{path}")
    for model, base, values in FILES
    for path, pair in values.items()
]

SHOWN_BY = {  # of fields that only a whole program or another system acts on, by how the names of their cases begin
    "RolloutFile-drives.unleash.": "tests/actuators/test_unleash.py::test_it_is_read_and_written_and_nothing_else_of_it_changes",
    "RolloutFile-drives.launchdarkly.": "tests/actuators/test_api_systems.py::test_it_is_read_and_written_and_read_back",
    "RolloutFile-drives.flagd.": "tests/actuators/test_flagd.py::test_the_evaluator_gives_out_what_was_written_and_growth_moves_nobody_back",
    "RolloutFile-reverts.github.": "tests/actuators/test_code_reverts.py::test_where_an_answer_was_lost_no_second_pull_request_is_opened",
    "RolloutFile-reverts.webhook.": "tests/actuators/test_code_reverts.py::test_the_webhook_is_signed_as_standard_webhooks_has_it",
    "RolloutFile-testers.unit": "tests/slack/test_testers.py::test_a_click_is_a_vote_with_the_arm_that_the_named_unit_gets",
    "RolloutFile-assignment.strata": "tests/rollout/test_strata.py::test_the_first_stratum_that_fits_is_the_one_that_counts",
    "SurfaceFile-testers.unit": "tests/slack/test_testers.py::test_a_click_is_a_vote_with_the_arm_that_the_named_unit_gets",
    "SurfaceFile-flows": "tests/http/test_critical_flows.py::test_a_flow_that_gets_worse_is_found_and_named_while_the_total_hides_it",
    "SurfaceFile-judging.judge": "tests/http/test_shadow_eval.py::test_what_is_no_verdict_of_this_judge_is_rejected_by_name",
    "SurfaceFile-judging.share": "tests/http/test_shadow_eval.py::test_both_arms_are_sampled_alike_and_what_a_judge_says_counts_where_it_was_given",
    "SurfaceFile-judging.keep": "tests/http/test_shadow_eval.py::test_texts_are_sealed_and_gone_when_their_time_is_over",
    "SurfaceFile-judging.most": "tests/http/test_shadow_eval.py::test_no_more_is_kept_than_the_surface_allows",
    "SurfaceFile-judging.anchors.": "tests/http/test_judge_anchors.py::test_anchors_are_handed_out_like_any_other_answer",
    "SurfaceFile-judging.anchors_every": "tests/http/test_judge_anchors.py::test_a_round_is_due_every_so_often_and_a_steady_judge_is_trusted",
    "SurfaceFile-judging.cost": "tests/http/test_judge_anchors.py::test_what_a_judge_tells_of_its_cost_takes_the_place_of_what_the_file_says",
    "SurfaceFile-judging.cap": "tests/http/test_judge_anchors.py::test_judging_stops_at_the_cap_and_says_how_far_it_went",
    "SurfaceFile-judging.criteria.asks": "tests/http/test_rubric.py::test_tasks_carry_the_criteria_of_the_rubric_and_scores_count_by_criterion",
    "SurfaceFile-sources.name": "tests/sources/test_pulling.py::test_what_a_source_counts_is_refused_by_name_where_it_is_sent",
    "SurfaceFile-sources.sql.": "tests/sources/test_equal_sums.py::test_the_same_rows_give_the_same_cells",
    "SurfaceFile-sources.prometheus.requests_per_unit": "tests/sources/test_prometheus.py::test_the_more_requests_count_as_one_the_more_are_needed",
    "SurfaceFile-sources.prometheus.": "tests/sources/test_prometheus.py::test_every_request_counts_once_over_restarts_however_pulls_are_cut",
    "SurfaceFile-sources.": "tests/sources/test_traces.py::test_what_is_pulled_equals_what_is_sent",
    "SurfaceFile-soft_errors.own": "tests/http/test_soft_errors.py::test_an_unknown_kind_counts_as_other_and_is_named_once",
    "SurfaceFile-soft_errors.": "tests/http/test_soft_errors.py::test_rules_look_at_every_answer_that_is_handed_in_once",
    "PolicyFile-roles.approver.channels": "tests/security/test_one_identity.py::test_a_role_may_name_its_channels_by_id",
    "PolicyFile-max_step": "tests/rollout/test_running.py::test_a_step_within_what_the_policy_allows_is_no_big_jump",
    "PolicyFile-concurrency.when_busy": "tests/rollout/test_start.py::test_where_the_policy_says_queue_a_start_waits_for_its_turn",
    "PolicyFile-customers.keep": "tests/http/test_customers.py::test_ids_are_deleted_when_their_time_is_over_and_when_somebody_asks",
    "PolicyFile-customers.channels": "tests/slack/test_app.py::test_a_list_of_customers_comes_in_pages_and_to_those_who_may",
    "PolicyFile-when_unwatched": "tests/trials/faults/test_informed.py::test_dead_workers_are_seen_and_where_the_policy_says_so_the_canary_is_withdrawn",
    "PolicyFile-layers": "tests/rollout/test_layers.py::test_no_unit_is_in_two_rollouts_of_a_layer_and_each_has_its_share",
    "PolicyFile-channels.engineering": "tests/slack/test_digest.py::test_it_is_posted_on_monday_at_nine_in_the_zone_of_the_policy",
    "PolicyFile-channels.leadership": "tests/slack/test_digest.py::test_leaders_read_one_line",
}


def inside(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in inside(argument)]


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        path = prefix + (field.alias or name)
        below = inside(field.annotation)
        for one in below:
            yield from leaves(one, f"{path}.")
        if not below:
            yield path


ALSO_PLAIN = {"sources.sql.metrics"}
"""Fields that are a value, too: one column, or the two of a ratio."""


def test_the_table_has_every_field_of_every_file() -> None:
    # a bundle has its rollouts in other documents: its fields are tried in test_bundle_file
    assert {model for model, _, _ in FILES} == set(MODELS_BY_KIND.values()) - {BundleFile}
    for model, _, values in FILES:
        # a field that is one item or a list of them leads to the same fields twice
        plain = ALSO_PLAIN if model is SurfaceFile else set()
        assert sorted({*leaves(model), *plain}) == sorted(values)


def written(base: dict[str, Any], path: str, value: Any) -> str:
    """The file with this value there; a limit stands for all of its entry, a stage for the entry of its kind."""
    data = deepcopy(base)
    if path.startswith("drives."):
        data["stages"] = [entry for entry in data["stages"] if "cohort" not in entry]
        system = path.split(".")[1]
        data["drives"] = {system: {name: values[0] for name, values in DRIVEN[system].items()}}
    if path == "assignment.finish_within":
        data["assignment"] = {"conversations": "finish"}
    if path.startswith("holdout."):
        data["holdout"] = {"percent": "5%", "for": "60d"}
    if path.startswith("customers."):
        data["customers"] = {"keep": "20d"}
    if path.startswith("judging."):
        data["judging"] = {"judge": "careful"}
    if path.startswith("judging.anchors"):
        data["judging"]["anchors"] = [{"id": f"a{number}", "answer": "Yes."} for number in range(10)]
    if path.startswith("judging.criteria."):
        data["judging"]["criteria"] = [{"name": "tone"}]
    if path.startswith("reverts."):
        data["change"]["to"]["code"] = "build-77"
        data["reverts"] = deepcopy(REVERTING)
    if path.startswith("sources."):
        kind = path.split(".")[1]
        data["sources"] = [deepcopy(COUNTERS if kind == "prometheus" else TRACES.get(kind, SOURCE))]
    if path in ("sources.prometheus.variant", "sources.prometheus.version"):
        del data["sources"][0]["prometheus"]["exposure"]
    if path == "sources.sql.select":
        del data["sources"][0]["sql"]["table"]
    if path.startswith("testers."):
        data["testers"] = [{} if path == "testers.channel" else {"person": "@kim"}]
    if path.startswith("metrics."):
        kind = "quantile" if path == "metrics.quantile" else "mean"
        data["metrics"] = [{"name": "answer_words", "kind": kind, "direction": "same", "unit": "words"}]
    at: Any = data
    *around, last = path.split(".")
    if around in (["rollback_when"], ["hold_when"]):
        at[around[0]][0] = value
        return json.dumps(data)
    for step in around:
        if isinstance(at, list):
            at = next(entry for entry in at if step in entry)
        at = at.setdefault(step, {})
        at = at["output_tokens"] if step == "expectations" else at
        if path.startswith("sources.sql.metrics.") and step == "metrics":
            data["metrics"] = [{"name": "cited", "kind": "ratio", "direction": "up", "unit": "claims"}]
            at = at.setdefault("cited", {"numerator": "x", "denominator": "y"})
        if path.startswith("sources.prometheus.metrics.") and step == "metrics":
            at = at["latency_ms" if last in ("histogram", "scale") else "refusal_rate"]
        listed = {"behaviour_changes", "notify", "freeze", "testers", "sources", "metrics", "criteria", "anchors"}
        at = at[0] if step in listed and isinstance(at, list) else at
    if value is None:
        at.pop(last, None)
    else:
        at[last] = value
    return json.dumps(data)


def name_user(handle: str) -> str:
    """The id of the user in Slack who has this handle."""
    return f"U0{handle[1:].upper()}"


def outcome(text: str, surface: Any, policy: Any) -> tuple[str, Any]:
    """(what is said, what it comes to)."""
    try:
        file = parse_file(text, "file.json")
        said = render_text(check_files.check(file, surface, policy, NOW))
        match file:
            case RolloutFile():
                return said, build_plan.build(file, surface, policy, resolve_handle=name_user)
            case SurfaceFile():
                return said, surface_from_file(file)
            case PolicyFile():
                return said, policy_from_file(file)
    except UnreadableFile as refusal:
        return str(refusal), None


def differing(one: Any, other: Any, name: str = "") -> set[str]:
    """The names of the attributes in which two values differ, as deep as they go."""
    if type(one) is type(other) and is_dataclass(one):
        return {found for f in fields(one) for found in differing(getattr(one, f.name), getattr(other, f.name), f.name)}
    if isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other):
        return {found for a, b in zip(one, other, strict=True) for found in differing(a, b, name)}
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return {found for key in one for found in differing(one[key], other[key], name)}
    return set() if one == other else {name}


@pytest.fixture(scope="module")
def used() -> set[str]:
    """Every attribute that is read by the program outside of what turns files into values and back."""
    turning = {"write_file.py", "build_plan.py", "fields.py"}
    return {
        node.attr
        for folder in ("core", "bot")
        for path in (ROOT / folder).rglob("*.py")
        if not ("files" in path.parts and (path.name in turning or path.stem.endswith(("_terms", "_file"))))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }


@pytest.mark.parametrize(("base", "path", "pair"), CASES)
def test_a_field_makes_a_difference(
    base: dict[str, Any],
    path: str,
    pair: tuple[Any, Any],
    surface: Any,
    policy: Any,
    used: set[str],
    request: pytest.FixtureRequest,
) -> None:
    quiet = replace(surface, daily_requests=None)
    first, second = (outcome(written(base, path, value), quiet, policy) for value in pair)
    assert first[1] is not None or second[1] is not None, first[0]
    assert first != second, "it is accepted and ignored"
    if first[0] != second[0]:
        return
    assert differing(first[1], second[1]) & used, "nothing reads what it comes to"
    if find_test(request.node.callspec.id) is None:
        both = zip_longest(*(effects(one[1], path, surface, policy) for one in (first, second)))
        assert any(one != other for one, other in both), "nobody would notice"


def effects(made: Any, path: str, surface: Surface, policy: Policy) -> Iterator[object]:
    """What a plan, or one on this surface or under this policy, comes to."""
    if isinstance(made, Plan):
        yield from yield_effects(made, surface, policy, NOW)
        return
    surface = evolve(None, made) if isinstance(made, SurfaceDeclared) else surface
    policy = made if isinstance(made, Policy) else policy
    data = deepcopy(ROLLOUT)
    data["risk"] = path.split(".")[1] if path.startswith("risk.") else "standard"
    data["stages"] = [entry for entry in data["stages"] if "cohort" not in entry]
    next(entry for entry in data["stages"] if "canary" in entry)["canary"] = {"percent": 5.5, "min_hold": "90m"}
    for inherited in ("owner", "notify") if isinstance(made, SurfaceDeclared) else ():
        del data[inherited]
    if path.startswith("metrics."):
        data["rollback_when"] = [{"metric": "answer_words", "rises_by": "10%"}]
    own = OwnMetrics(everywhere=policy.metrics or (), by_surface={surface.name: surface.metrics or ()})
    try:
        file = parse_file(json.dumps(data), "file.json", own_metrics=own)
        assert isinstance(file, RolloutFile)
        yield render_text(check_files.check(file, surface, policy, NOW))
        yield from yield_effects(
            build_plan.build(file, surface, policy, resolve_handle=name_user), surface, policy, NOW
        )
    except UnreadableFile as refusal:
        yield str(refusal)


def find_test(field: str) -> str | None:
    """The test elsewhere that shows what this field changes."""
    return next((test for start, test in SHOWN_BY.items() if field.startswith(start)), None)


def test_what_is_shown_elsewhere_is() -> None:
    for start, test in SHOWN_BY.items():
        assert any(str(case.id).startswith(start) for case in CASES), start
        path, _, name = test.partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test
