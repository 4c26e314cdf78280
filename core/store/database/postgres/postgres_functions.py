"""The PL/pgSQL functions that let a command take two round trips (lock and read, write and commit), or only one."""

from hashlib import sha256

from sqlalchemy import Connection, Table, text
from sqlalchemy.dialects.postgresql.base import PGDialect

from core.store.database import append_rows
from core.store.database.append_queries import instant_as_text

APPEND_LOCK_KEY = 0x52414D50  # any fixed number: the advisory lock that every append in this database takes
_POSTGRES = PGDialect()  # type: ignore[no-untyped-call]
NOTIFY_CHANNEL = "rampart"  # for NOTIFY: only a hint to poll now
# The columns of `append_queries.SELECT_EVENTS`, with times as text and bytes in hex.
_SECRET_SQL = "(SELECT encode(secret, 'hex') FROM person_key WHERE key_id = pii_ref)"  # noqa: S105 - a query
_EVENT_JSON = (
    "position, stream, version, event_id, type, schema_version, command_id, command_seq, actor, source, cause_id,"
    f" correlation_id, {instant_as_text('at')}, {instant_as_text('recorded_at')}, pii_ref, body,"
    f" encode(prev_hash, 'hex'), encode(hash, 'hex'), {_SECRET_SQL}"
)
_FINISH_TIMER = (
    "UPDATE timer SET state = 'done'"
    " WHERE name = timer_name AND slot = timer_slot AND state = 'leased' AND lease_token = timer_token;"
)

_OPEN = f"""
BEGIN
  PERFORM pg_advisory_xact_lock({APPEND_LOCK_KEY});
  -- What follows is read after the lock was granted: each statement of a function sees what is committed by then.
  SELECT json_build_array(fingerprint, first_position, last_position, result, at) INTO answer
    FROM commands WHERE command_id = command;
  SELECT json_agg(event ORDER BY place) INTO news FROM (
    SELECT position AS place, json_build_array({_EVENT_JSON}) AS event FROM events
      WHERE position > after_position ORDER BY position LIMIT at_most) AS following;
  SELECT json_build_array(key_id, encode(secret, 'hex')) INTO key FROM person_key WHERE person = author;
  IF timer_name IS NOT NULL THEN
    {_FINISH_TIMER}
    finished := FOUND;
  END IF;
END"""  # noqa: S608
_OPEN_TAKES = (
    "command text, after_position bigint, at_most int, author text, timer_name text, timer_slot timestamptz,"
    " timer_token text, OUT answer json, OUT news json, OUT key json, OUT finished boolean"
)


def _build_insert_loop(table: Table) -> str:
    """PL/pgSQL that inserts the rows of one table, given as arrays of text, which are three times as fast as JSON."""
    columns = append_rows.COLUMNS_BY_TABLE[table.name]
    values = ", ".join(_build_value(table, name, number) for number, name in enumerate(columns, start=1))
    unless = ""
    if table.name == "outbox":
        key = f"r[{columns.index('supersede_key') + 1}]"
        # FOR UPDATE waits for a sender that is claiming that row right now: afterwards it is no longer pending.
        unless = (
            f"    IF {key} IS NOT NULL THEN\n"
            f"      PERFORM 1 FROM outbox WHERE supersede_key = {key} AND state = 'pending' FOR UPDATE;\n"
            "      CONTINUE WHEN FOUND;\n    END IF;\n"
        )
    conflict = append_rows.ON_CONFLICT.get(table.name, "")
    row = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({values}) {conflict}"  # noqa: S608
    return (
        f"  IF {table.name}_rows IS NOT NULL THEN FOREACH r SLICE 1 IN ARRAY {table.name}_rows LOOP\n{unless}"
        f"    {row};\n  END LOOP; END IF;"
    )


def _build_value(table: Table, column: str, number: int) -> str:
    kind = table.columns[column].type
    written = str(kind.compile(dialect=_POSTGRES))
    return f"r[{number}]" if written == "TEXT" else f"r[{number}]::{written}"


_APPEND_TAKES = ", ".join([*(f"{name}_rows text[]" for name in append_rows.TABLES), "erased text[]"])
_INSERTS = "\n".join(_build_insert_loop(table) for table in append_rows.TABLES.values())
_WRITE = f"""
{_INSERTS}
  IF erased IS NOT NULL THEN DELETE FROM person_key WHERE key_id = ANY (erased); END IF;
  IF events_rows IS NOT NULL THEN PERFORM pg_notify('{NOTIFY_CHANNEL}', ''); END IF;"""  # noqa: S608
_APPEND = f"""
DECLARE r text[];
BEGIN{_WRITE}
END"""


def _versioned_name(name: str, *sources: str) -> str:
    """A function name with a hash of its source, so that two releases of the program can run side by side."""
    return f"{name}_{sha256(''.join(sources).encode()).hexdigest()[:12]}"


def _placeholders(many: int) -> str:
    return ", ".join(f"${number}" for number in range(1, many + 1))


_OPEN_NAME = _versioned_name("rampart_open", _OPEN_TAKES, _OPEN)
_APPEND_NAME = _versioned_name("rampart_append", _APPEND_TAKES, _APPEND)
CALL_OPEN = f"SELECT answer, news, key, finished FROM {_OPEN_NAME}({_placeholders(7)})"  # noqa: S608
CALL_APPEND = f"SELECT {_APPEND_NAME}({_placeholders(len(append_rows.TABLES) + 1)})"

