"""A limit or an expectation in the wrong unit is told what to write."""

# ruff: noqa: E501  (what people see is quoted whole)

import pytest
from inline_snapshot import snapshot


def test_limits(small, refused):
    text = small(
        (
            "  - {metric: eval_pass_rate, drops_by: 2pp}\n",
            "  - {metric: eval_pass_rate, drops_by: 2}\n"
            "  - {metric: eval_pass_rate, drops_by: 200ms}\n"
            "  - {metric: eval_pass_rate}\n"
            "  - {metric: eval_pass_rate, drops_by: 2pp, changes_by: 2pp}\n"
            "  - {metric: refusal_rate, exceeds: 5}\n"
            "  - {metric: refusal_rate, rises_by: 100pp}\n"
            "  - {metric: output_tokens, changes_by: 5pp}\n"
            "  - {metric: output_tokens, rises_by: 20}\n"
            "  - {metric: cost_per_request, exceeds: 0.02}\n"
            "  - {metric: cost_per_request, exceeds: 15%}\n"
            "  - {metric: latency_p95, exceeds: $4}\n"
            "  - {metric: latency_p95, drops_by: 0%}\n"
            "  - {metric: latency_p95, rises_by: -5%}\n"
            "  - {metric: new_error_category, rises_by: 5%}\n"
            "  - {metric: refusal_rate, rate_above: 1%}\n"
            "  - {metric: new_error_category, rate_above: 0.2, min_events: 0}\n"
            "  - {metric: complaint_rate, exceeds_normal_by: 2pp}\n"
            "  - {metric: complaint_rate, exceeds_normal_by: half}\n"
            "  - {metric: retry_rate, rises_by: 1pp, min_events: 5}\n"
            "  - {metric: retry_rate, rises_by: 1pp, confidence: sure, mode: dryrun}\n",
        ),
    )
    assert refused(text) == snapshot("""\
bad.yaml:19:30: rollback_when.0.drops_by: 2 what? write 2pp (points) or 2% (relative)
      - {metric: eval_pass_rate, drops_by: 2}
                                 ^
bad.yaml:20:30: rollback_when.1.drops_by: 200ms does not suit drops_by, which compares: write a percentage such as 15%
      - {metric: eval_pass_rate, drops_by: 200ms}
                                 ^
bad.yaml:21:6: rollback_when.2.metric: a limit needs one of drops_by, rises_by, changes_by, exceeds, rate_above, exceeds_normal_by
      - {metric: eval_pass_rate}
         ^
bad.yaml:22:45: rollback_when.3.changes_by: one limit, one kind: this has drops_by already; write "changes_by" as its own limit
      - {metric: eval_pass_rate, drops_by: 2pp, changes_by: 2pp}
                                                ^
bad.yaml:23:28: rollback_when.4.exceeds: 5 what? write 5%
      - {metric: refusal_rate, exceeds: 5}
                               ^
bad.yaml:24:28: rollback_when.5.rises_by: 100pp is the whole scale: this limit could never be violated
      - {metric: refusal_rate, rises_by: 100pp}
                               ^
bad.yaml:25:29: rollback_when.6.changes_by: "output_tokens" has no percentage points: write 5% (relative)
      - {metric: output_tokens, changes_by: 5pp}
                                ^
bad.yaml:26:29: rollback_when.7.rises_by: 20 what? write 20% (relative to control)
      - {metric: output_tokens, rises_by: 20}
                                ^
bad.yaml:27:32: rollback_when.8.exceeds: 0.02 what? cost_per_request is in dollars, such as $0.02
      - {metric: cost_per_request, exceeds: 0.02}
                                   ^
bad.yaml:28:32: rollback_when.9.exceeds: 15% does not suit exceeds, which is absolute: cost_per_request is in dollars, such as $0.02
      - {metric: cost_per_request, exceeds: 15%}
                                   ^
bad.yaml:29:27: rollback_when.10.exceeds: $4 does not suit exceeds, which is absolute: latency_p95 is in milliseconds, such as 4000ms
      - {metric: latency_p95, exceeds: $4}
                              ^
bad.yaml:30:27: rollback_when.11.drops_by: 0% must be above zero; the kind of limit gives the direction
      - {metric: latency_p95, drops_by: 0%}
                              ^
bad.yaml:31:27: rollback_when.12.rises_by: -5% must be above zero; the kind of limit gives the direction
      - {metric: latency_p95, rises_by: -5%}
                              ^
bad.yaml:32:34: rollback_when.13.rises_by: new_error_category has no rises_by: write rate_above: 0.2%
      - {metric: new_error_category, rises_by: 5%}
                                     ^
bad.yaml:33:28: rollback_when.14.rate_above: rate_above is for new_error_category; for "refusal_rate" write exceeds
      - {metric: refusal_rate, rate_above: 1%}
                               ^
bad.yaml:34:63: rollback_when.15.min_events: Input should be greater than or equal to 1
      - {metric: new_error_category, rate_above: 0.2, min_events: 0}
                                                                  ^
bad.yaml:35:30: rollback_when.16.exceeds_normal_by: 2pp does not suit exceeds_normal_by, which compares: write a percentage such as 15%
      - {metric: complaint_rate, exceeds_normal_by: 2pp}
                                 ^
bad.yaml:36:49: rollback_when.17.exceeds_normal_by: "half" is not an amount: write 2pp, 15%, 4000ms, $0.02 or 1.5x
      - {metric: complaint_rate, exceeds_normal_by: half}
                                                    ^
bad.yaml:37:41: rollback_when.18.min_events: min_events goes with rate_above only
      - {metric: retry_rate, rises_by: 1pp, min_events: 5}
                                            ^
bad.yaml:38:53: rollback_when.19.confidence: Input should be 'any_harm' or 'strict'
      - {metric: retry_rate, rises_by: 1pp, confidence: sure, mode: dryrun}
                                                        ^
bad.yaml:38:65: rollback_when.19.mode: Input should be 'act' or 'dry_run'. Did you mean "dry_run"?
      - {metric: retry_rate, rises_by: 1pp, confidence: sure, mode: dryrun}
                                                                    ^
bad.yaml 21 problems\
""")


