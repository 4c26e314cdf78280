"""The steps of the pipelines for GitHub and GitLab, run as they stand there in a clone, against a served program."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.actuators.api_server import Answer, ApiCall, serving
from tests.deploy.test_pull_requests import BLOCK_STYLE, CI, IN_BRACES, PIPELINES, Repository, needs_curl
from tests.http.conftest import ROLLOUT

pytestmark = needs_curl

GH = """\
#!/bin/sh
# In place of GitHub's own program, which talks to GitHub alone: what it is asked, and the comment that it would post.
[ "$1 $2 $3 $4" = "pr comment 7 --body-file" ] && [ "$6 $7" = "--edit-last --create-if-none" ] || exit 2
[ -n "$GH_TOKEN" ] && cp "$5" comment.md
"""


@pytest.fixture
def repository(tmp_path: Path, running: Any, serve: Any) -> Repository:
    """A repository with the script where the pipelines look for it, and the first change on its way."""
    url = str(serve(running, tokens=(("operator", "the-operator-token"),)).base_url).rstrip("/")
    (tmp_path / "clone").mkdir()
    found = Repository(tmp_path / "clone", url)
    found.commit({"ci/send-rollouts": (CI / "send-rollouts").read_text()})
    (found.folder / "ci" / "send-rollouts").chmod(0o755)
    found.commit({"rollouts/tone.yaml": IN_BRACES, "rollouts/prompts/system.md": "Be brief."})
    return found


def run(repository: Repository, commands: list[str], shell: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Commands in one shell that ends with the first that fails, as both systems have it."""
    given = {"PATH": os.environ["PATH"], "RAMPART_URL": repository.url, "RAMPART_TOKEN": "the-operator-token"}
    return subprocess.run(
        [shell, "-e", "-c", "\n".join(commands)],
        cwd=repository.folder,
        env=given | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def steps_of(job: str) -> dict[str, str]:
    """The commands of a job for GitHub by the names of its steps."""
    steps = PIPELINES["github"]["jobs"][job]["steps"]
    return {step["name"]: step["run"] for step in steps if "run" in step}


class TestGitHub:
    @pytest.fixture
    def gh(self, tmp_path: Path) -> str:
        """A folder with a `gh`."""
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "gh").write_text(GH)
        (tmp_path / "bin" / "gh").chmod(0o755)
        return f"{tmp_path / 'bin'}:{os.environ['PATH']}"

    def test_a_pull_request_gets_its_plan_as_a_comment_and_is_applied_when_merged(
        self, repository, running, gh
    ) -> None:
        steps = steps_of("plan")
        planned = run(repository, [steps["Plan"]], "bash", BASE="HEAD~1")
        assert planned.returncode == 0, planned.stderr
        said = run(repository, [steps["Comment"]], "bash", PATH=gh, GH_TOKEN="t", NUMBER="7")
        assert said.returncode == 0, said.stderr
        comment = (repository.folder / "comment.md").read_text()
        assert comment.startswith("## Rollout tone: support-assistant v42 -\\> v43")
        assert running.service.load_world().rollouts == {}
        applied = run(repository, [steps_of("apply")["Apply"]], "bash", BASE="HEAD~1")
        assert applied.returncode == 0, applied.stderr
        assert running.service.load_world().rollouts["R-1"].to_content["prompt"] == "Be brief."

    def test_what_is_refused_fails_the_step_and_is_the_comment_all_the_same(self, repository, gh) -> None:
        repository.commit({"rollouts/tone.yaml": ROLLOUT.replace("risk: low", "risk: lo")})
        steps = steps_of("plan")
        assert run(repository, [steps["Plan"]], "bash", BASE="HEAD~1").returncode == 1
        assert PIPELINES["github"]["jobs"]["plan"]["steps"][-1]["if"] == "always()"
        assert run(repository, [steps["Comment"]], "bash", PATH=gh, GH_TOKEN="t", NUMBER="7").returncode == 0
        assert "## rollouts/tone.yaml was refused" in (repository.folder / "comment.md").read_text()

    def test_the_variables_of_a_step_are_those_that_it_uses(self) -> None:
        for job in PIPELINES["github"]["jobs"].values():
            for step in job["steps"]:
                for name in step.get("env", ()):
                    assert name == "GH_TOKEN" or f'"${name}"' in step["run"]


class TestGitLab:
    @pytest.fixture
    def notes(self) -> Iterator[tuple[str, list[ApiCall]]]:
        """GitLab's API for notes of merge requests: its address, and what it was sent."""
        seen: list[ApiCall] = []

        def answer(call: ApiCall) -> Answer:
            seen.append(call)
            return 201, {"id": 1}

        with serving(answer) as api:
            yield f"{api.url}/api/v4", seen

    def test_a_merge_request_gets_its_plan_as_a_note_and_is_applied_when_merged(
        self, repository, running, notes
    ) -> None:
        api, seen = notes
        job = PIPELINES["gitlab"]["plan rollouts"]
        planned = run(repository, job["script"], "sh", CI_MERGE_REQUEST_DIFF_BASE_SHA="HEAD~1")
        assert planned.returncode == 0, planned.stderr
        variables = {"NOTES_TOKEN": "n", "CI_API_V4_URL": api, "CI_PROJECT_ID": "12", "CI_MERGE_REQUEST_IID": "7"}
        noted = run(repository, job["after_script"], "sh", **variables)
        assert noted.returncode == 0, noted.stderr
        (call,) = seen
        assert (call.method, call.path) == ("POST", ("api", "v4", "projects", "12", "merge_requests", "7", "notes"))
        assert call.headers["private-token"] == "n"
        assert "## Rollout tone: support-assistant v42" in call.body
        assert running.service.load_world().rollouts == {}
        script = PIPELINES["gitlab"]["apply rollouts"]["script"]
        applied = run(repository, script, "sh", CI_COMMIT_BEFORE_SHA="HEAD~1")
        assert applied.returncode == 0, applied.stderr
        assert running.service.load_world().rollouts["R-1"].to_content["prompt"] == "Be brief."

    def test_what_is_refused_fails_the_job_and_is_noted_all_the_same(self, repository, notes) -> None:
        api, seen = notes
        repository.commit({"rollouts/tone.yaml": BLOCK_STYLE.replace("risk: low", "risk: lo")})
        job = PIPELINES["gitlab"]["plan rollouts"]
        assert run(repository, job["script"], "sh", CI_MERGE_REQUEST_DIFF_BASE_SHA="HEAD~1").returncode == 1
        variables = {"NOTES_TOKEN": "n", "CI_API_V4_URL": api, "CI_PROJECT_ID": "12", "CI_MERGE_REQUEST_IID": "7"}
        assert run(repository, job["after_script"], "sh", **variables).returncode == 0
        assert "was refused" in seen[0].body
