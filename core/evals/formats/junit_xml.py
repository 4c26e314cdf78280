"""JUnit XML, read with document types refused: an XML file can name entities that unfold to gigabytes or to files."""

from dataclasses import replace
from typing import NoReturn
from xml.parsers import expat

from core.evals.eval_run import MAX_CASES, EvalCase, EvalRun, ReadingChoices, UnreadableEvals, select_labels
from core.evals.formats.field_values import read_name, read_number, too_many_cases
from core.evals.repeats import number_repeats

_OUTCOMES = frozenset({"failure", "error", "skipped"})
_OUTCOMES_OF_WORDS = {
    **dict.fromkeys(("fail", "failed", "failure"), "failure"),
    **dict.fromkeys(("error", "errored"), "error"),
    **dict.fromkeys(("skipped", "notrun", "suppressed", "disabled", "ignored"), "skipped"),
}
"""What GoogleTest, CTest and others write as a case's `status` or `result`, in place of an element within it."""
_FAILED_BEFORE = frozenset({"flakyFailure", "flakyError"})
"""Runs of a case that failed before one passed, as Maven writes them."""
_RERUNS = _FAILED_BEFORE | {"rerunFailure", "rerunError"}
_MAX_DEPTH = 64


def read_junit(body: bytes, choices: ReadingChoices) -> EvalRun:
    """Read `testcase` elements. A case is `classname.name`; without a classname its suite's name stands for it. Its
    category is the property `category`, else the classname.

    A case that is there several times, and runs that failed before one passed, are runs of one case. Skipped cases were
    not judged and count as errors. Raises `UnreadableEvals` if the file is cut, has a document type, or holds fewer
    cases than its suites count.
    """
    reader = _JUnitReader(choices)
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.open_element
    parser.EndElementHandler = reader.close_element
    parser.StartDoctypeDeclHandler = _refuse_document_type
    parser.EntityDeclHandler = _refuse_document_type
    try:
        parser.Parse(body, True)
    except UnreadableEvals:
        raise
    except (expat.ExpatError, LookupError, ValueError) as error:
        line = parser.CurrentLineNumber
        raise UnreadableEvals(f"Line {line}: {error}. The XML is cut or damaged; export it again.") from None
    return reader.finish()


def _read_count(text: str) -> int:
    """A number of tests; 0 for what is none."""
    return int(text) if text.isdecimal() and len(text) <= 9 else 0


def _drop_separators(number: str) -> str:
    """A number without commas between thousands; empty if a comma could as well be a decimal one."""
    return "" if "," in number and "." not in number else number.replace(",", "")


def _refuse_document_type(*_: object) -> NoReturn:
    raise UnreadableEvals("The XML has a document type (DOCTYPE), which is not read. JUnit files have none: remove it.")


class _JUnitReader:
    """Collects the cases while the parser walks through the elements."""

    def __init__(self, choices: ReadingChoices) -> None:
        self._choices = choices
        self._path: list[str] = []
        self._cases: list[EvalCase] = []
        self._case: dict[str, str] | None = None
        self._properties: dict[str, str] = {}
        self._outcomes: set[str] = set()
        self._suites: list[str] = []
        self._suite = ""
        self._failed_before = 0  # runs of the case at hand
        self._reruns = 0  # of all cases: some tools count them as tests
        self._tests = self._counted = 0

    def open_element(self, tag: str, attributes: dict[str, str]) -> None:
        """Take note of a suite, a case, its outcome or a property of it."""
        if not self._path and tag not in ("testsuites", "testsuite"):
            raise UnreadableEvals(
                f"This is XML, but its root is <{tag[:40]}>; JUnit has <testsuites> or <testsuite>."
                + (" promptfoo writes JUnit into files that end in .junit.xml." if tag == "promptfoo" else "")
            )
        if len(self._path) >= _MAX_DEPTH:
            raise UnreadableEvals(f"The XML is nested over {_MAX_DEPTH} elements deep, which JUnit never is.")
        if tag == "testsuite":
            self._suite = self._suite or attributes.get("name", "")
            self._suites.append(read_name(attributes.get("name")))
            if "testsuite" not in self._path:
                self._counted += _read_count(attributes.get("tests", ""))
        elif tag == "testcase":
            words = (attributes.get(name, "").strip().lower() for name in ("status", "result"))
            self._outcomes = {_OUTCOMES_OF_WORDS[word] for word in words if word in _OUTCOMES_OF_WORDS}
            self._case, self._properties, self._failed_before = attributes, {}, 0
        elif self._case is not None and tag in _OUTCOMES:
            self._outcomes.add(tag)
        elif self._case is not None and tag in _RERUNS:
            self._reruns += 1
            self._failed_before += tag in _FAILED_BEFORE
        elif self._case is not None and tag == "property":
            self._properties[attributes.get("name", "")] = attributes.get("value", "")
        self._path.append(tag)

    def close_element(self, tag: str) -> None:
        """Keep the case that ends here."""
        self._path.pop()
        if tag == "testsuite":
            self._suites.pop()
        elif tag == "testcase" and self._case is not None:
            case = self._build_case(self._case)
            self._cases += [replace(case, passed=False, latency_ms=None)] * self._failed_before
            self._cases.append(case)
            self._tests += 1
            self._case = None
            if len(self._cases) > MAX_CASES:
                raise too_many_cases()

    def finish(self) -> EvalRun:
        """The run, once the document has ended."""
        if self._counted > self._tests + self._reruns:
            raise UnreadableEvals(
                f"The suites count {self._counted} tests, but the file holds {self._tests}: it is incomplete. "
                "Export it again."
            )
        return EvalRun(tool="JUnit XML", cases=number_repeats(self._cases), suite=self._suite)

    def _build_case(self, attributes: dict[str, str]) -> EvalCase:
        name = read_name(attributes.get("name"))
        within = read_name(attributes.get("classname")) or next((suite for suite in self._suites[::-1] if suite), "")
        if not name:
            raise UnreadableEvals(f"The test case number {len(self._cases) + 1} has no name.")
        time = _drop_separators(attributes.get("time", "").strip())
        seconds = read_number(time, f'The test case "{name[:60]}"', "time")
        return EvalCase(
            case=f"{within}.{name}" if within else name,
            category=self._properties.get("category", within),
            passed=not self._outcomes,
            error="failure" not in self._outcomes and bool(self._outcomes),
            latency_ms=None if seconds is None else seconds * 1000,
            model=self._properties.get("model", ""),
            labels=select_labels(self._properties, self._choices.dimensions),
        )
