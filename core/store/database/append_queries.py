"""The queries of a command under the append lock, in SQL that both databases understand."""

from core.store.formats import chain

EVENT_COLUMNS = (*chain.HEADER_COLUMNS, "body", "prev_hash", "hash")  # of the table `events`, in the order of a row
# All columns of an event, and the secret that decrypts its sealed text.
SELECT_EVENTS = (
    f"SELECT {', '.join(EVENT_COLUMNS)}, (SELECT secret FROM person_key WHERE key_id = pii_ref) AS secret FROM events"  # noqa: S608
)


def instant_as_text(column: str) -> str:
    """A Postgres expression for a time column as the text that `instants.format_instant` writes."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


SELECT_ANSWER = "SELECT fingerprint, first_position, last_position, result, at FROM commands WHERE command_id = ?"
SELECT_KEY = "SELECT key_id, secret FROM person_key WHERE person = ?"
# Finishes a timer in the transaction of what it decided; no row means that the lease was lost.
FINISH_TIMER = (
    "UPDATE timer SET state = 'done' WHERE name = ? AND slot = ? AND state = 'leased' AND lease_token = ?"
    " RETURNING name"
)
