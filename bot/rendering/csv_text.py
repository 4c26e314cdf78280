"""Tables as CSV that a spreadsheet opens as text: no cell is ever run as a formula."""

import csv
import io
from collections.abc import Iterable, Sequence

_FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # full-width ones, too: some versions read them alike
_CONTROL_STARTS = ("\t", "\r", "\n")


def format_csv(rows: Iterable[Sequence[object]]) -> str:
    """The rows as RFC 4180 text, numbers as they are.

    Texts that a spreadsheet might run get an apostrophe in front, as OWASP advises.
    """
    written = io.StringIO()
    csv.writer(written).writerows([_defuse(cell) for cell in row] for row in rows)
    return written.getvalue()


def _defuse(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    is_run = cell.startswith(_CONTROL_STARTS) or cell.lstrip().startswith(_FORMULA_STARTS)
    return f"'{cell}" if is_run else cell
