"""What is deployed names what there is: metrics, settings, commands, files; and runs without rights."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from bot import settings
from bot.cli.root import app
from tests.sources.prometheus import find_program

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RULES = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())
DASHBOARD = json.loads((DEPLOY / "grafana" / "rampart.json").read_text())
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
KUBERNETES = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
COMMANDS = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def list_expressions() -> list[str]:
    """Every question to Prometheus in the rules and on the dashboard."""
    rules = [rule["expr"] for group in RULES["groups"] for rule in group["rules"]]
    return rules + [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def find_exposed(text: str) -> dict[str, set[str]]:
    """Every metric of an answer of `/metrics`, with its labels."""
    found: dict[str, set[str]] = {}
    for name in re.findall(r"^# TYPE (\S+)", text, re.MULTILINE):
        found[name] = set()
    for name, labels in re.findall(r"^(\w+)(?:\{(.*?)\})? ", text, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r"(\w+)=", labels))
    return found


def test_every_metric_that_is_asked_for_exists(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    client.post("/ofrep/v1/evaluate/flags/support-assistant", json={"context": {"targetingKey": "user-1"}})
    exposed = find_exposed(client.get("/metrics").text)
    for expression in list_expressions():
        names = re.findall(r"\brampart_\w+", expression)
        assert names or expression.startswith("up{"), expression
        assert [name for name in names if name not in exposed] == [], expression


def test_the_metrics_of_a_rollout_have_its_surface_and_stage(running: Any, serve: Any, canary: Any) -> None:
    client = serve(running)
    canary(running)
    for _ in range(3):
        client.post("/ofrep/v1/evaluate/flags/support-assistant", json={"context": {"targetingKey": "user-46"}})
    client.post("/ofrep/v1/evaluate/flags", json={"context": {"targetingKey": "user-1"}})
    text = client.get("/metrics").text
    of_rollout = 'rollout="R-1",stage="canary",state="running",surface="support-assistant"'
    assert f"rampart_rollout_percent{{{of_rollout}}} 5.0" in text
    answers = 'rollout="R-1",stage="canary",surface="support-assistant",variant="{}",version="{}"'
    assert f"rampart_answers_total{{{answers.format('canary', 'v43')}}} 3.0" in text
    assert f"rampart_answers_total{{{answers.format('control', 'v42')}}} 1.0" in text


@pytest.mark.parametrize("command", ["check", "test"])
def test_prometheus_accepts_the_rules(command: str) -> None:
    promtool = find_program("promtool")
    name = "alerts.yaml" if command == "check" else "alerts_test.yaml"
    done = subprocess.run(
        [promtool, command, "rules", name], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_says_what_to_do() -> None:
    for group in RULES["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"].keys() == {"summary", "action"}
            assert rule["labels"]["severity"] in {"page", "ticket"}


def list_containers() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(name, container, pod) of everything that Kubernetes runs."""
    pods = [one["spec"]["template"]["spec"] for one in KUBERNETES if "template" in one["spec"]]
    return [(container["name"], container, pod) for pod in pods for container in pod["containers"]]


def test_nothing_runs_with_rights_or_writes_to_its_own_disk() -> None:
    for name, service in COMPOSE["services"].items():
        if name != "db":
            assert (service["user"], service["read_only"], service["cap_drop"]) == ("10001:10001", True, ["ALL"])
    for _, container, pod in list_containers():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE) == ["10001:10001"]


def test_the_image_can_draw_charts() -> None:
    final = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert "fonts-dejavu-core" in final
    assert "DejaVu Sans" in (ROOT / "bot/rendering/charts/picture.py").read_text()


def test_what_is_started_and_set_exists() -> None:
    variables = set(settings.VARIABLES) | {f"{name}_FILE" for name in settings.VARIABLES}
    for name, service in COMPOSE["services"].items():
        if name != "db":
            assert service["command"][0] in COMMANDS
            assert service["environment"].keys() <= variables
    for _, container, _ in list_containers():
        assert container["args"][0] in COMMANDS
        assert {one["name"] for one in container.get("env", ())} <= variables


def test_two_of_each_run_and_are_probed() -> None:
    assert [COMPOSE["services"][name]["deploy"]["replicas"] for name in ("web", "worker")] == [2, 2]
    replicas = {one["metadata"]["name"]: one["spec"]["replicas"] for one in KUBERNETES if one["kind"] == "Deployment"}
    assert (replicas["rampart-web"], replicas["rampart-worker"]) == (2, 2)
    web = next(container for name, container, _ in list_containers() if name == "web")
    assert web["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert web["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_what_the_image_is_built_from_is_sent_to_the_builder() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied: set[str] = set()
    for line in re.findall(r"^COPY (?!--from)(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        copied.update(line.split()[:-1])
    assert copied == sent
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_secrets_are_made_once_and_fit_together(tmp_path: Path) -> None:
    script = shutil.copy(DEPLOY / "make-secrets", tmp_path)
    subprocess.run([script], check=True, capture_output=True)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    subprocess.run([script], check=True, capture_output=True)
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == made
    assert {Path(one["file"]).name for one in COMPOSE["secrets"].values()} == made.keys()
    read = settings.read_settings(
        {"ROLLOUT_TOKENS": made["tokens"], "DATABASE_URL": made["app_database_url"], "HOST": "0.0.0.0"}
    )
    assert made["app_password"] in read.database_url
    assert len(read.tokens) == 5
