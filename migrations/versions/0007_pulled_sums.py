"""Sums that were pulled from sources, and how the pulls went."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "pulled_cell",
        sa.Column("rollout", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("arm", sa.Text(), nullable=False),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("buckets", sa.LargeBinary(), nullable=False),
        sa.Column("histogram", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("rollout", "source", "stage", "arm", "segment", "metric"),
        sqlite_strict=True,
    )
    op.create_table(
        "pulled_exposure_count",
        sa.Column("rollout", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("arm", sa.Text(), nullable=False),
        sa.Column("units", BIG, nullable=False),
        sa.PrimaryKeyConstraint("rollout", "source", "stage", "arm"),
        sqlite_strict=True,
    )
    op.create_table(
        "source_pull",
        sa.Column("rollout", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.Column("memory", sa.Text(), nullable=False),
        sa.Column("pulled_at", INSTANT),
        sa.Column("upto", INSTANT),
        sa.Column("newest_row", INSTANT),
        sa.Column("read_rows", BIG, nullable=False),
        sa.Column("counted_rows", BIG, nullable=False),
        sa.Column("failing_since", INSTANT),
        sa.Column("holds_from", INSTANT),
        sa.Column("failure", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("rollout", "source"),
        sqlite_strict=True,
    )
