"""BigQuery and Snowflake: how each says what the pull needs, and how it is opened.

Their statements are compiled and compared by text; none was ever run there. What each function does is taken from the
references of GoogleSQL (string, hash and timestamp functions) and of Snowflake's SQL (SHA2, LENGTH, TO_TIMESTAMP_LTZ).
"""

import re
from datetime import datetime
from math import ceil

from sqlalchemy import URL, BigInteger, Engine, NullPool, String, case, cast, create_engine, func, literal, text

from bot.sources.errors import SourceFailure
from bot.sources.sql.engines import Expression, SqlEngine, to_double, to_microseconds

_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9][A-Za-z0-9_-]*)*")
_SNOWFLAKE_OPTIONS = frozenset({"warehouse", "role"})
_DATE_CODE, _BOOLEAN_CODE = 3, 13  # of DATE and BOOLEAN, among the type codes of Snowflake's connector
_TELLS_NAMES = re.compile(r"(Unrecognized name|Not found|No matching signature|Syntax error|Name \S+ not found).*")
"""Texts of BigQuery that name columns, tables and types; others may quote what a row holds."""


def _bind_micros(moment: datetime) -> Expression:
    return literal(to_microseconds(moment.isoformat()), BigInteger)


# SHA256 gives 32 BYTES of the text's UTF-8, and TO_HEX writes them in lower case: the first two digits are the bucket.
# The column of the time stays bare, so that partitions are left out: it has to be a TIMESTAMP. CHR(0) is an empty text
# there, hence the pattern.
BIGQUERY = SqlEngine(
    name="bigquery",
    hash_text=lambda value: func.to_hex(func.sha256(value)),
    to_text=lambda value: cast(value, String),
    to_number=to_double,
    to_moment=lambda value: value,
    bind_moment=lambda moment: func.timestamp_micros(_bind_micros(moment)),
    find_hour=lambda value: func.timestamp_trunc(value, text("HOUR")),
    count_characters=func.char_length,
    natural_log=func.ln,
    is_boolean=lambda kind: str(kind).upper() in ("BOOLEAN", "BOOL"),
    holds_nul=lambda value: func.regexp_contains(value, "\\x00"),
)

# SHA2 writes 64 hex digits in lower case. The session's zone is UTC, in which a TIMESTAMP_NTZ is compared. A logarithm
# of what is not positive is an error, and no order of evaluation is promised: there it is asked of NULL.
SNOWFLAKE = SqlEngine(
    name="snowflake",
    hash_text=lambda value: func.sha2(value, 256),
    to_text=lambda value: cast(value, String),
    to_number=to_double,
    to_moment=lambda value: value,
    bind_moment=lambda moment: func.to_timestamp_ltz(_bind_micros(moment), 6),
    find_hour=lambda value: func.date_trunc("hour", value),
    count_characters=func.length,
    natural_log=lambda value: func.ln(case((value > 0, value))),
    is_boolean=lambda kind: kind == _BOOLEAN_CODE,
    is_date=lambda kind: kind == _DATE_CODE,
    holds_nul=lambda value: func.contains(value, func.hex_decode_string("00")),
)


def open_bigquery(url: URL, timeout: float) -> Engine:
    """An engine of `bigquery://project/dataset`, with Google's credentials of the worker's machine.

    ImportError without the driver.
    """
    from google.auth.exceptions import DefaultCredentialsError
    from google.cloud import bigquery

    if not url.host or url.username or url.port or url.query.keys() - {"location"}:
        raise SourceFailure(
            "its address is not one of BigQuery: bigquery://project/dataset, with ?location=EU where it needs one",
            is_lasting=True,
        )
    dataset = f"{url.host}.{url.database}" if url.database else None
    try:
        client = bigquery.Client(
            project=url.host,
            location=url.query.get("location"),
            default_query_job_config=bigquery.QueryJobConfig(
                default_dataset=dataset, job_timeout_ms=ceil(timeout * 1000)
            ),
        )
    except DefaultCredentialsError:
        raise SourceFailure(
            "it needs Google's credentials: set GOOGLE_APPLICATION_CREDENTIALS where the worker runs", is_lasting=True
        ) from None
    address = url.set(query={"user_supplied_client": "true"})
    return create_engine(address, poolclass=NullPool, enable_from_linting=False, connect_args={"client": client})


def open_snowflake(url: URL, timeout: float) -> Engine:
    """An engine of `snowflake://user:password@account/DATABASE/SCHEMA?warehouse=…`, on Snowflake's own host."""
    if _ACCOUNT.fullmatch(url.host or "") is None or url.port:
        raise SourceFailure(
            "its address names no account of Snowflake, as in snowflake://reader:…@my_org-my_account/ANALYTICS/PUBLIC",
            is_lasting=True,
        )
    if unknown := sorted(url.query.keys() - _SNOWFLAKE_OPTIONS):
        raise SourceFailure(f"its address has the option {unknown[0]}, which is not known here", is_lasting=True)
    waits = {"login_timeout": ceil(timeout), "network_timeout": ceil(timeout)}
    return create_engine(url, poolclass=NullPool, enable_from_linting=False, connect_args=waits)


def explain_bigquery(said: str) -> SourceFailure:
    """What its driver's error says, which begins with the status of HTTP, without what a row holds."""
    status = said[:3]
    if status in ("401", "403"):
        return SourceFailure("it refuses the credentials, or they may not read this", is_lasting=True)
    if status in ("400", "404") and (told := _TELLS_NAMES.search(said)):
        return SourceFailure(f"it refuses the query: {told[0]}", is_lasting=True)
    if status == "400":
        return SourceFailure("it refuses the query, or a value cannot be read as what its column should be")
    return SourceFailure(f"the query failed ({status if status.isdecimal() else 'no status'})")
