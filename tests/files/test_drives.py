"""A flag system that a rollout drives: how a file names it, and what it cannot express."""

# ruff: noqa: E501  (what people see is quoted whole)

import textwrap
from dataclasses import replace

import pytest
from inline_snapshot import snapshot

from core.files.write_file import export_plan
from core.rollout.plans.plan import DrivenFlag

DRIVES = """\
drives:
  unleash:
    url: https://Flags.example.com/
    environment: production
    feature: new-prompt
    strategy: 9c2d7a52-6f0e-4d4c-9df1-8a2f6c1b7e10
"""
COHORT = "  - cohort: {name: internal, where: {email_domain: example.com}, hold: 2h}\n"
DRIVEN = DrivenFlag(
    url="https://flags.example.com",
    project="default",
    environment="production",
    feature="new-prompt",
    strategy="9c2d7a52-6f0e-4d4c-9df1-8a2f6c1b7e10",
    system="unleash",
)


@pytest.fixture
def driving(small):
    """The small file, which drives a flag and lets no cohort in."""

    def edited(*edits):
        text = small((COHORT, "")) + DRIVES
        for old, new in edits:
            assert old in text, old
            text = text.replace(old, new)
        return text

    return edited


def test_it_is_part_of_the_plan_and_of_what_is_approved(driving, small, built):
    plan, without = built(driving()), built(small((COHORT, "")))
    assert plan.drives == DRIVEN
    assert replace(plan, drives=None) == without
    assert plan.fingerprint() != without.fingerprint()
    assert built(driving(("new-prompt", "newer-prompt"))).fingerprint() != plan.fingerprint()


def test_a_plan_that_drives_nothing_keeps_the_fingerprint_it_always_had(small, built):
    assert built(small()).fingerprint() == snapshot("9405de72540c7e2a")


def test_it_survives_the_round_trip(driving, built):
    plan = built(driving())
    assert built(export_plan(plan)) == plan
    assert "drives" not in export_plan(replace(plan, drives=None))


def test_the_good_file_has_nothing_to_say(driving, checked):
    assert checked(driving()) == ""


def test_what_another_system_s_percentage_cannot_express_is_refused(driving, small, checked):
    assert checked(small() + DRIVES) == snapshot("""\
bad.yaml:14:5: stages.0.cohort: a cohort cannot be driven: the flag system splits by its own percentage and has no `where`. Remove the stage, or remove `drives`
      - cohort: {name: internal, where: {email_domain: example.com}, hold: 2h}
        ^
bad.yaml 1 problem\
""")
    assert checked(driving(("percent: 5", "percent: 2.5"), ("[25%,", "[25.5%,"))) == snapshot("""\
bad.yaml:14:5: stages.0.canary: Unleash takes whole percentages only, not 2.5%
      - canary: {percent: 2.5, min_hold: 6h, max_hold: 24h, min_samples: 1500}
        ^
bad.yaml:15:5: stages.1.ramp: Unleash takes whole percentages only, not 25.5%
      - ramp: {steps: [25.5%, 100%], hold: 1h}
        ^
bad.yaml 2 problems\
""")
    assert checked(driving(("drives:", "assignment: {control: matched}\ndrives:"))) == snapshot("""\
bad.yaml:24:23: assignment.control: an equal-size control cannot be driven: the flag system knows only who has the new version and who does not. Write `control: concurrent`
    assignment: {control: matched}
                          ^
bad.yaml 1 problem\
""")


def test_a_cohort_that_comes_from_the_template_is_refused_too(driving, checked):
    head, _, tail = driving().partition("stages:")
    assert "a cohort cannot be driven" in checked(f"{head}rollback_when:{tail.partition('rollback_when:')[2]}")


