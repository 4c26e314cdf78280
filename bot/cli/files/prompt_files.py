"""Reads prompts that stand in a file beside a rollout or surface file, never from outside its folder."""

from collections.abc import Callable
from pathlib import Path

from core.files.prompt_files import MAX_PROMPT_BYTES, ReadPrompt, decode_prompt


def read_beside(file: Path, note: Callable[[Path], object] = lambda _: None) -> ReadPrompt:
    """A reader of prompts in the folder of `file`. Links that lead out of the folder are refused.

    What is read is handed to `note`.
    """
    folder = file.resolve().parent

    def read(path: str) -> str:
        found = (folder / path).resolve()
        if not found.is_relative_to(folder):
            raise ValueError(f"{path} leads out of the folder of this file through a link")
        if not found.is_file():
            raise ValueError(f"there is no file {path} beside this one")
        note(found)
        try:
            with found.open("rb") as opened:
                data = opened.read(MAX_PROMPT_BYTES + 1)
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
        return decode_prompt(path, data)

    return read