_ONCE_TAKES = f"command text, newest bytea, timer_name text, timer_slot timestamptz, timer_token text, {_APPEND_TAKES}"
_ONCE = f"""
DECLARE r text[];
BEGIN
  PERFORM pg_advisory_xact_lock({APPEND_LOCK_KEY});
  -- What was decided elsewhere holds only if nothing has happened since; and a hash tells apart two logs of one length.
  PERFORM 1
    WHERE newest = coalesce((SELECT hash FROM events ORDER BY position DESC LIMIT 1), decode(repeat('00', 32), 'hex'))
    AND NOT EXISTS (SELECT 1 FROM commands WHERE command_id = command);
  IF NOT FOUND THEN RETURN false; END IF;
  IF timer_name IS NOT NULL THEN
    {_FINISH_TIMER}
    IF NOT FOUND THEN RETURN false; END IF;
  END IF;{_WRITE}
  RETURN true;
END"""  # noqa: S608
_ONCE_NAME = _versioned_name("rampart_once", _ONCE_TAKES, _ONCE)
CALL_APPEND_ONCE = f"SELECT {_ONCE_NAME}({_placeholders(5 + len(append_rows.TABLES) + 1)})"

# The same as `retention.delete_old` on SQLite. Runs with the owner's rights, since the program's role may not delete.
_DELETE = """
DECLARE chosen text[];
BEGIN
  IF before > now() - interval '7 days' THEN
    RAISE EXCEPTION 'rampart: nothing is deleted that is younger than seven days';
  END IF;
  SELECT coalesce(array_agg(id), '{}') INTO chosen FROM (
    SELECT v.id FROM rollout_view v JOIN events e ON e.position = v.position
      WHERE v.ended_at IS NOT NULL AND e.recorded_at < before AND v.id <> ALL (kept)
      AND (EXISTS (SELECT 1 FROM look WHERE rollout = v.id) OR EXISTS (SELECT 1 FROM cell WHERE rollout = v.id)
        OR EXISTS (SELECT 1 FROM exposure WHERE rollout = v.id)
        OR EXISTS (SELECT 1 FROM exposure_count WHERE rollout = v.id)
        OR EXISTS (SELECT 1 FROM judging_account WHERE rollout = v.id)
        OR EXISTS (SELECT 1 FROM source_pull WHERE rollout = v.id))
      LIMIT most_rollouts) AS ended;
  DELETE FROM look WHERE rollout = ANY (chosen);
  DELETE FROM cell WHERE rollout = ANY (chosen);
  DELETE FROM marked_cell WHERE rollout = ANY (chosen);
  DELETE FROM judging_account WHERE rollout = ANY (chosen);
  DELETE FROM exposure WHERE rollout = ANY (chosen);
  DELETE FROM exposure_count WHERE rollout = ANY (chosen);
  DELETE FROM pulled_cell WHERE rollout = ANY (chosen);
  DELETE FROM pulled_exposure_count WHERE rollout = ANY (chosen);
  DELETE FROM source_pull WHERE rollout = ANY (chosen);
  rollouts := cardinality(chosen);
  DELETE FROM outbox WHERE id IN (
    SELECT o.id FROM outbox o JOIN events e USING (position) WHERE o.state IN ('done', 'dead')
      AND e.recorded_at < before AND o.id < (SELECT max(id) FROM outbox) ORDER BY o.id LIMIT most_rows);
  GET DIAGNOSTICS messages = ROW_COUNT;
  DELETE FROM commands WHERE command_id IN (
    SELECT command_id FROM commands WHERE first_position IS NULL AND at < before LIMIT most_rows);
  GET DIAGNOSTICS answers = ROW_COUNT;
END"""
_DELETE_TAKES = (
    "before timestamptz, kept text[], most_rollouts int, most_rows int,"
    " OUT rollouts int, OUT messages int, OUT answers int"
)
_DELETE_NAME = _versioned_name("rampart_delete", _DELETE_TAKES, _DELETE)
CALL_DELETE_OLD = f"SELECT rollouts, messages, answers FROM {_DELETE_NAME}(?, ?, ?, ?)"  # noqa: S608
_AS_OWNER = "SECURITY DEFINER SET search_path FROM CURRENT "

_FUNCTIONS = {
    _OPEN_NAME: (_OPEN_TAKES, "", _OPEN),
    _APPEND_NAME: (_APPEND_TAKES, "RETURNS void ", _APPEND),
    _ONCE_NAME: (_ONCE_TAKES, "RETURNS boolean ", _ONCE),
    _DELETE_NAME: (_DELETE_TAKES, _AS_OWNER, _DELETE),
}
FUNCTION_NAMES = tuple(_FUNCTIONS)


def install(connection: Connection) -> None:
    """Create the functions of this release if they are missing; those of other releases stay."""
    if not find_missing(connection):
        return
    for name, (takes, returns, source) in _FUNCTIONS.items():
        made = f"CREATE OR REPLACE FUNCTION {name}({takes}) {returns}LANGUAGE plpgsql AS $${source}$$"
        connection.exec_driver_sql(made.replace("%", "%%"))


def find_missing(connection: Connection) -> tuple[str, ...]:
    """The functions of this release that are absent or altered."""
    query = (
        "SELECT proname, prosrc FROM pg_proc"
        " WHERE proname = ANY (:names) AND pronamespace = current_schema()::regnamespace"
    )
    found = connection.execute(text(query), {"names": list(FUNCTION_NAMES)})
    sources = {row.proname: row.prosrc for row in found}
    return tuple(name for name, (_, _, source) in _FUNCTIONS.items() if sources.get(name) != source)