@pytest.mark.parametrize(
    "url",
    [
        "flags.example.com",
        "ftp://flags.example.com",
        "https://",
        "https://dana:secret@flags.example.com",
        "https://flags.example.com?x=1",
        "https://flags.example.com#x",
        "https://flags.example.com/..",
        "https://flags.example.com/a/../b",
        "https://flags.example.com:port",
        "https://flags.exämple.com",
        "https://flags.example.com\\\\@evil.example",
        "https://flags .example.com",
        "'1'",
    ],
)
def test_an_address_is_one_and_nothing_more(driving, refused, url):
    said = refused(driving(("https://Flags.example.com/", f'"{url}"')))
    assert "drives.unleash.url" in said
    assert "secret" not in said.splitlines()[0]


@pytest.mark.parametrize("name", ["../../admin", "a/b", "a?b", "", ".."])
def test_a_name_cannot_lead_elsewhere(driving, refused, name):
    assert "drives.unleash.feature" in refused(driving(("feature: new-prompt", f'feature: "{name}"')))


def in_a_list(text):
    """The same entry, and a second flag after it."""
    entry = textwrap.indent(text.partition("drives:\n")[2], "  ")
    first = entry.replace("    unleash", "  - unleash", 1)
    second = first.replace("new-prompt", "new-tools").replace("9c2d7a52", "1111aaaa")
    return text.partition("drives:\n")[0] + f"drives:\n{first}{second}"


def test_one_rollout_drives_several(driving, built, checked):
    text = in_a_list(driving())
    assert checked(text) == ""
    plan = built(text)
    assert [one.feature for one in plan.driven] == ["new-prompt", "new-tools"]
    assert built(export_plan(plan)) == plan
    assert plan.fingerprint() != built(driving()).fingerprint()


def test_a_list_of_one_is_the_same_plan(driving, built):
    head, _, entry = driving().partition("drives:\n")
    listed = head + "drives:\n" + textwrap.indent(entry, "  ").replace("    unleash", "  - unleash", 1)
    assert built(listed) == built(driving())


def test_a_problem_of_one_of_several_points_at_its_line(driving, refused, checked):
    text = in_a_list(driving())
    assert refused(text.replace("feature: new-tools", "feature: a/b")) == snapshot("""\
bad.yaml:33:16: drives.1.unleash.feature: "a/b" is not a name: letters, digits, dots, dashes, at most 100
          feature: a/b
                   ^
bad.yaml 1 problem\
""")
    assert checked(text.replace("new-tools", "new-prompt")) == snapshot("""\
bad.yaml:30:5: drives.1.unleash: new-prompt in Unleash (production) is driven already: leave one of the two out
      - unleash:
        ^
bad.yaml:25:5: the other line
      - unleash:
        ^
bad.yaml 1 problem\
""")
    assert refused(text.partition("drives:")[0] + "drives: []\n") == snapshot("""\
bad.yaml:24:9: drives: this is empty: write at least one, or leave it out
    drives: []
            ^
bad.yaml 1 problem\
""")


def test_one_entry_is_one_system(driving, refused):
    assert refused(driving().partition("drives:")[0] + "drives: {}\n") == snapshot("""\
bad.yaml:24:1: drives: name what is driven: unleash: …, launchdarkly: …, growthbook: …, flagd: …, mlflow: …, langfuse: …
    drives: {}
    ^
bad.yaml 1 problem\
""")


def test_an_unknown_system_is_named(driving, refused):
    assert refused(driving(("  unleash:", "  unlesh:"))) == snapshot("""\
bad.yaml:25:3: drives.unlesh: unknown field "unlesh". Did you mean "unleash"?
      unlesh:
      ^
bad.yaml 1 problem\
""")


MLFLOW = (
    "drives: {mlflow: {url: https://mlflow.example.com, model: summarizer, alias: production, version: 4, from: 3}}\n"
)
LAUNCHDARKLY = (
    "drives: {launchdarkly: {environment: production, flag: new-prompt, variation: new-id, otherwise: old-id}}\n"
)


def test_a_label_needs_no_percentage(small, built, checked):
    """Rampart itself divides people, so that it may choose some of them and hold the rest against an equal number."""
    text = small(("percent: 5", "percent: 2.5")) + MLFLOW
    assert checked(text) == ""
    assert built(text).driven[0].title == "summarizer in MLflow (production)"
    assert built(export_plan(built(text))) == built(text)


