"""`rollout drives check` reads what a file drives, rehearses every step, and writes nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli.root import app
from tests.actuators import api_systems
from tests.actuators.api_server import serving
from tests.actuators.api_systems import Mlflow
from tests.actuators.stand_in import TOKEN, StandIn
from tests.service.conftest import ROLLOUT, SURFACE


@pytest.fixture
def check(unleash: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Runs the command on a file with these entries; (exit status, what it prints)."""
    monkeypatch.setenv("ALLOW_PRIVATE_HOSTS", "127.0.0.1")
    monkeypatch.setenv("UNLEASH_URL", unleash.url)
    monkeypatch.setenv("UNLEASH_TOKEN", TOKEN)

    def run(drives: str, *options: str, **environ: str) -> tuple[int, str]:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        file = tmp_path / "rollout.yaml"
        file.write_text(ROLLOUT + drives)
        found = CliRunner().invoke(app, ["drives", "check", str(file), *options])
        return found.exit_code, found.output

    return run


def entry(unleash: StandIn) -> str:
    return f"{{unleash: {{url: {unleash.url!r}, environment: production, feature: new-prompt, strategy: s-1}}}}"


def test_it_says_where_the_flag_is_and_what_the_plan_would_set(check, unleash):
    unleash.set("7")
    status, said = check(f"drives: {entry(unleash)}\n")
    assert status == 0
    assert "new-prompt in Unleash (production) is at 7 %, read in " in said
    assert "The plan sets 5 %, 50 %, 100 %; a rollback 0 %. Nothing was written." in said
    assert unleash.patches == []


def test_what_would_be_refused_is_found_before_the_start(check, unleash):
    product = Mlflow(aliases={"production": "3"})
    with serving(product.answer) as api:
        label = f"{{mlflow: {{url: {api.url!r}, model: summarizer, alias: production, version: 2, from: 1}}}}"
        status, said = check(
            f"drives:\n  - {entry(unleash)}\n  - {label}\n", MLFLOW_URL=api.url, MLFLOW_TOKEN=api_systems.TOKEN
        )
        assert status == 1
        assert "new-prompt in Unleash (production) is at 0 %" in said
        assert "! summarizer in MLflow (production) names version 3, and the plan moves it from 1 to 2" in said
        assert "The plan sets version 1, version 2; a rollback version 1." in said
        assert api.writes == 0


def test_a_label_that_may_be_misspelt_is_said_and_is_no_error(check):
    with serving(Mlflow().answer) as api:
        label = f"{{mlflow: {{url: {api.url!r}, model: summarizer, alias: prodution, version: 2, from: 1}}}}"
        status, said = check(f"drives: {label}\n", MLFLOW_URL=api.url, MLFLOW_TOKEN=api_systems.TOKEN)
    assert status == 0
    assert "! no version of summarizer has prodution yet" in said
    assert "There are production" in said


def test_a_file_that_is_read_in_no_time_was_read(check, tmp_path):
    variants = {"a": 1, "b": 2}
    flag = {"state": "ENABLED", "variants": variants, "defaultVariant": "a"}
    (tmp_path / "flags.json").write_text(json.dumps({"flags": {"f": flag}}))
    entry = "drives: {flagd: {file: flags.json, flag: f, variant: b, otherwise: a}}\n"
    status, said = check(entry, FLAGD_FOLDER=str(tmp_path))
    assert (status, "f in flagd (flags.json) is at 0 %, read in" in said) == (0, True)


def test_what_is_not_set_up_is_said_as_json_too(check, unleash):
    status, said = check("drives: {flagd: {file: flags.json, flag: f, variant: b, otherwise: a}}\n", "--json")
    assert status == 1
    (found,) = json.loads(said)
    assert found["flag"] == "f in flagd (flags.json)"
    assert found["problem"].startswith("FLAGD_FOLDER is not set")
    assert (found["percent"], found["steps"]) == (None, [5, 50, 100])


def test_the_plan_says_what_it_drives_and_when_a_label_moves(unleash, tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/rollout.db")
    label = "{mlflow: {url: 'https://mlflow.example.com', model: m, alias: production, version: 2, from: 1}}"
    (tmp_path / "surface.yaml").write_text(SURFACE)
    (tmp_path / "rollout.yaml").write_text(f"{ROLLOUT}drives:\n  - {entry(unleash)}\n  - {label}\n")
    runner = CliRunner()
    assert runner.invoke(app, ["migrate"]).exit_code == 0
    assert runner.invoke(app, ["apply", str(tmp_path / "surface.yaml")]).exit_code == 0
    said = {
        how: runner.invoke(app, ["plan", str(tmp_path / "rollout.yaml"), "--format", how]).output
        for how in ("text", "markdown", "json")
    }
    moves = "m in MLflow (production), at https://mlflow.example.com, from version 1 to 2 once everyone has it"
    assert f"What it drives\n  new-prompt in Unleash (production), at {unleash.url}\n  {moves}" in said["text"]
    assert "### Flags it drives" in said["markdown"]
    assert "from version 1 to 2 once everyone has it" in said["markdown"]
    assert json.loads(said["json"])["drives"] == [
        {"flag": "new-prompt in Unleash (production)", "steps": [5, 50, 100, 100]},
        {"flag": "m in MLflow (production)", "steps": [0, 0, 100, 100]},
    ]


def test_a_file_that_drives_nothing_or_cannot_be_read(check, tmp_path):
    assert check("")[0] == 1
    assert check("drives: {unlesh: {}}\n")[0] == 1
    assert CliRunner().invoke(app, ["drives", "check", str(tmp_path / "none.yaml")]).exit_code == 2
