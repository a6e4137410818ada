"""A rollout can be paused; who did it, and why, stands on it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; nothing was paused before."""
    op.add_column("rollouts", sa.Column("paused", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop it: what was paused goes on."""
    op.drop_column("rollouts", "paused")
