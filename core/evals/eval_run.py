"""A run of an eval suite, whatever tool made it: one value per case and version, and how a run is read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

MAX_CASES = 100_000
MAX_LABEL = 60  # characters of a label's value: longer ones are texts, not labels


class UnreadableEvals(ValueError):
    """Input that is not eval results. The message says where it is wrong and what it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalCase:
    """One run of one case. `error` means that it could not be judged; it counts as failed.

    `is_unchecked` is an error of the suite: nothing looked at the answer, so its cost and time count all the same.

    `cost` is in US dollars and, as `latency_ms` and `tokens`, that of the answer alone, without the judge's. `content`
    identifies the input of the case, so that a case that was rewritten is noticed. `labels` are `dimension=value`.
    """

    case: str
    category: str
    passed: bool
    error: bool = False
    score: float | None = None
    cost: float | None = None
    latency_ms: float | None = None
    tokens: int | None = None
    repeat: int = 0  # counts the runs of the same case
    judge: str = ""
    model: str = ""  # the model that answered
    version: str = ""  # empty: the version under test
    content: str = ""
    labels: tuple[str, ...] = ()
    is_flaky: bool = False  # its repeated runs disagree
    is_unchecked: bool = False

    @property
    def has_passed(self) -> bool:
        """Whether the case was judged and passed."""
        return self.passed and not self.error

    @property
    def has_failing_run(self) -> bool:
        """Whether the case, or at least one of its repeated runs, did not pass."""
        return not self.has_passed or self.is_flaky


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRun:
    """The results in one file. `tool` is what made it; `suite` is empty if the file does not name it.

    `label` is what the tool calls the prompt or model of a run with only one of them. It need not be a version's name.
    """

    tool: str
    cases: tuple[EvalCase, ...]
    suite: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingChoices:
    """What a file cannot say by itself and a person has to.

    `dimensions` are the segments to keep of each case. Without `scorer` all scorers of a case must pass. A numeric
    score passes from `pass_at` on; without it, only 1 and 0 are understood. `encoding` is that of a text file that is
    not UTF-8.
    """

    dimensions: tuple[str, ...] = ()
    scorer: str = ""
    pass_at: float | None = None
    encoding: str = ""
    reads_parquet: bool = True  # False in a process that a damaged Parquet file must not end
    most_unpacked: int = 256 * 1024 * 1024  # bytes of one packed file: a small archive may claim to hold far more


DEFAULT_CHOICES = ReadingChoices()


def hash_dataset(cases: Iterable[EvalCase]) -> str:
    """Twelve hex digits over the ids, categories and inputs of the cases; the same in any order and however often
    run.
    """
    lines = sorted({f"{case.case}\0{case.category}\0{case.content}" for case in cases})
    return sha256("\n".join(lines).encode()).hexdigest()[:12]


def hash_content(content: bytes) -> str:
    """Twelve hex digits that identify the input of a case."""
    return sha256(content).hexdigest()[:12]


def select_labels(fields: Mapping[str, object], dimensions: tuple[str, ...]) -> tuple[str, ...]:
    """The labels `dimension=value` of a case: short texts and whole numbers among its fields."""
    if not dimensions:
        return ()
    found = ((name, fields.get(name)) for name in dimensions)
    return tuple(
        f"{name}={str(value).strip()}"
        for name, value in found
        if isinstance(value, str | int) and 0 < len(str(value).strip()) <= MAX_LABEL
    )
