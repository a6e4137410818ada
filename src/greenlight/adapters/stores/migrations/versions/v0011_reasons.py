"""An answer may say why: what it said beside its label stands on the inference."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; no reason was kept before."""
    op.add_column("inferences", sa.Column("reason", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop it, and the reasons with it."""
    op.drop_column("inferences", "reason")
