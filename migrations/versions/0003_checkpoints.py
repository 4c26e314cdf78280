"""What the log said at some positions, from which a process starts."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

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