def test_a_label_that_would_not_move_is_refused(small, checked):
    assert checked(small() + MLFLOW.replace("from: 3", "from: 4")) == snapshot("""\
bad.yaml:25:99: drives.mlflow.version: the new version and the old one are the same, so nothing would move
    drives: {mlflow: {url: https://mlflow.example.com, model: summarizer, alias: production, version: 4, from: 4}}
                                                                                                      ^
bad.yaml 1 problem\
""")


@pytest.mark.parametrize("version", ["0", "-1", "true", "1.5", "latest", '"04"'])
def test_a_version_is_a_number(small, refused, version):
    said = refused(small() + MLFLOW.replace("version: 4", f"version: {version}"))
    assert "drives.mlflow.version: write the number of a version, such as 4" in said


def test_a_stratum_goes_back_alone_beside_a_label_and_not_beside_a_flag(small, checked):
    """A label follows once everyone has the new version, and goes back with the first stratum that does."""
    strata = "assignment: {strata: {free: {plan: free}}}\n"
    assert "stratum" not in checked(small() + MLFLOW + strata)
    assert "a stratum cannot be rolled back alone" in checked(small((COHORT, "")) + LAUNCHDARKLY + strata)


def test_each_system_has_a_smallest_step(small, checked):
    percents = (COHORT, ""), ("percent: 5", "percent: 2.125"), ("[25%,", "[25.0005%,")
    assert checked(small(*percents) + LAUNCHDARKLY) == snapshot("""\
bad.yaml:15:5: stages.1.ramp: LaunchDarkly takes steps of 0.001 % only, not 25.0005%
      - ramp: {steps: [25.0005%, 100%], hold: 1h}
        ^
bad.yaml 1 problem\
""")
    assert checked(small((COHORT, ""), ("percent: 5", "percent: 2.125")) + LAUNCHDARKLY) == ""


@pytest.mark.parametrize("file", ["../flags.json", "a/b.json", "flags.yaml", ".json", "/etc/flags.json", "..json"])
def test_a_file_of_flagd_is_in_the_folder_of_the_settings(small, refused, file):
    entry = f'drives: {{flagd: {{file: "{file}", flag: new-prompt, variant: b, otherwise: a}}}}\n'
    assert "drives.flagd.file" in refused(small((COHORT, "")) + entry)


@pytest.mark.parametrize("prompt", ["../else", "a//b", "/a", "a/", "a?b", "a#b", ""])
def test_a_name_with_folders_cannot_lead_elsewhere(small, refused, prompt):
    entry = f'drives: {{langfuse: {{prompt: "{prompt}", label: production, version: 4, from: 3}}}}\n'
    assert "drives.langfuse.prompt" in refused(small() + entry)


def test_two_systems_in_one_entry_are_a_list(small, refused):
    entry = "drives:\n  unleash: {url: https://f.example.com, environment: e, feature: f, strategy: s}\n"
    entry += "  flagd: {file: flags.json, flag: f, variant: b, otherwise: a}\n"
    assert refused(small((COHORT, "")) + entry) == snapshot("""\
bad.yaml:26:3: drives.flagd: one entry names one system: write a list, with a line that begins with - for each
      flagd: {file: flags.json, flag: f, variant: b, otherwise: a}
      ^
bad.yaml 1 problem\
""")


@pytest.mark.parametrize(
    ("system", "label"), [("mlflow", "latest"), ("mlflow", "v4"), ("mlflow", "Latest"), ("langfuse", "latest")]
)
def test_a_label_that_the_system_keeps_for_itself_is_refused(small, checked, system, label):
    terms = {
        "mlflow": f"{{url: https://m.example.com, model: m, alias: {label}, version: 4, from: 3}}",
        "langfuse": f"{{prompt: p, label: {label}, version: 4, from: 3}}",
    }
    assert f"keeps the name {label} for itself" in checked(small() + f"drives: {{{system}: {terms[system]}}}\n")
