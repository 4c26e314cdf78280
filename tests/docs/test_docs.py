"""The documents say everything there is, and nothing that is not there."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from fastapi import FastAPI

from bot import setting_values, settings
from bot.cli.root import app
from bot.commands.verbs import HTTP_VERBS, TYPED_VERBS, VERBS
from bot.demo.traffic import SCENARIOS
from bot.rendering.blocks import buttons
from core.files.kinds.policy_file import PolicyFile
from core.files.kinds.rollout_file import RolloutFile
from core.files.kinds.surface_file import SurfaceFile
from core.files.templates import TEMPLATES
from core.flags.bucketing import compute_bucket
from core.judging.limits.limits import LimitKind
from core.metrics.catalogue import CATALOGUE, FEEDS
from core.rollout.plans.plan import StageKind
from core.rollout.state.model import RolloutState
from core.store.formats.codec import EVENT_CODEC
from tests.docs import promises

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "README.md"]
HOW_MANY_PROMISES = 84


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def missing(words: Iterator[str] | list[str], name: str) -> list[str]:
    """Those of `words` that do not stand in code marks on the page, alone or at the beginning of an example."""
    marked = re.findall(r"`+([^`]+)`+", page(name))
    return [word for word in words if not any(re.match(rf"{re.escape(word)}(?![\w-])", found) for found in marked)]


def rows(name: str) -> list[list[str]]:
    """The cells of every table row of a page."""
    lines = [line for line in page(name).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def commands() -> Iterator[str]:
    tree = typer.main.get_command(app)
    for name, command in tree.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", {})
        yield from (f"rollout {name} {each}" for each in inner)
        if not inner:
            yield f"rollout {name}"


def fields(model: type) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]  # type: ignore[attr-defined]


def test_every_decision_is_listed():
    records, told = sorted(record.name for record in DOCS.glob("adr/*.md")), page("architecture.md")
    assert [name for name in records if f"(adr/{name})" not in told] == []
    assert [name[:4] for name in records] == [f"{number:04}" for number in range(1, len(records) + 1)]


def test_every_verb_has_its_row_and_an_example():
    told = {row[0].strip("`"): row[-1] for row in rows("slack.md") if row[0].startswith("`")}
    for verb in TYPED_VERBS:
        assert f"/rollout {verb}" in told.get(verb, ""), verb


def test_every_verb_that_changes_something_has_its_row_of_who_may():
    assert missing([verb for verb, row in VERBS.items() if row.build is not None], "permissions.md") == []
    assert missing([*HTTP_VERBS], "permissions.md") == []


def test_every_button_is_told():
    labels = [
        "Approve",
        "Reject…",
        "Pause",
        "Resume",
        "Keep the new version…",
        "Go back…",
        "Roll back",
        "Got it",
        "I have a concern",
        "Remind me when watching is over",
        "Feels off",
        "Start then",
        "Say more…",
        "New rollout",
        "Get it as a file",
        "View difference",
        "Write the review…",
        "Change",
        "Details",
        "Get the evidence",
        "New rollout from this one",
    ]
    source = Path(str(buttons.__file__)).read_text(encoding="utf-8")
    assert set(re.findall(r'blocks\.button\(\s*"([^"]+)"', source)) == set(labels)
    assert missing(labels, "slack.md") == []


def test_every_state_is_told():
    assert missing([state.value for state in RolloutState], "slack.md") == []


def test_every_command_is_told():
    assert missing(commands(), "cli.md") == []
    assert missing([*SCENARIOS], "cli.md") == []


def test_every_setting_is_told_and_no_other():
    told = {row[0].strip("`") for row in rows("operating.md") if re.fullmatch(r"`[A-Z_]+`", row[0])}
    assert told == set(settings.VARIABLES)
    assert missing([*setting_values.TOKEN_ROLES], "http.md") == []


def test_every_stored_event_is_told_and_no_other():
    told = [row[0].strip("`") for row in rows("log.md") if re.fullmatch(r"`(rollout|surface|workspace)\.\w+`", row[0])]
    assert sorted(told) == sorted(EVENT_CODEC.classes)


@pytest.mark.parametrize("model", [RolloutFile, SurfaceFile, PolicyFile])
def test_every_field_of_a_file_is_told(model):
    assert missing(fields(model), "files.md") == []


def test_every_limit_metric_stage_and_template_is_told():
    words = [*(kind.value for kind in LimitKind), *CATALOGUE, *FEEDS, *(kind.value for kind in StageKind), *TEMPLATES]
    assert missing(words, "files.md") == []


def test_every_metric_has_its_row():
    told = {row[0].strip("`"): row for row in rows("files.md")}
    for key, metric in CATALOGUE.items():
        assert told[key][1:4] == [metric.title, metric.kind.value, metric.unit]


def test_every_door_and_command_over_http_is_told(tmp_path):
    from bot.settings import Settings
    from bot.startup import app as program

    built = program.build_program(Settings(database_url=f"sqlite:///{tmp_path}/rollout.db"), "serve")
    try:
        assert built.asgi is not None
        api = next(x for x in _inside(built.asgi) if isinstance(x, FastAPI))
        text = re.sub(r"\{\w+\}", "{}", page("http.md"))
        paths = [re.sub(r"\{\w+\}", "{}", path) for path in api.openapi()["paths"]]
        assert len(paths) > 10
        assert [path for path in paths if path not in text] == []
    finally:
        built.database.close()
    assert missing([*HTTP_VERBS], "http.md") == []


def _inside(asgi: object) -> Iterator[object]:
    """An application and those it hands requests on to."""
    yield asgi
    held = [*vars(asgi).values()] if hasattr(asgi, "__dict__") and not isinstance(asgi, FastAPI) else []
    for inner in held + [cell.cell_contents for cell in getattr(asgi, "__closure__", None) or ()]:
        if callable(inner) and inner is not asgi:
            yield from _inside(inner)


def test_every_runtime_dependency_is_told_and_no_other():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    names = {re.split(r"[\[<>=; ]", each)[0] for each in declared}
    told = {row[0].strip("`") for row in rows("dependencies.md") if row[0].startswith("`")}
    assert told == names


def test_the_worked_vectors_are_right():
    found = 0
    for row in rows("bucketing.md"):
        if len(row) == 4 and row[3].isdigit():
            purpose, salt, unit = ("" if cell == "(empty)" else cell.strip("`") for cell in row[:3])
            assert compute_bucket(purpose, salt, unit) == int(row[3])  # type: ignore[arg-type]
            found += 1
    assert found >= 5


def test_every_promise_is_shown_and_the_page_of_them_is_current():
    shown = promises.find_shown()
    assert promises.list_promises() == [f"E{number}" for number in range(1, HOW_MANY_PROMISES + 1)]
    assert shown.keys() == set(promises.list_promises()), "a marker names an unknown promise, or none shows one"
    assert promises.PAGE.read_text(encoding="utf-8") == promises.build_page(), "run `make coverage-page`"


def test_a_promise_is_shown_by_a_function_a_method_or_a_coroutine():
    source = """
