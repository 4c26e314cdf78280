"""Every mistake in a file is told with its line, its column, a caret and what to write."""

# ruff: noqa: E501  (what people see is quoted whole)

import json

import pytest
from inline_snapshot import snapshot

from core.files.kinds.policy_file import PolicyFile
from core.files.kinds.rollout_file import RolloutFile
from core.files.kinds.surface_file import SurfaceFile
from core.files.read_file import parse_file
from core.files.syntax.problems import FileProblem, UnreadableFile, render_github, render_text, to_json


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("prompt-change.yaml", RolloutFile),
        ("model-upgrade.yaml", RolloutFile),
        ("policy.yaml", PolicyFile),
        ("surface.yaml", SurfaceFile),
    ],
)
def test_a_good_file_is_read_as_what_it_is(files, name, kind):
    assert isinstance(parse_file(files(name), name), kind)


def test_the_mistakes_of_a_hurried_afternoon_all_at_once(files, refused):
    text = files("prompt-change.yaml")
    for old, new in [
        ("surface:", "surfce:"),
        ("risk: standard ", "risk: medium "),
        ("drops_by: 2pp}", "drop_by: 2pp}"),
        ("latency_p95,      exceeds", "latency_p59,      exceeds"),
    ]:
        text = text.replace(old, new, 1)
    assert refused(text) == snapshot("""\
bad.yaml:2:1: surface: Field required
    version: 1
    ^
bad.yaml:4:1: surfce: unknown field "surfce". Did you mean "surface"?
    surfce: support-assistant            # which AI feature this changes
    ^
bad.yaml:6:7: risk: Input should be 'low', 'standard' or 'high'
    risk: medium                        # low | standard | high
          ^
bad.yaml:53:32: rollback_when.0.drop_by: unknown field "drop_by". Did you mean "drops_by"?
      - {metric: eval_pass_rate,   drop_by: 2pp}
                                   ^
bad.yaml:55:14: rollback_when.2.metric: unknown metric "latency_p59" Did you mean "latency_p95"?
      - {metric: latency_p59,      exceeds: 4000ms, for: 15m}
                 ^
bad.yaml 5 problems\
""")


def test_fields(small, refused):
    text = small(
        ("version: 1", "version: 2"),
        ("rollout: small", "rollout: 2026"),
        ('owner: "@dana"', "owner: dana"),
        ("change:\n", "tempalte: prompt-standard\nchange:\n"),
        ("from: support-assistant@v42", "form: v42"),
        ("audience: support", "audience: suport"),
        ("cost_per_request: {direction", "cost_per_reqest: {direction"),
        ('channel: "#support"', "channel: support"),
        ("as: support", "as: customers"),
        ("before: 24h", "before: 24"),
    )
    assert refused(text) == snapshot("""\
bad.yaml:1:10: version: Input should be 1
    version: 2
             ^
bad.yaml:2:10: rollout: Input should be a valid string: write "2026", in quotes
    rollout: 2026
             ^
bad.yaml:4:8: owner: "dana" is not a person: write a Slack handle like "@dana", or a user id
    owner: dana
           ^
bad.yaml:6:1: tempalte: unknown field "tempalte". Did you mean "template"?
    tempalte: prompt-standard
    ^
bad.yaml:8:3: change.from: Field required
      form: v42
      ^
bad.yaml:8:3: change.form: unknown field "form". Did you mean "from"?
      form: v42
      ^
bad.yaml:11:16: behaviour_changes.0.audience.0: Input should be 'engineering', 'support', 'marketing', 'downstream' or 'all'. Did you mean "support"?
      - {audience: suport, text: "Answers start with the fix."}
                   ^
bad.yaml:13:3: expectations.cost_per_reqest: unknown metric "cost_per_reqest" Did you mean "cost_per_request"?
      cost_per_reqest: {direction: down, range: [-20%, -5%]}
      ^
bad.yaml:25:15: notify.1.channel: "support" is not a channel: write it with a #, in quotes, like "#support"
      - {channel: support, as: customers, before: 24}
                  ^
bad.yaml:25:28: notify.1.as: Input should be 'engineering', 'support', 'marketing' or 'downstream'
      - {channel: support, as: customers, before: 24}
                               ^
bad.yaml:25:47: notify.1.before: 24 what? write 24s, 24m, 24h or 24d
      - {channel: support, as: customers, before: 24}
                                                  ^
bad.yaml 11 problems\
""")


