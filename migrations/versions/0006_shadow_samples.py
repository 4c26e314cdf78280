"""Sampled answers that are judged while a rollout runs."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
REAL = sa.Double().with_variant(sa.REAL(), "sqlite")
OPEN = sa.text("state IN ('waiting', 'leased')")


def upgrade() -> None:
    op.create_table(
        "shadow_sample",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("rollout", sa.Text(), nullable=False),
        sa.Column("surface", sa.Text(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("arm", sa.Text(), nullable=False),
        sa.Column("judge", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("is_judged_twice", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lease_until", INSTANT),
        sa.Column("passed", sa.Integer()),
        sa.Column("score", REAL),
        sa.Column("passed_again", sa.Integer()),
        sa.PrimaryKeyConstraint("id"),
        sqlite_strict=True,
    )
    op.create_index("shadow_sample_rollout", "shadow_sample", ["rollout", "arm"])
    op.create_index("shadow_sample_expires", "shadow_sample", ["expires_at"])
    op.create_index("shadow_sample_open", "shadow_sample", ["id"], sqlite_where=OPEN, postgresql_where=OPEN)
