"""Texts in a file beside the rollout or surface file: `prompt: {file: prompts/system.md}`, and a judge's anchors."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, TypeAlias

from core.files.syntax.problems import FieldPath, UnreadableFile
from core.files.syntax.yaml_with_lines import SourceFile

ReadPrompt: TypeAlias = Callable[[str], str]
"""Path relative to the file's folder -> the text there. ValueError with the reason if it cannot be read."""

MAX_PROMPT_BYTES = 256 * 1024
_PLACES: tuple[FieldPath, ...] = (("change", "to", "prompt"), ("live", "prompt"), ("judging", "anchors"))


def refuse_prompt_file(path: str) -> str:
    """The reader where there is no folder to read from."""
    raise ValueError(
        f"{path} can only be read where the file is: apply it with `rollout apply`, or write the text here"
    )


def decode_prompt(path: str, data: bytes) -> str:
    """The text in the file at `path`. ValueError with the reason if it is too large or no text."""
    if len(data) > MAX_PROMPT_BYTES:
        raise ValueError(f"{path} is larger than {MAX_PROMPT_BYTES // 1024} KiB")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None


def insert_prompts(source: SourceFile, read: ReadPrompt) -> SourceFile:
    """The file with the text of every such file in place of its path, as if it had been written there.

    Raises UnreadableFile if a path leads out of the folder, or the text cannot be read.
    """
    for place in _PLACES:
        written = _find_value(source.data, place)
        if not (isinstance(written, Mapping) and written.keys() == {"file"}):
            continue
        path = written["file"]
        try:
            text = read(_require_safe_path(path))
        except ValueError as error:
            raise UnreadableFile([source.problem_at((*place, "file"), str(error))]) from None
        source = replace(source, data=_replace_value(source.data, place, text))
    return source


def _require_safe_path(path: object) -> str:
    """The path, if it stays in the folder of the file by its letters; links are the reader's to check."""
    if not isinstance(path, str) or not path.strip():
        raise ValueError("write the path of a text file, such as prompts/system.md")
    parts = PurePosixPath(path).parts
    if path.startswith(("/", "~")) or ".." in parts or "\\" in path or "\0" in path or ":" in parts[0]:
        raise ValueError(f"{path} leads out of the folder of this file: use a path below it, such as prompts/system.md")
    return path


def _find_value(data: Any, place: FieldPath) -> Any:
    for step in place:
        data = data.get(step) if isinstance(data, Mapping) else None
    return data


def _replace_value(data: Any, place: FieldPath, text: str) -> Any:
    first, *rest = place
    return {**data, first: _replace_value(data[first], tuple(rest), text) if rest else text}