def test_stages(small, refused):
    text = small(
        (
            "  - cohort: {name: internal, where: {email_domain: example.com}, hold: 2h}",
            "  - eval: {min_pass_rate: 0.92}\n  - cohort: {name: internal, hold: 2h}\n  - cohort: {name: x, where: {}}",
        ),
        ("max_hold: 24h", "max_hold: 2h"),
        (
            "steps: [25%, 100%], hold: 1h",
            "steps: [25pp, 100%], hold: -1h, advance: manual",
        ),
        (
            "  - bake: {hold: 2h}",
            "  - canary: {percent: 5}\n    bake: {hold: 1h}\n  - bkae: {hold: 2h}\n  - ab: {percent: 50}\n  - {}\n  - 5",
        ),
    )
    assert refused(text) == snapshot("""\
bad.yaml:14:27: stages.0.eval.min_pass_rate: 0.92 what? write 92%
      - eval: {min_pass_rate: 0.92}
                              ^
bad.yaml:15:13: stages.1.cohort.where: a cohort needs `where`: who is in it, such as where: {email_domain: example.com}
      - cohort: {name: internal, hold: 2h}
                ^
bad.yaml:16:30: stages.2.cohort.where: a cohort needs `where`: who is in it, such as where: {email_domain: example.com}
      - cohort: {name: x, where: {}}
                                 ^
bad.yaml:17:40: stages.3.canary.max_hold: max_hold is shorter than the minimum hold: this stage could never be left
      - canary: {percent: 5, min_hold: 6h, max_hold: 2h, min_samples: 1500}
                                           ^
bad.yaml:18:20: stages.4.ramp.steps.0: "25pp" is not a percentage: write 5 or 5%
      - ramp: {steps: [25pp, 100%], hold: -1h, advance: manual}
                       ^
bad.yaml:18:39: stages.4.ramp.hold: "-1h" is negative: write 2s, 15m, 6h or 7d
      - ramp: {steps: [25pp, 100%], hold: -1h, advance: manual}
                                          ^
bad.yaml:18:53: stages.4.ramp.advance: Input should be 'auto' or 'approve'
      - ramp: {steps: [25pp, 100%], hold: -1h, advance: manual}
                                                        ^
bad.yaml:20:5: stages.5.bake: one stage per entry: begin a new entry with "- bake:"
        bake: {hold: 1h}
        ^
bad.yaml:21:5: stages.6.bkae: unknown field "bkae". Did you mean "bake"?
      - bkae: {hold: 2h}
        ^
bad.yaml:22:10: stages.7.ab.percent: an ab stage needs its length: days: 14, or hold: 2h, not both
      - ab: {percent: 50}
             ^
bad.yaml:23:5: stages.8: a stage is one of eval, safety, cost_latency, rollback_drill, cohort, canary, ab, ramp, bake, with its terms: canary: {percent: 5}
      - {}
        ^
bad.yaml:24:5: stages.9: this should contain fields such as eval, safety, cost_latency, rollback_drill
      - 5
        ^
bad.yaml 12 problems\
""")


def test_starts(small, refused):
    for start in ("tomorrow", "2026-02-30 10:00", "2026-11-24 10:00 Europe/Berln", "2027-03-28 02:30 Europe/Berlin"):
        assert "start" in refused(small() + f'start: "{start}"\n')
    assert refused(small() + "start: 2026-11-24\n") == snapshot("""\
bad.yaml:25:8: start: "2026-11-24" is not a start: write "2026-11-24 10:00 Europe/Berlin"
    start: 2026-11-24
           ^
bad.yaml 1 problem\
""")


