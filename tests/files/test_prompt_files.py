"""A prompt in a file beside the rollout file: its text is the content, and no path leads out of the folder."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli.files.prompt_files import read_beside
from bot.cli.root import app
from core.files.kinds.surface_file import SurfaceFile
from core.files.prompt_files import MAX_PROMPT_BYTES
from core.files.read_file import parse_file
from core.files.syntax.problems import UnreadableFile

FILE = """\
version: 1
kind: surface
surface: support-assistant
owner: "@dana"
live:
  version: v42
  prompt: {file: PATH}
"""


def _read(folder: Path, path: str) -> SurfaceFile:
    file = parse_file(FILE.replace("PATH", path), "surface.yaml", read_beside(folder / "surface.yaml"))
    assert isinstance(file, SurfaceFile)
    return file


def _refused(folder: Path, path: str) -> str:
    with pytest.raises(UnreadableFile) as refused:
        _read(folder, path)
    (problem,) = refused.value.problems
    assert (problem.line, problem.dotted_path) == (7, "live.prompt.file")
    return problem.message


def test_the_text_of_the_file_is_the_content_of_the_version(tmp_path: Path):
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "system.md").write_text("Start with the fix.\n")
    file = _read(tmp_path, "prompts/system.md")
    assert file.live.to_content() == {"prompt": "Start with the fix.\n"}
    (tmp_path / "prompts" / "system.md").write_text("Greet first.\n")
    assert _read(tmp_path, "prompts/system.md").fingerprint != file.fingerprint


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.md", "a/../../secret.md", "~/x", "'a\\b'", "C:/x", "'a\0'"])
def test_a_path_that_leads_out_of_the_folder_is_refused_at_its_line(tmp_path: Path, path: str):
    (tmp_path.parent / "secret.md").write_text("secret")
    written = '"a\\0b"' if "\0" in path else path
    assert "leads out of the folder" in _refused(tmp_path, written)


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path):
    folder = tmp_path / "rollouts"
    folder.mkdir()
    (tmp_path / "secret.md").write_text("secret")
    os.symlink(tmp_path / "secret.md", folder / "prompt.md")
    assert "through a link" in _refused(folder, "prompt.md")


def test_what_cannot_be_read_says_why(tmp_path: Path):
    (tmp_path / "large.md").write_text("x" * (MAX_PROMPT_BYTES + 1))
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff")
    assert "there is no file missing.md" in _refused(tmp_path, "missing.md")
    assert "larger than 256 KiB" in _refused(tmp_path, "large.md")
    assert "not UTF-8" in _refused(tmp_path, "image.png")
    assert "write the path" in _refused(tmp_path, "[a]")


def test_where_there_is_no_folder_the_file_says_what_to_do():
    with pytest.raises(UnreadableFile, match="rollout apply"):
        parse_file(FILE.replace("PATH", "prompt.md"), "surface.yaml")


ANCHORS = (
    FILE.replace("  prompt: {file: PATH}", "  prompt: Be brief.") + "judging: {judge: nightly, anchors: {file: PATH}}\n"
)
GOOD = "".join(f"- id: a{n}\n  question: How?\n  answer: So.\n" for n in range(10))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("answer: So.", "answer: [So.", 1), "line 4 of the file of anchors: "),
        (
            GOOD.replace("  answer: So.\n- id: a3", "- id: a3"),
            "line 7 of the file of anchors: answer: Field required",
        ),
        (GOOD.replace("- id: a1\n", "- id: a1\n  label: maybe\n"), "line 5 of the file of anchors: label: "),
        ('[\n{"id": "a"\n"answer": "x"}]', "line 3 of the file of anchors: "),
        ("words", "the file of anchors must be a list"),
    ],
)
def test_what_is_wrong_in_a_file_of_anchors_is_told_with_its_line(tmp_path: Path, text: str, said: str):
    (tmp_path / "anchors.yaml").write_text(text)
    with pytest.raises(UnreadableFile) as refused:
        parse_file(ANCHORS.replace("PATH", "anchors.yaml"), "surface.yaml", read_beside(tmp_path / "surface.yaml"))
    (problem,) = refused.value.problems
    assert problem.message.startswith(said)


def test_anchors_beside_a_surface_file_are_no_file_of_their_own(tmp_path: Path):
    surface, anchors = tmp_path / "surface.yaml", tmp_path / "anchors.yaml"
    notify = 'notify: [{channel: "#ai-rollouts", as: engineering}]\n'
    surface.write_text(ANCHORS.replace("PATH", "anchors.yaml") + notify)
    anchors.write_text(GOOD)
    found = CliRunner().invoke(app, ["lint", str(anchors), str(surface)])
    assert (found.exit_code, found.output) == (0, "1 file, no problems found.\n")
    alone = CliRunner().invoke(app, ["lint", str(anchors)])
    assert alone.exit_code == 1