@pytest.mark.shows("E46")
def test_without_limits_nothing_is_read(small, refused):
    head, _, tail = small().partition("rollback_when:")
    assert refused(head + "notify:" + tail.partition("notify:")[2]) == snapshot("""\
bad.yaml:1:1: rollback_when: no rollback limits: nothing would stop this. Write at least one for quality, one for cost and one for latency
    version: 1
    ^
bad.yaml 1 problem\
""")
    assert refused(head + "rollback_when: []\nnotify:" + tail.partition("notify:")[2]) == snapshot("""\
bad.yaml:18:16: rollback_when: no rollback limits: nothing would stop this. Write at least one for quality, one for cost and one for latency
    rollback_when: []
                   ^
bad.yaml 1 problem\
""")


def test_expectations(small, refused):
    text = small(
        (
            "  cost_per_request: {direction: down, range: [-20%, -5%]}",
            "  cost_per_request: {direction: down, range: [5%, 20%]}\n"
            "  latency_p95: {direction: up, range: [20%, 5%]}\n"
            "  eval_pass_rate: {direction: up, range: [1pp, 5%]}\n"
            "  refusal_rate: {direction: up, range: [1, 5]}\n"
            "  retry_rate: {direction: up, range: [1%]}",
        )
    )
    assert refused(text) == snapshot("""\
bad.yaml:12:39: expectations.cost_per_request.range: the range contradicts the direction, down
      cost_per_request: {direction: down, range: [5%, 20%]}
                                          ^
bad.yaml:13:32: expectations.latency_p95.range: the lower end comes first: [-20%, -5%]
      latency_p95: {direction: up, range: [20%, 5%]}
                                   ^
bad.yaml:14:35: expectations.eval_pass_rate.range: write both ends in pp (points) or both in % (relative): [-20%, -5%]
      eval_pass_rate: {direction: up, range: [1pp, 5%]}
                                      ^
bad.yaml:15:33: expectations.refusal_rate.range: write both ends in pp (points) or both in % (relative): [-20%, -5%]
      refusal_rate: {direction: up, range: [1, 5]}
                                    ^
bad.yaml:16:38: expectations.retry_rate.range.1: Field required
      retry_rate: {direction: up, range: [1%]}
                                         ^
bad.yaml 5 problems\
""")
