"""Anchors of judges, what judging costs, and sums of judged readings as they were while a judge was trusted."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("shadow_sample", sa.Column("anchor", sa.Text()))
    op.add_column("shadow_sample", sa.Column("round", sa.Integer()))
    op.add_column("shadow_sample", sa.Column("charged", BIG, nullable=False, server_default="0"))
    op.create_table(
        "judging_account",
        sa.Column("rollout", sa.Text(), nullable=False),
        sa.Column("spent", BIG, nullable=False),
        sa.Column("judged", BIG, nullable=False),
        sa.Column("told", BIG, nullable=False),
        sa.Column("told_of", BIG, nullable=False),
        sa.PrimaryKeyConstraint("rollout"),
        sqlite_strict=True,
    )
    op.create_table(
        "marked_cell",
        sa.Column("rollout", sa.Text(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("arm", sa.Text(), nullable=False),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("buckets", sa.LargeBinary(), nullable=False),
        sa.Column("histogram", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("rollout", "stage", "arm", "segment", "metric"),
        sqlite_strict=True,
    )