def test_surfaces(files, refused):
    text = files("surface.yaml")
    for old, new in [
        ("version: v42", "vresion: v42"),
        ("tools: [lookup_order, search_help]", "tools: lookup_order"),
        ("daily_requests: 166000 ", "daily_requests: -1 "),
        ('owner: "@dana"', 'owner: "dana"'),
    ]:
        text = text.replace(old, new, 1)
    assert refused(text) == snapshot("""\
bad.yaml:6:8: owner: "dana" is not a person: write a Slack handle like "@dana", or a user id
    owner: "dana"
           ^
bad.yaml:8:3: live.version: Field required
      vresion: v42
      ^
bad.yaml:8:3: live.vresion: unknown field "vresion". Did you mean "version"?
      vresion: v42
      ^
bad.yaml:12:10: live.tools: this should be a list: [a, b], or lines that begin with "- "
      tools: lookup_order
             ^
bad.yaml:14:17: daily_requests: Input should be greater than or equal to 1
    daily_requests: -1                # for planning until real traffic is known
                    ^
bad.yaml 5 problems\
""")


def test_policies(files, refused):
    text = files("policy.yaml")
    for old, new in [
        ("Europe/Berlin", "Berlin"),
        ("{who: workspace_members}", '{groups: ["@ai-platform"]}'),
        ("may_skip: [cohort, bake]", "may_skip: [cohorts]"),
        ("2.5x ", "2.5 "),
        ("max: 5", "max: 60"),
        ("when_busy: queue", "when_busy: wait"),
        ('to: "Mon 08:00"', "to: 2026-12-01"),
        ("to: 2027-01-04", "to: 2026-12-01"),
        ('{from: "20:00"', '{from: "8pm"'),
        ("applies_to: [advance, summary], never", "applies_to: [advance, rollback], never"),
    ]:
        assert old in text, old
        text = text.replace(old, new, 1)
    assert refused(text) == snapshot("""\
bad.yaml:3:11: timezone: "Berlin" is not a time zone: write one such as Europe/Berlin
    timezone: Berlin
              ^
bad.yaml:8:14: roles.rollback.groups: rolling back stays open to everybody in the workspace: it cannot be restricted
      rollback: {groups: ["@ai-platform"]}       # never narrower than this without --i-understand
                 ^
bad.yaml:10:61: risk.low.may_skip.0: Input should be 'eval', 'safety', 'cost_latency', 'rollback_drill', 'cohort', 'canary', 'ab', 'ramp' or 'bake'. Did you mean "cohort"?
      low:      {approvals: 0, min_canary_hold: 1h,  may_skip: [cohorts]}
                                                                ^
bad.yaml:13:11: max_step: "2.5" is not a factor above 1: write 2.5x
    max_step: 2.5                              # 10% -> 25% is fine, 10% -> 50% needs a reason
              ^
bad.yaml:14:26: canary_percent.max: a canary is at most 50%, so that a control of its size is left
    canary_percent: {min: 1, max: 60}
                             ^
bad.yaml:15:42: concurrency.when_busy: Input should be 'refuse' or 'queue'
    concurrency: {per_surface: 1, when_busy: wait}
                                             ^
bad.yaml:17:40: freeze.0.to: write both ends as hours of the week, or both as dates
      - {name: weekend, from: "Fri 16:00", to: 2026-12-01}
                                           ^
bad.yaml:18:40: freeze.1.to: the freeze ends before it begins, or is empty
      - {name: year-end, from: 2026-12-18, to: 2026-12-01}
                                           ^
bad.yaml:19:21: quiet_hours.from: "8pm" is not a time of day: write "20:00"
    quiet_hours: {from: "8pm", to: "08:00", applies_to: [advance, rollback], never_applies_to: [rollback, alert]}
                        ^
bad.yaml:19:63: quiet_hours.applies_to.1: Input should be 'advance' or 'summary'
    quiet_hours: {from: "8pm", to: "08:00", applies_to: [advance, rollback], never_applies_to: [rollback, alert]}
                                                                  ^
bad.yaml 10 problems\
""")


@pytest.mark.parametrize("year", ["0001", "1999", "3000", "9999"])
def test_a_start_in_a_year_that_nothing_can_follow_is_refused(small, refused, year):
    assert "write a year from 2000 to 2999" in refused(small() + f"start: {year}-12-30 10:00\n")


def test_a_freeze_that_never_ends_is_refused(files, refused):
    """Beyond the last day that a clock can show there would be no earliest start to name."""
    text = files("policy.yaml").replace("to: 2027-01-04", "to: 9999-12-31")
    assert "freeze.1.to: write a day before 3000-01-01" in refused(text)


