"""Which heads of the log were shown outside, the keys with which one person's text is sealed, and two indexes."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "anchor",
        sa.Column("position", BIG, autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sqlite_strict=True,
    )
    op.create_table(
        "person_key",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("key_id"),
        sa.UniqueConstraint("person"),
        sqlite_strict=True,
    )
    replaceable = sa.text("supersede_key IS NOT NULL AND state = 'pending'")
    op.create_index(
        "outbox_superseded",
        "outbox",
        ["supersede_key"],
        sqlite_where=replaceable,
        postgresql_where=replaceable,
    )
    dead = sa.text("state = 'dead'")
    op.create_index("outbox_dead", "outbox", ["id"], sqlite_where=dead, postgresql_where=dead)
