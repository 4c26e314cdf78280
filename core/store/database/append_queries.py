"""What a command asks under the append lock, in the SQL that both databases understand."""

from core.store.formats import chain

COLUMNS = (*chain.HEADER, "body", "prev_hash", "hash")  # of an event
# With the secret that opens what is sealed.
OPENED = f"SELECT {', '.join(COLUMNS)}, (SELECT secret FROM person_key WHERE key_id = pii_ref) AS secret FROM events"  # noqa: S608


def moment(column: str) -> str:
    """On Postgres: a time as `instants.text_of` writes it."""
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


ANSWER = "SELECT fingerprint, first_position, last_position, result, at FROM commands WHERE command_id = ?"
KEY = "SELECT key_id, secret FROM person_key WHERE person = ?"
# Finishes a slot in the transaction of what it decided; no row: the lease was lost.
FINISH = (
    "UPDATE timer SET state = 'done' WHERE name = ? AND slot = ? AND state = 'leased' AND lease_token = ?"
    " RETURNING name"
)
