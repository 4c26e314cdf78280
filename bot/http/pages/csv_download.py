"""A table to download that a spreadsheet opens with its letters right."""

from collections.abc import Mapping

from starlette.responses import Response


def build_csv_download(text: str, headers: Mapping[str, str]) -> Response:
    """The CSV with a byte order mark: without one, Excel takes UTF-8 for the code page of its machine."""
    return Response("\ufeff" + text, media_type="text/csv; charset=utf-8", headers=headers)
