"""Rolling out by pull request: the script of its pipelines plans what changes, and applies what is merged."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.http.conftest import ROLLOUT

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here (apt-get install curl)")
pytestmark = needs_curl
CI = Path(__file__).parents[2] / "deploy" / "ci"
SCRIPT = CI / "send-rollouts"
PIPELINES = {name: yaml.safe_load((CI / f"{name}.yaml").read_text()) for name in ("github", "gitlab")}
CHANGE = ROLLOUT[ROLLOUT.index("change: {") : ROLLOUT.index("stages:")]
BLOCK_STYLE = ROLLOUT.replace(
    CHANGE,
    """
change:
  from: support-assistant@v42
  to:
    prompt:
      file: prompts/new tone.md
  why: Shorter
""",
)
IN_BRACES = ROLLOUT.replace("prompt: new.md", "prompt: {file: prompts/system.md}")


class Repository:
    """A clone in which somebody works, and a server that its pipeline is sent to."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self._git("init", "--quiet", "--initial-branch", "main")
        self.commit({"README.md": "Prompts of the support assistant."})

    def commit(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self._git("add", "--all")
        self._git("-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "--quiet", "--message", "Change")

    def send(self, what: str, base: str = "HEAD~1", **settings: str) -> subprocess.CompletedProcess[str]:
        """Run the script as a pipeline does."""
        environment = {"PATH": os.environ["PATH"], "RAMPART_URL": self.url, "RAMPART_TOKEN": "the-operator-token"}
        environment |= settings
        return subprocess.run(
            [SCRIPT, *filter(None, [what, base])],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def _git(self, *words: str) -> None:
        subprocess.run(["git", *words], cwd=self.folder, check=True)


@pytest.fixture
def repository(tmp_path: Path, running: Any, serve: Any) -> Repository:
    return Repository(tmp_path, str(serve(running, tokens=(("operator", "the-operator-token"),)).base_url).rstrip("/"))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"RAMPART_URL": ""}, "RAMPART_URL: set it to where Rampart answers"),
        ({"RAMPART_TOKEN": ""}, "RAMPART_TOKEN: set it to a token that may plan"),
        ({"base": ""}, "write the revision since which files changed"),
        ({"what": "", "base": ""}, "write send-rollouts plans REVISION"),
    ],
)
def test_a_pipeline_that_lacks_something_is_told_what(repository: Repository, call: dict[str, str], said: str) -> None:
    told = repository.send(**{"what": "plans", **call})
    assert told.returncode != 0
    assert said in told.stderr


def test_a_changed_file_is_planned_for_its_review_and_applied_when_merged(repository: Repository, running: Any) -> None:
    repository.commit({"rollouts/tone.yaml": IN_BRACES, "rollouts/prompts/system.md": "Be brief."})
    planned = repository.send("plans")
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.startswith("## Rollout tone: support-assistant v42 -\\> v43, low risk\n")
    assert "### What changes" in planned.stdout
    assert "### When, if no limit breaks" in planned.stdout
    assert "Be brief." not in planned.stdout, "a comment is no place for prompts"
    assert "\nscript" not in planned.stdout
    assert running.service.load_world().rollouts == {}
    applied = repository.send("files")
    assert applied.returncode == 0, applied.stdout
    rollout = running.service.load_world().rollouts["R-1"]
    assert rollout.to_content["prompt"] == "Be brief."
    assert repository.send("files", "HEAD").stdout == "", "nothing changed"


def test_a_prompt_is_found_however_its_file_is_named(repository: Repository, running: Any) -> None:
    repository.commit({"rollouts/tone.yml": BLOCK_STYLE, "rollouts/prompts/new tone.md": "Be kind."})
    applied = repository.send("files")
    assert applied.returncode == 0, applied.stdout
    assert running.service.load_world().rollouts["R-1"].to_content["prompt"] == "Be kind."


def test_a_file_of_which_only_the_prompt_changes_is_sent_too(repository: Repository, running: Any) -> None:
    repository.commit({"rollouts/tone.yaml": IN_BRACES, "rollouts/prompts/system.md": "Be brief."})
    repository.send("files")
    repository.commit({"rollouts/prompts/system.md": "Be kind.", "rollouts/prompts/unused.md": "Be odd."})
    assert repository.send("plans").stdout.count("## Rollout tone") == 1
    assert repository.send("files").returncode == 0
    assert running.service.load_world().rollouts["R-1"].to_content["prompt"] == "Be kind."


def test_a_file_that_is_refused_fails_the_pipeline_and_says_why(repository: Repository, running: Any) -> None:
    repository.commit(
        {
            "rollouts/a.yaml": IN_BRACES,
            "rollouts/b.yaml": ROLLOUT.replace("risk: low", "risk: lo"),
            "rollouts/c.yaml": ROLLOUT,
        }
    )
    sent = repository.send("plans")
    assert sent.returncode == 1
    assert "## rollouts/a.yaml was refused" in sent.stdout
    assert "a.yaml:8:59: change.to.prompt.file: prompts/system.md can only be read where the file is" in sent.stdout
    assert "## rollouts/b.yaml was refused" in sent.stdout
    assert "## Rollout tone" in sent.stdout, "the others are planned all the same"
    gone = repository.send("plans", "0" * 40)
    assert gone.returncode != 0, "a revision that is not there is no empty difference"


def test_the_pipelines_call_the_script_with_what_it_knows() -> None:
    text = {name: (CI / f"{name}.yaml").read_text() for name in PIPELINES}
    for name, pipeline in text.items():
        assert re.findall(r"ci/send-rollouts (\w+) ", pipeline) == ["plans", "files"], name
    assert {*PIPELINES["github"]["jobs"]} == {"plan", "apply"}
    assert {*PIPELINES["gitlab"]} == {"plan rollouts", "apply rollouts"}
