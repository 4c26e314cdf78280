"""Reads a file that is sent: as the body, or as a form that may bring the prompts that the file names beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fastapi import Request

from core.files.prompt_files import decode_prompt, refuse_prompt_file
from core.rollout.refusal import Refused

MAX_UPLOADS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SentFile:
    """A rollout, surface or policy file, and the prompts that came with it by their path as the file writes it."""

    name: str
    text: str
    prompts: Mapping[str, bytes] = field(default_factory=dict)

    def read_prompt(self, path: str) -> str:
        """The text of a prompt that came along; ValueError with the reason if it did not, or is no text."""
        if not self.prompts:
            return refuse_prompt_file(path)
        if path not in self.prompts:
            raise ValueError(f"{path} did not come along: send it as the form field {path}")
        return decode_prompt(path, self.prompts[path])


async def read_sent_file(request: Request, filename: str) -> SentFile:
    """The body, or the form's upload called `file` with its other uploads as prompts. Refused if it is no text."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return _decode(filename or "file.yaml", await request.body())
    async with request.form(max_files=MAX_UPLOADS, max_fields=5) as form:
        sent_files = [(name, sent) for name, sent in form.multi_items() if not isinstance(sent, str)]
        uploads = dict(sent_files)
        if twice := next((name for name in uploads if sum(one == name for one, _ in sent_files) > 1), ""):
            raise Refused(f"The form has {twice[:200]} twice.", hint="Send each file once.", code="invalid")
        main = uploads.pop("file", None)
        if main is None:
            raise Refused('The form has no upload called "file".', hint="curl -F file=@rollout.yaml …", code="invalid")
        prompts = {name: await sent.read() for name, sent in uploads.items()}
        return _decode(filename or main.filename or "file.yaml", await main.read(), prompts)


def _decode(name: str, data: bytes, prompts: Mapping[str, bytes] | None = None) -> SentFile:
    try:
        return SentFile(name=name, text=data.decode("utf-8-sig"), prompts=prompts or {})
    except UnicodeDecodeError:
        raise Refused(
            f"{name} is not UTF-8 text.", hint="Save it as UTF-8 and send it again.", code="unreadable"
        ) from None
