"""Which model a version is configured to call, and whether an answer came from it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from core.rollout.plans.plan import Content

_DATE = re.compile(r"(20\d{2})-?(\d{2})(?:-?(\d{2}))?")


def format_model(content: Content) -> str:
    """The model of a version as one text, such as `large-4-2026-11-30`; empty if it names none."""
    model = content.get("model")
    if isinstance(model, Mapping):
        name, snapshot = str(model.get("name") or ""), str(model.get("snapshot") or "")
        return "-".join(part for part in (name, snapshot) if part)
    return model if isinstance(model, str) else ""


def may_answer(content: Content, answered: str) -> bool:
    """Whether a response that names `answered` may belong to a version: it is its model, or one that its routing names.

    A version without a model is contradicted by none.
    """
    configured = format_model(content)
    if not configured or is_same_model(configured, answered):
        return True
    return any(is_same_model(text, answered) for text in list_texts(content.get("routing")))


def is_same_model(configured: str, answered: str) -> bool:
    """Whether both texts name one model.

    The spelling of dates, a provider in front (`acme-ai/large-4`) and letter case do not matter. A name without a date
    contradicts no date, as some providers answer with the bare name.
    """
    name, date = _split_date(configured)
    other, other_date = _split_date(answered)
    if name != other:
        return False
    return not date or not other_date or date.startswith(other_date) or other_date.startswith(date)


def is_switched_off_with(configured: str, retired: str) -> bool:
    """Whether a version that calls `configured` gets no answers once `retired` is switched off.

    A name without a date retires all its dates. A dated one retires that date only: who calls the name without a date
    may be answered by another.
    """
    name, date = _split_date(configured)
    other, other_date = _split_date(retired)
    return name == other and (not other_date or date.startswith(other_date))


def list_texts(value: Any) -> Iterator[str]:
    """Every text within a value, however deep."""
    match value:
        case str():
            yield value
        case Mapping():
            for one in value.values():
                yield from list_texts(one)
        case list() | tuple():
            for one in value:
                yield from list_texts(one)


def _split_date(model: str) -> tuple[str, str]:
    """(name without provider, date and punctuation; date as digits)."""
    bare: Any = model.strip().lower().rsplit("/", 1)[-1]
    found = _DATE.search(bare)
    date = "".join(part for part in found.groups() if part) if found else ""
    rest = bare[: found.start()] + bare[found.end() :] if found else bare
    return re.sub(r"[^a-z0-9.]+", "-", rest).strip("-"), date
