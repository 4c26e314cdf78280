"""A flag system that a rollout drives: how a file names it, and what it cannot express."""

# ruff: noqa: E501  (what people see is quoted whole)

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


def test_an_unknown_system_is_named(driving, refused):
    assert refused(driving(("  unleash:", "  unlesh:"))) == snapshot("""\
bad.yaml:25:3: drives.unleash: Field required
      unlesh:
      ^
bad.yaml:25:3: drives.unlesh: unknown field "unlesh". Did you mean "unleash"?
      unlesh:
      ^
bad.yaml 2 problems\
""")
