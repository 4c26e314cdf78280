"""CSV, as programs and spreadsheets write it: commas, semicolons or tabs, UTF-8 or UTF-16, decimal points or commas."""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping

from core.evals.eval_run import EvalRun, ReadingChoices, UnreadableEvals
from core.evals.formats import case_columns

csv.field_size_limit(8 * 1024 * 1024)  # process-wide: a column with the answer may be as long as a request body
_FIRST_LINE = re.compile(r"[^\r\n]*")
_EXCEL_DELIMITER = re.compile(r"sep=(.)(?:\r\n|\r|\n)", re.IGNORECASE)
"""The line by which a file tells Excel its delimiter."""
_DELIMITERS = ",;\t|"
_PROMPTFOO_COLUMNS = frozenset({"status", "named scores", "grader reason"})


def read_csv(body: bytes, choices: ReadingChoices) -> EvalRun:
    """Read a table whose first line names `case`, `category` and `pass`, and others of `case_columns.COLUMNS`.

    Raises `UnreadableEvals` for anything that could be read in two ways.
    """
    text = decode_text(body, choices.encoding)
    delimiter = ""
    if told := _EXCEL_DELIMITER.match(text):
        delimiter, text = told[1], text[told.end() :]
    delimiter = delimiter or _find_delimiter(_FIRST_LINE.match(text)[0].lower())  # type: ignore[index]
    lines = csv.reader(
        io.StringIO(text, newline=None), delimiter=delimiter, skipinitialspace=delimiter != "\t", strict=True
    )
    try:
        names = [name.strip().lower() for name in next(lines, [])]
        _check_other_tools(names)
        case_columns.check_columns(names, "The first line")
        rows = _read_lines(lines, names, has_decimal_commas=delimiter != ",")
        return EvalRun(tool="", cases=case_columns.read_rows(rows, choices))
    except csv.Error as error:
        raise UnreadableEvals(f"Line {lines.line_num} is not CSV: {error}.") from None


def decode_text(body: bytes, encoding: str) -> str:
    """Decode a text file: UTF-8, UTF-16 with a byte order mark, or the `encoding` that a person named.

    Raises `UnreadableEvals` rather than guess: a wrong letter may change a category.
    """
    if encoding:
        try:
            return body.decode(encoding).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            raise UnreadableEvals(f"This is not {encoding[:40]}: byte {error.start} has no meaning there.") from None
        except (LookupError, ValueError):
            raise UnreadableEvals(
                f'There is no encoding "{encoding[:40]}". Common ones are windows-1252 and utf-8.'
            ) from None
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return body.decode("utf-16")
        except UnicodeDecodeError:
            raise UnreadableEvals("This UTF-16 text is cut or damaged. Export it again.") from None
    if b"\0" in body:
        raise UnreadableEvals(
            'This is not UTF-8 text, most likely UTF-16 without a byte order mark. Save it as "CSV UTF-8".'
        )
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableEvals(
            'This is not UTF-8 text, most likely Windows-1252, as Excel writes "CSV". Save it as "CSV UTF-8", or name '
            "its "
            "encoding."
        ) from None


def _find_delimiter(first_line: str) -> str:
    """The delimiter that splits the first line into a column called `case`, else a comma."""
    for delimiter in _DELIMITERS:
        if "case" in (name.strip().strip('"') for name in first_line.split(delimiter)) and delimiter in first_line:
            return delimiter
    return ","


def _check_other_tools(names: list[str]) -> None:
    if {*names} >= _PROMPTFOO_COLUMNS:
        raise UnreadableEvals(
            "This is promptfoo's CSV, which leaves out categories, costs and what an error was. Export JSON instead: "
            "promptfoo eval --output results.json."
        )
    if "trace_id" in names:
        raise UnreadableEvals(
            "This is MLflow's table as CSV, which turns tags into text. Export JSON instead: "
            'result.result_df.to_json("results.json", orient="records").'
        )


def _read_lines(
    lines: Iterator[list[str]], names: list[str], *, has_decimal_commas: bool
) -> Iterator[tuple[Mapping[str, str], str]]:
    """The fields of each line, and where they stand. Lines without text, which spreadsheets leave, are skipped."""
    numbers = [one.name for one in case_columns.OPTIONAL_COLUMNS if one.is_decimal and one.name in names]
    comma_line = point_line = 0
    for fields in lines:
        where = f"Line {lines.line_num}"  # type: ignore[attr-defined]
        if not any(field.strip() for field in fields):
            continue
        if len(fields) != len(names):
            few = (
                "fewer fields than the first line: the file may be cut"
                if len(fields) < len(names)
                else ("more fields than the first line")
            )
            raise UnreadableEvals(f"{where} has {few}.")
        row = dict(zip(names, fields, strict=True))
        for name in numbers:
            value = row[name]
            if "," in value:
                if not has_decimal_commas:
                    raise UnreadableEvals(
                        f'{where}: {name} is "{value[:40]}". In a file with commas between the columns, write 0.5 for '
                        "a half."
                    )
                if "." in value:
                    raise UnreadableEvals(f'{where}: {name} is "{value[:40]}". Leave out the separators of thousands.')
                comma_line = lines.line_num  # type: ignore[attr-defined]
                row[name] = value.replace(",", ".")
            elif "." in value:
                point_line = lines.line_num  # type: ignore[attr-defined]
            if comma_line and point_line:
                raise UnreadableEvals(
                    f"Line {comma_line} has a decimal comma and line {point_line} a point, so 1.234 could mean two "
                    "numbers. Use one of them, and no thousands separators."
                )
        yield row, where
