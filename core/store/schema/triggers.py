"""The triggers that make the log append-only: no gaps, no replacing, changing or deleting of events."""

from sqlalchemy import Connection, text

_SQLITE = {
    "events_continue_the_chain": """
CREATE TRIGGER events_continue_the_chain BEFORE INSERT ON events BEGIN
  SELECT RAISE(ABORT, 'events: the position does not follow the newest one')
    WHERE NEW.position IS NOT (SELECT coalesce(max(position), 0) + 1 FROM events);
  SELECT RAISE(ABORT, 'events: the previous hash is not the newest one')
    WHERE NEW.prev_hash IS NOT coalesce((SELECT hash FROM events ORDER BY position DESC LIMIT 1), zeroblob(32));
  SELECT RAISE(ABORT, 'events: the version does not follow the newest one of its stream')
    WHERE NEW.version IS NOT (SELECT coalesce(max(version), 0) + 1 FROM events WHERE stream = NEW.stream);
  -- INSERT OR REPLACE would delete the other one, without asking the trigger that forbids it
  SELECT RAISE(ABORT, 'events: not unique, this command is there already')
    WHERE EXISTS (SELECT 1 FROM events WHERE command_id = NEW.command_id AND command_seq = NEW.command_seq);
  SELECT RAISE(ABORT, 'events: the time of recording goes back')
    WHERE NEW.recorded_at < (SELECT recorded_at FROM events ORDER BY position DESC LIMIT 1);
END""",
    "events_never_change": """
CREATE TRIGGER events_never_change BEFORE UPDATE ON events BEGIN
  SELECT RAISE(ABORT, 'events: what happened cannot be changed');
END""",
    "events_never_go": """
CREATE TRIGGER events_never_go BEFORE DELETE ON events BEGIN
  SELECT RAISE(ABORT, 'events: what happened cannot be deleted');
END""",
}

_POSTGRES_FUNCTIONS = {
    "events_continue_the_chain": """
DECLARE
  newest bigint; newest_hash bytea; newest_time timestamptz; newest_version int;
BEGIN
  SELECT position, hash, recorded_at, (SELECT max(version) FROM events WHERE stream = NEW.stream)
    INTO newest, newest_hash, newest_time, newest_version FROM events ORDER BY position DESC LIMIT 1;
  IF NEW.position IS DISTINCT FROM coalesce(newest, 0) + 1 THEN
    RAISE EXCEPTION 'events: the position does not follow the newest one';
  END IF;
  IF NEW.prev_hash IS DISTINCT FROM coalesce(newest_hash, decode(repeat('00', 32), 'hex')) THEN
    RAISE EXCEPTION 'events: the previous hash is not the newest one';
  END IF;
  IF NEW.version IS DISTINCT FROM coalesce(newest_version, 0) + 1 THEN
    RAISE EXCEPTION 'events: the version does not follow the newest one of its stream';
  END IF;
  IF NEW.recorded_at < newest_time THEN
    RAISE EXCEPTION 'events: the time of recording goes back';
  END IF;
  RETURN NEW;
END""",
    "events_never_change": """
BEGIN
  RAISE EXCEPTION 'events: what happened cannot be changed or deleted';
END""",
}

_POSTGRES_TRIGGERS = {
    "events_continue_the_chain": "BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION events_continue_the_chain()",
    "events_never_change": "BEFORE UPDATE OR DELETE ON events FOR EACH ROW EXECUTE FUNCTION events_never_change()",
    "events_never_go": "BEFORE TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION events_never_change()",
}


def install(connection: Connection) -> None:
    """Create or restore the triggers; safe to repeat."""
    if not find_missing(connection):
        return
    if connection.dialect.name == "sqlite":
        for name, statement in _SQLITE.items():
            connection.execute(text(f"DROP TRIGGER IF EXISTS {name}"))
            connection.exec_driver_sql(statement.strip())
        return
    for name, source in _POSTGRES_FUNCTIONS.items():
        connection.exec_driver_sql(
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${source}$$".replace("%", "%%")
        )
    for name, rest in _POSTGRES_TRIGGERS.items():
        connection.exec_driver_sql(f"CREATE OR REPLACE TRIGGER {name} {rest}")
        # Without ALWAYS, `SET session_replication_role = replica` would disable them for a session.
        connection.exec_driver_sql(f"ALTER TABLE events ENABLE ALWAYS TRIGGER {name}")


def find_missing(connection: Connection) -> tuple[str, ...]:
    """The triggers that are absent, disabled or altered."""
    if connection.dialect.name == "sqlite":
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'events'"
        found = {row.name: row.sql for row in connection.execute(text(query))}
        return tuple(name for name, sql in _SQLITE.items() if found.get(name) != sql.strip())
    query = (
        "SELECT tgname, pg_get_triggerdef(t.oid), tgenabled, prosrc FROM pg_trigger t"
        " JOIN pg_proc p ON p.oid = t.tgfoid WHERE tgrelid = 'events'::regclass AND NOT tgisinternal"
    )
    rows = {row.tgname: row for row in connection.execute(text(query))}

    def is_sound(name: str) -> bool:
        row, wanted = rows.get(name), _POSTGRES_TRIGGERS[name]
        function = wanted.rsplit(" ", 1)[1].removesuffix("()")
        timing = wanted.split(" ON ", 1)[0].split(" ")[1:]
        return (
            row is not None
            and row.tgenabled in ("A", b"A")
            and row.prosrc == _POSTGRES_FUNCTIONS[function]
            and all(word in row.pg_get_triggerdef for word in timing)
        )

    return tuple(name for name in _POSTGRES_TRIGGERS if not is_sound(name))