@pytest.mark.shows("E1", "E2")
def test_a(): ...
@pytest.mark.shows("E3")
async def test_b(): ...
class TestC:
    @pytest.mark.slow
    @pytest.mark.shows("E4")
    def test_d(self): ...
"""
    assert promises.list_shown_in(source) == [
        ("E1", "test_a"),
        ("E2", "test_a"),
        ("E3", "test_b"),
        ("E4", "TestC::test_d"),
    ]


@pytest.mark.parametrize(
    "source",
    [
        '@pytest.mark.shows("E1")\nclass TestA: ...',
        '@pytest.mark.shows("E1")\ndef build(): ...',
        'pytestmark = pytest.mark.shows("E1")',
    ],
)
def test_a_promise_is_shown_by_nothing_but_a_test(source):
    with pytest.raises(ValueError, match="no test"):
        promises.list_shown_in(source)


def _anchor(heading: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.replace(" ", "-")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_inside_the_repository_resolve(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.is_relative_to(ROOT), target
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {_anchor(heading) for heading in headings}, target


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_exist(path):
    text = path.read_text(encoding="utf-8")
    for named in re.findall(r"`((?:core|bot|tests|examples|migrations|bench)/[\w/.*-]*)", text):
        assert list(ROOT.glob(named.rstrip("/"))), named


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_path_outside_the_repository_is_named(path):
    for name in re.findall(
        r"(?<![\w.])/(?:home|root|Users|work|tmp|opt|mnt|workspace)\b[\w/.-]*", path.read_text("utf-8")
    ):
        pytest.fail(name)


def test_every_control_names_tests_that_are_there() -> None:
    shown = [cells[2] for cells in rows("security.md") if len(cells) == 3 and cells[0] not in {"Threat", "---"}]
    named = [re.findall(r"`([^`]+\.py)`", cell) for cell in shown]
    assert all(named)
    assert [path for paths in named for path in paths if not (ROOT / "tests" / path).is_file()] == []


def test_every_fault_names_a_test_that_there_is():
    faults = page("operating.md").partition("## Faults")[2]
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", faults))
    assert len(named) > 5
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
