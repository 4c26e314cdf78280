"""What is wrong with layers in a policy, and what a plan loses by the share of its surface."""

from dataclasses import replace

import pytest

from core.files.checks import check_files
from core.files.kinds.policy_file import policy_from_file
from core.files.read_file import parse_file
from core.files.syntax.problems import render_text
from core.rollout.plans.layers import divide_equally
from core.rollout.plans.policy import DEFAULT_POLICY

POLICY = "version: 1\nkind: policy\nlayers:\n"
HALF = replace(DEFAULT_POLICY, layers=(divide_equally("chat", [("support-assistant", 100_000), ("search", None)]),))


def test_what_is_left_is_divided_equally_in_the_order_of_names():
    text = POLICY + "  chat: {search: , answers: 40%, titles: , drafts: }\n"

    (layer,) = policy_from_file(parse_file(text, "policy.yaml")).layers or ()

    assert layer.shares == (("answers", 400_000), ("drafts", 200_000), ("search", 200_000), ("titles", 200_000))


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (
            "  chat: {a: 60%, b: 50%}\n",
            "4:3: layers.chat: these shares add up to 110%, over 100%",
        ),
        ("  chat: {a: 100%, b: }\n", "layers.chat.b: the others have 100% of the users, so nobody is left for it"),
        ("  chat: {a: 50%}\n  mail: {a: 50%}\n", "5:10: layers.mail.a: a is in the layer chat already"),
    ],
)
def test_shares_that_do_not_fit_are_errors(checked, layers, said):
    assert said in checked(POLICY + layers)
    assert "warning" not in checked(POLICY + layers)


def test_a_name_without_a_surface_file_is_a_warning(files):
    policy = parse_file(POLICY + "  chat: {support-asistant: 50%, support-assistant: }\n", "policy.yaml")

    found = check_files.check_together([policy, parse_file(files("surface.yaml"), "surface.yaml")])

    assert [one.severity for one in found] == ["warning"]
    assert 'there is no AI feature called support-asistant yet. Did you mean "support-assistant"?' in found[0].message


def test_a_driven_flag_is_refused_in_a_layer(checked, small):
    text = small(("  - cohort: {name: internal, where: {email_domain: example.com}, hold: 2h}\n", "")) + (
        "drives: {unleash: {url: https://flags.example.com, project: p, environment: e, feature: f, strategy: s}}\n"
    )

    assert "drives: support-assistant is in the layer chat of the policy" in checked(text, policy=HALF)
    assert "layer" not in checked(text)


def test_a_share_that_leaves_too_few_people_for_a_limit_is_told_at_its_line(checked, small, surface):
    busy = replace(surface, daily_requests=600_000)

    assert "too late" not in checked(small(), on=busy)
    assert "rollback_when.0.drops_by: too late: at this traffic" in checked(small(), on=busy, policy=HALF)


def test_lint_counts_with_the_share_where_the_policy_is_among_the_files(small, files):
    surface = files("surface.yaml")
    together = [parse_file(small(), "small.yaml"), parse_file(surface, "surface.yaml")]
    policy = parse_file(POLICY + "  chat: {support-assistant: 1%, search: }\n", "policy.yaml")

    alone, layered = (render_text(check_files.check_together(one)) for one in (together, [*together, policy]))

    assert layered.count("too late") > alone.count("too late")
