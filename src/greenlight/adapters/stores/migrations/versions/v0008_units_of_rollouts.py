"""Units are looked for within a rollout only: inferences outside of one leave that index.

Units come in no order, so that each of these entries was a page of its own to write.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_INDEX = "ix_inferences_rollout_unit_epoch_id"
_COLUMNS = ["rollout", "unit", "epoch", "id"]


def upgrade() -> None:
    """Make the index anew, of fewer rows."""
    op.drop_index(_INDEX, "inferences")
    op.create_index(_INDEX, "inferences", _COLUMNS, sqlite_where=sa.column("rollout").is_not(None))


def downgrade() -> None:
    """Make it anew, of all rows."""
    op.drop_index(_INDEX, "inferences")
    op.create_index(_INDEX, "inferences", _COLUMNS)
