"""A bundle: a file with several documents, of which the first names the others; what is wrong with it is found."""

from datetime import UTC, datetime

import pytest

from core.files.checks import check_files
from core.files.kinds.bundle_file import BundleFile
from core.files.read_file import parse_file
from core.files.syntax.problems import UnreadableFile, render_text, select_errors
from core.files.syntax.yaml_with_lines import split_documents
from core.rollout.plans.bundle_order import BundleOrder
from core.rollout.plans.policy import DEFAULT_POLICY

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
ROLLOUT = """\
version: 1
rollout: {name}
surface: {surface}
owner: "@dana"
risk: low
template: prompt-low-stakes
change: {{from: {surface}@v42, to: {{prompt: new.md}}, why: Shorter answers.}}
stages:
  - canary: {{percent: 5, min_hold: 1m, max_hold: 30m, min_samples: 10}}
  - ramp: {{steps: [50%, 100%], hold: 1m}}
rollback_when: [{{metric: refusal_rate, rises_by: 1pp}}]
notify: [{{channel: "#ai-rollouts", as: engineering}}]
"""
SUPPORT = ROLLOUT.format(name="support-tone", surface="support-assistant")
SALES = ROLLOUT.format(name="sales-tone", surface="sales-assistant")


def bundle_of(head: str, *documents: str) -> str:
    return "---\n".join([head, *documents])


def head_of(*, field: str = "together", names: str = "support-tone, sales-tone") -> str:
    return f"version: 1\nbundle: tone\n{field}: [{names}]\n"


def problems_of(text: str) -> str:
    try:
        return render_text(select_errors(check_files.check(parse_file(text, "tone.yaml"), None, DEFAULT_POLICY, NOW)))
    except UnreadableFile as unreadable:
        return str(unreadable)


@pytest.mark.parametrize(("field", "order"), [("together", BundleOrder.TOGETHER), ("in_order", BundleOrder.IN_ORDER)])
def test_its_rollouts_are_documents_of_the_same_file(field: str, order: BundleOrder):
    file = parse_file(bundle_of(head_of(field=field), SUPPORT, SALES), "tone.yaml")
    assert isinstance(file, BundleFile)
    assert (file.bundle, file.order, file.names) == ("tone", order, ("support-tone", "sales-tone"))
    assert [one.rollout for one in file.rollouts] == ["support-tone", "sales-tone"]
    assert problems_of(bundle_of(head_of(field=field), SUPPORT, SALES)) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (bundle_of(head_of(names="support-tone, sales-ton"), SUPPORT, SALES), 'Did you mean "sales-tone"?'),
        (bundle_of(head_of(names="support-tone, other"), SUPPORT), "there is no rollout other in this file"),
        (bundle_of(head_of(), SUPPORT, SALES, SALES.replace("sales-tone", "x")), "x is not named under together"),
        (bundle_of(head_of(), SUPPORT, SALES, SALES), "sales-tone is written twice in this file"),
        (
            bundle_of(head_of(field="in_order", names="support-tone, sales-tone, support-tone"), SUPPORT, SALES),
            "support-tone is named twice: it would wait for itself",
        ),
        (
            bundle_of(head_of(), SUPPORT, SALES.replace("sales-assistant", "support-assistant")),
            "support-tone changes support-assistant as well, and two changes of one AI feature cannot be told apart",
        ),
        (bundle_of(head_of(names="support-tone"), SUPPORT), "this has too few entries: write at least 2"),
        (bundle_of("version: 1\nbundle: tone\n", SUPPORT, SALES), "name its rollouts once"),
        (
            bundle_of(f"{head_of()}in_order: [support-tone, sales-tone]\n", SUPPORT, SALES),
            "name its rollouts once: under together, or under in_order",
        ),
        (head_of(), "its rollouts are missing: write each as a document of its own below, after a line ---"),
        (bundle_of(SUPPORT, SALES), "a file with several documents is a bundle: its first document names it"),
        (bundle_of(head_of(), SUPPORT, "version: 1\nkind: policy\n"), "only rollouts go into a bundle"),
        (
            bundle_of(head_of().replace("bundle: tone", "bundle: sales-tone"), SUPPORT, SALES),
            "sales-tone is also the name of a rollout in this file",
        ),
    ],
)
def test_what_is_wrong_with_a_bundle_is_said(text: str, said: str):
    assert said in problems_of(text)


DRIVES = "drives: {mlflow: {url: https://m.example.com, model: s, alias: production, version: 4, from: 3}}\n"


def test_one_flag_cannot_follow_two_of_its_ai_features_at_once():
    both = (SUPPORT + DRIVES, SALES + DRIVES)
    said = "s in MLflow (production) is driven by support-tone for support-assistant, too: it has one setting"
    assert said in problems_of(bundle_of(head_of(), *both))
    assert problems_of(bundle_of(head_of(field="in_order"), *both)) == ""
    files = [parse_file(one, "tone.yaml") for one in both]
    (warned,) = check_files.check_together(files)
    assert (warned.severity, said in warned.message) == ("warning", True)
    assert check_files.check_together(files[:1] * 2) == (), "a file may be read twice"


def test_a_problem_within_a_document_has_the_line_of_the_whole_file_and_all_are_told_at_once():
    broken = SALES.replace("rises_by: 1pp", "rises_by: 1")
    text = bundle_of(head_of(), SUPPORT.replace("risk: low", "risk: lo"), broken)
    found = problems_of(text)
    lines = text.splitlines()
    assert f"tone.yaml:{lines.index('risk: lo') + 1}:7: risk" in found
    where = next(i for i, line in enumerate(lines, 1) if "rises_by: 1}" in line)
    assert f"tone.yaml:{where}:" in found


def test_a_single_document_may_still_begin_with_its_separator_and_a_block_text_may_hold_dashes():
    assert parse_file(f"---\n{SUPPORT}", "r.yaml").kind == "rollout"
    assert parse_file(f"# a comment\n---\n{SUPPORT}", "r.yaml").kind == "rollout"
    assert split_documents("---\na: 1\n" * 50) == ("---\na: 1\n" * 50,)
    prompt = SUPPORT.replace("to: {prompt: new.md}, why: Shorter answers.}", "x")
    assert len(split_documents(prompt.replace("owner", "  --- owner"))) == 1