def test_quiet_hours_of_no_length_are_refused(files, refused):
    text = files("policy.yaml").replace('to: "08:00", applies', 'to: "20:00", applies')
    assert "quiet_hours.to: quiet hours that end when they begin are none" in refused(text)


def test_what_a_file_is_must_be_clear(refused):
    assert refused("version: 1\nkind: surfaces\n") == snapshot("""\
bad.yaml:2:7: kind: unknown kind "surfaces": write rollout, bundle, surface or policy. Did you mean "surface"?
    kind: surfaces
          ^
bad.yaml 1 problem\
""")
    assert refused("version: 1\n") == snapshot("""\
bad.yaml:1:1: this is not a rollout (rollout: …), a bundle (bundle: …), a surface (kind: surface) or a policy (kind: policy)
    version: 1
    ^
bad.yaml 1 problem\
""")
    assert refused("- version: 1\n") == snapshot("""\
bad.yaml:1:1: a file is a list of fields, such as version: 1
    - version: 1
    ^
bad.yaml 1 problem\
""")
    assert refused("hello") == snapshot("""\
bad.yaml:1:1: a file is a list of fields, such as version: 1
    hello
    ^
bad.yaml 1 problem\
""")


def test_a_file_without_kind_is_what_its_fields_say():
    assert isinstance(parse_file("version: 1\ntimezone: Europe/Berlin\n", "p"), PolicyFile)
    with pytest.raises(UnreadableFile, match="live: Field required"):
        parse_file("kind: surface\nversion: 1\nsurface: a\nowner: '@dana'\n", "s")


def test_json_is_read_like_yaml(files):
    file = parse_file(files("prompt-change.yaml"), "a.yaml")
    again = parse_file(json.dumps(file.source.data, indent="\t"), "a.json")
    assert dict(again) == dict(file)
    assert again.fingerprint == file.fingerprint


def test_programs_get_a_pointer_and_reviews_get_an_annotation():
    problem = FileProblem(
        file="a,b.yaml", line=3, column=7, path=("change", "to", "a/b"), message="50% wrong\nreally", source_line="x"
    )
    assert to_json(problem)["pointer"] == "/change/to/a~1b"
    assert render_github([problem]) == snapshot(
        "::error file=a%2Cb.yaml,line=3,col=7,title=change.to.a/b::50%25 wrong%0Areally"
    )
    assert render_text([]) == ""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("who: workspace_members", "who: admins", "rolling back stays open to everybody"),
        ("per_surface: 1", "per_surface: 2", "one rollout at a time runs on a surface"),
        ("never_applies_to: [rollback, alert]", "never_applies_to: [alert]", "neither rollbacks nor alerts ever wait"),
    ],
)
def test_a_field_with_one_value_says_why_there_is_no_other(files, refused, old, new, said):
    text = files("policy.yaml")
    assert old in text
    assert said in refused(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("early_win: never", "early_win: always", "decided only at its end"),
        ("early_stop_on_harm: true", "early_stop_on_harm: false", "cannot be switched off"),
    ],
)
def test_an_ab_says_why_it_cannot_be_otherwise(files, refused, old, new, said):
    text = files("model-upgrade.yaml")
    assert old in text
    assert said in refused(text.replace(old, new))


def test_people_are_chosen_by_what_was_written(files, refused):
    """1.10 and 1.1 are two versions of an app, and NO is Norway."""
    small = files("prompt-change.yaml")
    text = small.replace("{email_domain: example.com}", "{app_version: [1.10, 2.0]}")
    assert text != small
    assert '"1.10" is the number 1.1 here: write "1.10", in quotes' in refused(text)
    assert '"NO" is false in YAML' in refused(text.replace("[1.10, 2.0]", "[SE, NO]"))
    parse_file(text.replace("[1.10, 2.0]", '["1.10", 2.5, SE]'), "r")


def test_a_word_that_is_a_number_is_asked_for_as_it_was_written(refused):
    assert 'write "1.10", in quotes' in refused("version: 1\nkind: surface\nsurface: a\ntitle: 1.10\n")
