"""What Rampart promises, and `docs/coverage.md`: which tests, marked `shows`, show each promise."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, TypeGuard

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "coverage.md"

SECTIONS: Mapping[str, Mapping[str, str]] = {
    "What is different about AI changes": {
        "E1": "The kind of a change (prompt, model, tools, routing, or several) is computed from what differs.",
        "E2": "A perfect eval moves no traffic: it only opens the canary.",
        "E3": "Critical flows are judged by themselves, and hold by name while the average looks fine.",
        "E4": "Harm in one segment is found and named while the total hides it, corrected for the number of segments.",
        "E5": "Drift that only people or a rubric notice counts: criteria of judges, votes of testers, complaints.",
        "E6": "Cost and latency are always watched, with what a rise comes from.",
    },
    "Pipeline": {
        "E7": "A run of a suite is evidence: its hash, judge, cases, rate and range.",
        "E8": "The pass rate is compared exactly: 91.9 % is not 92 %.",
        "E9": "One new failure in a critical category blocks, with its cases.",
        "E10": "A canary has 1 to 5 % of traffic; who is in it stays in it while it grows.",
        "E11": "A stage lasts its hold and its sample; undecided at its longest hold, a person is asked.",
        "E12": "The ramp takes its steps in order, each with evidence of its own.",
        "E13": "Each step is judged by its own window, and harm that comes only with growth is found.",
        "E14": "At the end the new version is the default, and the old one is retired with a date.",
        "E15": "A skipped stage is an accepted risk: every later message says so, and high risk skips none.",
    },
    "Canary metrics": {
        "E16": "Answers of both versions are judged alike, by one judge that does not know the version.",
        "E17": "What is much better than expected is told, too.",
        "E18": "Product metrics are judged like the others.",
        "E19": "People who ask again hold a rollout.",
        "E20": "Longer and shorter conversations both hold.",
        "E21": "A signal holds; it is warned of where it would roll back.",
        "E22": "A message on cost says which factor changed.",
        "E23": "Latency is compared by its quantiles and against a fixed limit.",
        "E24": "Soft errors (refusals, fallbacks, truncation) are counted beside hard ones.",
        "E25": "A sudden change hours into a stage is found within minutes.",
        "E26": "A fall in refusals holds, too: a filter may be off.",
        "E27": "After any hold nothing grows until somebody resumes with a reason.",
    },
    "Comparing": {
        "E28": "Nothing is judged without a control; where none is left, it says that the comparison is weaker.",
        "E29": "Control is the rest of production at the same time, or a part as large as the canary.",
        "E30": "Both arms are compared over the same window.",
        "E31": "Looking as often as one likes raises no more false alarms than agreed.",
        "E32": "A change in the direction that was expected raises no alarm; one far beyond it does.",
        "E33": "What a limit could notice is said beside every number.",
    },
    "Stratified rollouts": {
        "E34": "Internal users first.",
        "E35": "Power users, in their turn.",
        "E36": "Free before paid, one region before another.",
        "E37": "People who opted in.",
        "E38": "Each stratum is compared within itself and speaks for itself alone.",
        "E39": "Testers are asked in person, and their votes count by version.",
    },
    '"Just ship it"': {
        "E40": "Before the start a plan says what an eval misses.",
        "E41": "Traffic without an eval case is named with its share.",
        "E42": "Cost and latency are compared over the same cases before the start.",
        "E43": "What people will notice is asked before, and what they noticed is read before the next step.",
        "E44": "The worst answers of both versions are shown side by side.",
        "E45": "The digest counts whom a rollback protected and what care cost; each number names its events.",
    },
    "Rollback criteria": {
        "E46": "Without limits that are agreed beforehand nothing is planned.",
        "E47": "Quality that drops rolls back.",
        "E48": "Cost that rises rolls back.",
        "E49": "Latency beyond a fixed limit rolls back.",
        "E50": "A new kind of error rolls back.",
        "E51": "Complaints beyond what is normal at this hour of the week are found.",
        "E52": "A broken limit rolls back without asking, even while Slack is down.",
        "E53": "Everybody is back before anybody is asked to investigate, and the evidence is at hand.",
    },
    "What rolling back means": {
        "E54": "A prompt goes back in seconds, and the seconds are told.",
        "E55": "A model goes back in seconds, and a system that does not follow is not believed.",
        "E56": "Of code the flag is off at once, and the revert is asked for until it is done.",
        "E57": "Going back takes one click and one confirmation, and no words.",
        "E58": "Conversations under way finish or change, as the file says.",
    },
    "Long comparisons": {
        "E59": "A comparison lasts whole weeks, and nobody wins before its end.",
        "E60": "It is followed by day, with novelty told apart.",
        "E61": "It is decided on all of its data; harm ends it on any day.",
        "E62": "It is the default for another model or a rewritten prompt at high risk.",
    },
    "Model upgrade": {
        "E63": "First, the evals.",
        "E64": "Second, the safety suite.",
        "E65": "Third, cost and latency.",
        "E66": "Fourth, a canary of 1 to 5 %.",
        "E67": "Fifth, every metric and segment on twice the sample.",
        "E68": "Sixth, growth in steps that people approve.",
        "E69": "The way back is drilled before, and never leads to a model that is switched off.",
        "E70": "No model changes by itself: retirements are warned of, and another model than configured is told.",
    },
    "Configuration and deployment": {
        "E71": "Prompt, model, tools and routing are one version, with a hash and a difference.",
        "E72": "Going live and going back move one pointer.",
        "E73": "Nothing else moves it.",
        "E74": "One changed word takes the same way as everything else.",
    },
    "Coordination": {
        "E75": "Support is told what changes.",
        "E76": "Marketing is told what may be said, and when.",
        "E77": "Other teams are told what they see.",
        "E78": "A change that people notice does not start before they were told in time.",
        "E79": "A notice names the day and what to expect.",
        "E80": "It stays true until the end, and says so when it changes.",
    },
    "Review": {
        "E81": "A review compares what was expected with what came, and is asked for until it is written.",
        "E82": "It leaves a baseline that the next plan uses.",
    },
    "Infrastructure and frequency": {
        "E83": "Flags, metrics by version, triggers and comparisons work on their own, for each feature apart.",
        "E84": "A change of low risk reaches everyone within a working day, and the digest shows the rhythm.",
    },
}
MARKER = "shows"
_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def list_promises() -> Sequence[str]:
    """The numbers of all promises, in order."""
    return [number for promises in SECTIONS.values() for number in promises]


def find_shown() -> Mapping[str, Sequence[str]]:
    """The tests that show each promise, as `path::test`, by path and place in the file."""
    shown: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for number, test in list_shown_in(path.read_text(encoding="utf-8")):
            shown[number].append(f"{path.relative_to(ROOT).as_posix()}::{test}")
    return shown


def list_shown_in(source: str) -> Sequence[tuple[str, str]]:
    """(promise, `test` or `Class::test`) for each promise that a test in this source shows, in order.

    ValueError if a marker stands on anything but a test, where it would show nothing.
    """
    if MARKER not in source:
        return []
    tree = ast.parse(source)
    found = [
        (marker, test) for test, node in _list_tests(tree, "") for marker in filter(_is_marker, node.decorator_list)
    ]
    if len(found) != sum(_is_marker(node) for node in ast.walk(tree)):
        raise ValueError(f"a marker `{MARKER}` stands on something that is no test: mark the test itself")
    return [(ast.literal_eval(one), test) for marker, test in found for one in marker.args]


def _list_tests(parent: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, _Function]]:
    for node in parent.body:
        if isinstance(node, ast.ClassDef):
            yield from _list_tests(node, f"{prefix}{node.name}::")
        elif isinstance(node, _Function) and node.name.startswith("test_"):
            yield f"{prefix}{node.name}", node


def _is_marker(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == f"pytest.mark.{MARKER}"


def build_page() -> str:
    """The text of `docs/coverage.md`."""
    shown = find_shown()
    lines = [
        "# What is shown, and what is not yet",
        "",
        "What Rampart promises, each promise with the tests that show it. `make coverage-page` writes this page",
        f"from the tests that are marked `{MARKER}`; a promise that none shows in full says so.",
        f"Of {len(list_promises())}, {sum(number in shown for number in list_promises())} are shown.",
    ]
    for title, promises in SECTIONS.items():
        lines += ["", f"## {title}", "", "| | Promise | Shown by |", "|---|---|---|"]
        for number, text in promises.items():
            tests = ", ".join(f"`{one}`" for one in shown.get(number, ())) or "not yet"
            lines.append(f"| {number} | {text} | {tests} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(build_page(), encoding="utf-8")
