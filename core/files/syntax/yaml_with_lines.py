"""Parse YAML to plain data that remembers where every value was written."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from core.files.syntax.problems import FieldPath, FileProblem, Severity, SourceSpot, UnreadableFile

MAX_BYTES = 256 * 1024
MAX_DEPTH = 30
MAX_ALIASES = 50
MAX_DOCUMENTS = 30
MAX_VALUES = 10_000  # counted after aliases are expanded, as a "billion laughs" file is small as text

_SEPARATOR = re.compile(r"---(?:\s|$)")
_TAG = "tag:yaml.org,2002:"
_PLAIN = {_TAG + name for name in ("null", "bool", "int", "float", "str")}


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A file as it was read: its data and, for each path, the place of the value and of its key."""

    file: str
    lines: tuple[str, ...]
    data: Any
    values: Mapping[FieldPath, SourceSpot]
    keys: Mapping[FieldPath, SourceSpot]
    shortened: Mapping[FieldPath, str]  # the original text of numbers that lose digits, such as 1.10

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits over the data; comments, key order and layout do not matter."""
        return hashlib.sha256(json.dumps(self.data, sort_keys=True).encode()).hexdigest()[:16]

    def find_spot(self, path: FieldPath, *, at_key: bool = False) -> SourceSpot:
        """Where `path` is written, or the nearest enclosing value that is."""
        if at_key and path in self.keys:
            return self.keys[path]
        while path not in self.values:
            path = path[:-1]
        return self.values[path]

    def problem_at(
        self,
        path: FieldPath,
        message: str,
        *,
        at_key: bool = False,
        severity: Severity = "error",
        also: FieldPath | None = None,
        is_forecast: bool = False,
    ) -> FileProblem:
        """A problem with the value (or the key) at `path`; `also` is the path of the second place, if there is one."""
        spot = self.find_spot(path, at_key=at_key)
        return FileProblem(
            file=self.file,
            line=spot.line,
            column=spot.column,
            source_line=spot.source_line,
            path=path,
            message=message,
            severity=severity,
            also=None if also is None else self.find_spot(also, at_key=True),
            is_forecast=is_forecast,
        )


def split_documents(text: str) -> tuple[str, ...]:
    """The documents of a text, separated by lines that begin with `---`; each keeps the number of its lines.

    By YAML's rules, such a line ends a document wherever it stands. One without content is left out. A text that is too
    large, or has too many, is left whole: reading it says what is wrong.
    """
    if len(text) > MAX_BYTES or sum(bool(_SEPARATOR.match(line)) for line in text.splitlines()) > MAX_DOCUMENTS:
        return (text,)
    found: list[list[str]] = [[]]
    for number, line in enumerate(text.splitlines(keepends=True)):
        if _SEPARATOR.match(line):
            found.append(["\n"] * number)
        found[-1].append(line)
    documents = ["".join(lines) for lines in found]
    kept = tuple(one for one in documents if any(_has_content(line) for line in one.splitlines()))
    return kept if len(kept) > 1 else (text,)


def _has_content(line: str) -> bool:
    plain = line.removeprefix("---").strip()
    return bool(plain) and not plain.startswith("#")


def parse_yaml(text: str, file: str) -> SourceFile:
    """Parse one YAML or JSON document like PyYAML's safe loader, with differences that prevent surprises.

    Refused are duplicate keys, tags, merge keys, unbounded aliases and nesting, and values that YAML 1.1 would silently
    change (`NO`, `010`, `1_000`). Dates and times (`2027-01-04`, `20:00`) stay text. Raises UnreadableFile.
    """
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        message = f"the file is larger than {MAX_BYTES // 1024} KB; a rollout, surface or policy file is a page or two"
        raise UnreadableFile([FileProblem(file=file, line=1, column=1, message=message)])
    lines = tuple(text.splitlines())
    is_json = _is_json(text)
    try:
        loader = _Loader(text.replace("\t", " ") if is_json else text)
        root = loader.get_single_node()
    except yaml.reader.ReaderError as error:
        raise UnreadableFile([_unprintable_problem(error, text, file)]) from error
    except yaml.MarkedYAMLError as error:
        raise UnreadableFile([_syntax_problem(error, lines, file)]) from error
    if root is None:
        raise UnreadableFile([FileProblem(file=file, line=1, column=1, message="the file is empty")])
    walk = _NodeReader(loader, lines, file, is_json)
    data = walk.read_value(root, (), ())
    if walk.problems:
        raise UnreadableFile(walk.problems)
    return SourceFile(file=file, lines=lines, data=data, values=walk.values, keys=walk.keys, shortened=walk.shortened)


class _Loader(yaml.SafeLoader):
    """A safe loader that stops early on excessive nesting and aliases."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML's own name and type)
        first: [(tag, regexp) for tag, regexp in resolvers if tag in _PLAIN]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = self.aliases = self.nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self.aliases += isinstance(event, yaml.AliasEvent)
        self.nodes += 1
        self.depth += 1
        if self.nodes > 2 * MAX_VALUES:  # keys are nodes, too
            raise yaml.MarkedYAMLError(None, None, f"more than {MAX_VALUES} values", event.start_mark)
        if self.depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(None, None, f"nested deeper than {MAX_DEPTH} levels", event.start_mark)
        if self.aliases > MAX_ALIASES:
            raise yaml.MarkedYAMLError(None, None, f"more than {MAX_ALIASES} aliases", event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _NodeReader:
    """Reads the nodes in one pass: data, places, and everything that is wrong with them."""

    def __init__(self, loader: _Loader, lines: tuple[str, ...], file: str, is_json: bool) -> None:
        self.loader, self.lines, self.file, self.is_json = loader, lines, file, is_json
        self.values: dict[FieldPath, SourceSpot] = {}
        self.keys: dict[FieldPath, SourceSpot] = {}
        self.shortened: dict[FieldPath, str] = {}
        self.problems: list[FileProblem] = []

    def read_value(self, node: yaml.Node, path: FieldPath, around: tuple[int, ...]) -> Any:
        if id(node) in around or len(path) > MAX_DEPTH:
            self.add_problem(node, path, "an alias contains itself")
            raise UnreadableFile(self.problems)
        if len(self.values) >= MAX_VALUES:
            self.add_problem(node, path, f"more than {MAX_VALUES} values once aliases are followed")
            raise UnreadableFile(self.problems)
        self.values[path] = self.spot_of(node)
        match node:
            case yaml.MappingNode(tag="tag:yaml.org,2002:map"):
                return self.read_mapping(node, path, (*around, id(node)))
            case yaml.SequenceNode(tag="tag:yaml.org,2002:seq"):
                inside = (*around, id(node))
                return [self.read_value(item, (*path, number), inside) for number, item in enumerate(node.value)]
            case yaml.ScalarNode() if node.tag in _PLAIN:
                return self.read_scalar(node, path)
            case _:
                tag = node.tag.removeprefix(_TAG)
                return self.add_problem(node, path, f'the tag "{tag}" is not allowed: write plain values')

    def read_mapping(self, node: yaml.MappingNode, path: FieldPath, around: tuple[int, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.add_problem(key, path, "a key must be a plain word")
                continue
            name = _join_surrogates(str(key.value))
            here = (*path, name)
            if key.style is None and name == "<<":
                self.add_problem(key, here, "merge keys (<<) are not allowed: write the fields out")
            elif name in found:
                first = self.keys[here].line
                self.add_problem(key, here, f'"{name}" is written twice; the first is on line {first}')
            else:
                self.keys[here] = self.spot_of(key)
                found[name] = self.read_value(item, here, around)
        return found

    def read_scalar(self, node: yaml.ScalarNode, path: FieldPath) -> Any:
        kind = node.tag.removeprefix(_TAG)
        if kind in ("int", "float") and ":" in node.value:
            return str(node.value)  # YAML 1.1 would read 20:00 as the number 1200
        if (meant := _find_yaml_1_1_meaning(kind, node.value)) and node.style is None:
            return self.add_problem(
                node, path, f'"{node.value[:40]}" is {meant}: write that, or "{node.value}", in quotes'
            )
        try:
            value = getattr(self.loader, f"construct_yaml_{kind}")(node)
            if self.is_json and kind == "str" and node.style is None:
                value = json.loads(node.value)  # such as 1e-7, which YAML 1.1 reads as text
        except (ValueError, KeyError):
            return self.add_problem(node, path, f'"{node.value[:40]}" cannot be read as {kind}')
        if isinstance(value, float) and not math.isfinite(value):
            return self.add_problem(node, path, "a number must be finite")
        if isinstance(value, float) and repr(value) != node.value:
            self.shortened[path] = node.value
        return _join_surrogates(value) if isinstance(value, str) else value

    def spot_of(self, node: yaml.Node) -> SourceSpot:
        mark = node.start_mark
        return SourceSpot(line=mark.line + 1, column=mark.column + 1, source_line=_line_at(self.lines, mark.line))

    def add_problem(self, node: yaml.Node, path: FieldPath, message: str) -> None:
        spot = self.spot_of(node)
        self.problems.append(
            FileProblem(
                file=self.file,
                line=spot.line,
                column=spot.column,
                source_line=spot.source_line,
                path=path,
                message=message,
            )
        )


def _find_yaml_1_1_meaning(kind: str, written: str) -> str:
    """How YAML 1.1 reads a word or number that people read otherwise: NO is false, 010 is 8. Empty if it does not."""
    if kind == "bool" and written.lower() not in ("true", "false"):
        return f"{'true' if written.lower() in ('yes', 'on') else 'false'} in YAML"
    plain = written.replace("_", "")
    with suppress(ValueError):  # if it is not a number either, the caller refuses it
        if kind == "float" and plain != written:
            return f"the number {float(plain):g} in YAML"
        if kind == "int" and not re.fullmatch(r"[-+]?(0|[1-9][0-9]*)|.*:.*", written):
            return f"the number {_parse_yaml_1_1_int(plain)} in YAML"
    return ""


def _parse_yaml_1_1_int(written: str) -> int:
    digits = written.lstrip("+-").lower()
    base = {"0x": 16, "0b": 2}.get(digits[:2], 8 if digits.startswith("0") else 10)
    return int(digits, base) * (-1 if written.startswith("-") else 1)


def _is_json(text: str) -> bool:
    """Whether the text is a JSON object, which unlike YAML may be indented with tabs."""
    if not text.lstrip().startswith("{"):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _join_surrogates(text: str) -> str:
    """Join surrogate pairs, as JSON escapes characters beyond U+FFFF as two. A lone surrogate becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _syntax_problem(error: yaml.MarkedYAMLError, lines: tuple[str, ...], file: str) -> FileProblem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark is not None else (0, 0)
    message = " ".join(part for part in (error.context, error.problem) if part)
    if "'\\t'" in message:
        message += ": indent with spaces, not tabs"
    return FileProblem(
        file=file,
        line=line + 1,
        column=column + 1,
        source_line=_line_at(lines, line),
        message=f"not valid YAML: {message}",
    )


def _unprintable_problem(error: yaml.reader.ReaderError, text: str, file: str) -> FileProblem:
    before = text[: error.position].splitlines() or [""]
    code = error.character if isinstance(error.character, int) else ord(error.character)
    message = f"not valid YAML: the character U+{code:04X} is not allowed"
    return FileProblem(file=file, line=len(before), column=len(before[-1]) + 1, message=message)


def _line_at(lines: tuple[str, ...], number: int) -> str:
    return lines[number] if number < len(lines) else ""
