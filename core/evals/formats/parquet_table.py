"""Parquet files: the same columns as CSV, or MLflow's result table."""

from typing import Any

from core.evals.eval_run import MAX_CASES, EvalRun, ReadingChoices, UnreadableEvals
from core.evals.formats import case_columns
from core.evals.formats.field_values import too_many_cases
from core.evals.formats.tools import mlflow

_MLFLOW_COLUMNS = ("trace_id", "client_request_id", "state", "execution_duration", "request", "trace_metadata", "tags",
                   "assessments")  # fmt: skip


def read_parquet(body: bytes, choices: ReadingChoices) -> EvalRun:
    """Read the columns that are known, and none with answers. Raises `UnreadableEvals` if it is cut or too large.

    pyarrow ends the whole process on some damaged files, so that only a process that may end should call this.
    """
    try:
        from pyarrow import ArrowException, BufferReader, parquet
    except ImportError:
        raise UnreadableEvals(
            "Reading Parquet needs pyarrow: install the extra `parquet`, or export CSV or JSON."
        ) from None
    if not body.endswith(b"PAR1"):
        raise UnreadableEvals("The Parquet file is cut: its end is missing. Copy it again.")
    try:
        file = parquet.ParquetFile(BufferReader(body))
        if file.metadata.num_rows > MAX_CASES:
            raise too_many_cases()
        names = file.schema_arrow.names
        is_mlflow = "trace_id" in names and any(name.endswith("/value") for name in names)
        if not is_mlflow:
            case_columns.check_columns([name.lower() for name in names], "The schema")
        known = {*_MLFLOW_COLUMNS} if is_mlflow else {*case_columns.COLUMNS, *choices.dimensions}
        wanted = [name for name in names if name.lower() in known or (is_mlflow and name.endswith("/value"))]
        _check_unpacked(file, wanted, choices.most_unpacked)
        rows: list[dict[str, Any]] = file.read(columns=wanted).to_pylist()
    except UnreadableEvals:
        raise
    except (ArrowException, OSError, ValueError, OverflowError) as error:
        raise UnreadableEvals(f"The Parquet file cannot be read: {str(error).partition(chr(10))[0][:200]}.") from None
    if is_mlflow:
        return mlflow.read_mlflow(rows, choices)
    named = (({name.lower(): value for name, value in row.items()}, f"Row {i + 1}") for i, row in enumerate(rows))
    return EvalRun(tool="", cases=case_columns.read_rows(named, choices))


def _check_unpacked(file: Any, wanted: list[str], limit: int) -> None:
    """Raise `UnreadableEvals` if the wanted columns, by the file's own account, unpack to too much."""
    groups = (file.metadata.row_group(i) for i in range(file.metadata.num_row_groups))
    columns = (group.column(i) for group in groups for i in range(group.num_columns))
    if sum(c.total_uncompressed_size for c in columns if c.path_in_schema.partition(".")[0] in wanted) > limit:
        raise UnreadableEvals(f"Its columns unpack to over {limit // 1024**2} MiB, which is refused.")
