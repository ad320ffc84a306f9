"""What estimates came to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "realised",
        sa.Column("model", sa.String(length=63), nullable=False),
        sa.Column("decision_id", sa.String(length=32), nullable=False),
        sa.Column("amount", sa.String(length=40), nullable=False),
        sa.Column("observed_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("model", "decision_id", name=op.f("pk_realised")),
    )


def downgrade() -> None:
    op.drop_table("realised")
