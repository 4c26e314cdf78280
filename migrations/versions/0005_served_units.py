"""Which units were served a new version, encrypted, for as long as the policy keeps them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "served_unit",
        sa.Column("rollout", sa.Text(), nullable=False),
        sa.Column("unit_hash", BIG, autoincrement=False, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("first_at", INSTANT, nullable=False),
        sa.Column("last_at", INSTANT, nullable=False),
        sa.Column("requests", BIG, nullable=False),
        sa.PrimaryKeyConstraint("rollout", "unit_hash"),
        sqlite_strict=True,
    )
