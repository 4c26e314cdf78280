"""Parts of traces that wait to be counted, and traces that were."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "trace_part",
        sa.Column("trace", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("has_root", sa.Integer(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("trace", "digest"),
        sqlite_strict=True,
    )
    op.create_table(
        "counted_trace",
        sa.Column("trace", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("counted", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("trace"),
        sqlite_strict=True,
    )
    op.create_index("counted_trace_at", "counted_trace", ["at"])
