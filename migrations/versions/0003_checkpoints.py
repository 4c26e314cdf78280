"""Worlds from which a process starts; and how many looks were made, as those that showed nothing new are not kept."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "checkpoint",
        sa.Column("position", BIG, autoincrement=False, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("world", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position", "code"),
        sqlite_strict=True,
    )
    op.add_column("look", sa.Column("made", sa.Integer(), server_default="0", nullable=False))
    op.add_column("look", sa.Column("repeated_at", INSTANT))
    op.execute("UPDATE look SET made = number")
