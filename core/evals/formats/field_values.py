"""The values in fields of eval results: names, outcomes, scores and numbers. What is not clear is refused."""

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any
from unicodedata import normalize

from core.evals.eval_run import MAX_CASES, UnreadableEvals

_TRUE = frozenset({"true", "1", "1.0", "yes", "y", "pass", "passed", "ok"})
_FALSE = frozenset({"false", "0", "0.0", "no", "n", "fail", "failed"})
_ERROR = frozenset({"error", "errored", "timeout", "", "nan", "none", "null"})
_NO_ERROR = frozenset({"", "false", "0", "0.0", "no", "n", "nan", "none", "null", "{}", "[]"})


def read_case_name(value: Any, where: str) -> str:
    """The id of a case. Raises `UnreadableEvals` if there is none."""
    name = read_name(value)
    if not name:
        raise UnreadableEvals(f"{where} has no case.")
    return name


def read_name(value: Any) -> str:
    """A name as text, stripped and composed (NFC). Numbers are names too; anything else gives an empty one."""
    if isinstance(value, str):
        return value.strip() if value.isascii() else normalize("NFC", value.strip())
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def read_category(value: Any, where: str) -> str:
    """The category of a case; a list has to hold one name.

    Raises `UnreadableEvals` for several, and for an object: without its category a failure could go unseen.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    is_list_as_text = isinstance(value, str) and value[:1] == "[" and value[-1:] == "]" and "," in value
    if is_list_as_text or (isinstance(value, list | dict) and value):
        raise UnreadableEvals(
            f"{where} has several categories ({str(value)[:120]}), and what may not newly fail depends on it. Give it "
            "one."
        )
    return read_name(value)


def read_outcome(fields: Mapping[str, Any], where: str) -> tuple[bool, bool]:
    """(passed, error) from `pass` or `passed`, and `error`.

    A case without an outcome could not be judged: that is an error, never a pass.
    """
    if fields.get("error") not in (None, False) and str(fields["error"]).strip().lower() not in _NO_ERROR:
        return False, True
    given = [fields[name] for name in ("pass", "passed") if name in fields]
    if len(given) == 2 and given[0] != given[1]:
        raise UnreadableEvals(f'{where}: "pass" and "passed" disagree.')
    value = given[0] if given else None
    word = "" if value is None else str(value).strip().lower()
    if word in _TRUE:
        return True, False
    if word in _FALSE:
        return False, False
    if word in _ERROR:
        return False, True
    raise UnreadableEvals(f'{where}: pass is "{word[:40]}"; write true, false or error.')


def read_score(value: Any, pass_at: float | None, where: str, scorer: str) -> tuple[bool, bool, float | None]:
    """(passed, error, score) of what a scorer said: yes or no, true or false, or a number.

    A number passes from `pass_at` on. Without it only 1 and 0 are understood, and others are refused.
    """
    if value is None:
        return False, True, None
    if isinstance(value, bool):
        return value, False, float(value)
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE, False, float(word in _TRUE)
    number = to_number(value)
    if number is not None and pass_at is not None:
        return number >= pass_at, False, number
    if number in (0.0, 1.0):
        return number == 1.0, False, number
    if number is not None:
        raise UnreadableEvals(
            f'{where}: the scorer "{scorer[:40]}" gives {number:g}, which is neither 1 nor 0. Say from which score on '
            "a "
            "case passes (pass_at), or which scorer decides (scorer)."
        )
    raise UnreadableEvals(
        f'{where}: the scorer "{scorer[:40]}" says "{str(value)[:40]}", which is neither yes nor no. Say which scorer '
        "decides (scorer)."
    )


def to_number(value: Any) -> float | None:
    """The value as a finite number, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if isfinite(number) else None


def is_missing(value: Any) -> bool:
    """Whether a field holds no number: nothing at all, or NaN."""
    return value is None or value == "" or value != value or (isinstance(value, str) and value.strip().lower() == "nan")


def read_any_number(value: Any, where: str, name: str) -> float | None:
    """A number, or None if the field is empty or NaN. Raises `UnreadableEvals` for anything else."""
    if is_missing(value):
        return None
    number = to_number(value)
    if number is None:
        raise UnreadableEvals(f"{where}: {name} is {str(value)[:40]!r}; write a number.")
    return number


def read_number(value: Any, where: str, name: str) -> float | None:
    """A number of at least 0, or None if the field is empty or NaN, as programs write a number that is missing."""
    if is_missing(value):
        return None
    number = to_number(value)
    if number is None or number < 0:
        raise UnreadableEvals(f"{where}: {name} is {str(value)[:40]!r}; write a number of at least 0.")
    return number


def read_count(value: Any, where: str, name: str) -> int | None:
    """A whole number of at least 0, or None if the field is empty."""
    number = read_number(value, where, name)
    if number is not None and number != int(number):
        raise UnreadableEvals(f"{where}: {name} is {str(value)[:40]!r}; write a whole number.")
    return None if number is None else int(number)


def read_mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def read_objects(value: Any, name: str) -> list[dict[str, Any]]:
    """The value if it is a list of objects. Raises `UnreadableEvals` for anything else, and for too many."""
    if not isinstance(value, list):
        raise UnreadableEvals(f'"{name}" must be a list.')
    if len(value) > MAX_CASES:
        raise too_many_cases()
    for index, each in enumerate(value):
        if not isinstance(each, dict):
            raise UnreadableEvals(f"{name}[{index}] must be an object.")
    return value


def sum_counts(values: Iterable[Any]) -> int | None:
    """The sum of a tool's own counts; None if it gives no count of something."""
    counts = list(values)
    return sum(counts) if all(isinstance(count, int) for count in counts) else None


def too_many_cases() -> UnreadableEvals:
    """The refusal of a run that is too large."""
    return UnreadableEvals(f"Over {MAX_CASES:,} cases: split the run by suite.")
