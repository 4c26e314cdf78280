"""The arm in which a unit counts in the split, which a report right after a step may contradict."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("exposure", sa.Column("counted_arm", sa.Text()))
