"""Feedback is looked for by metric and time of arrival: how much of it is new."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    op.create_index("ix_feedback_metric_at", "feedback", ["metric", "at"])


def downgrade() -> None:
    """Take the index away."""
    op.drop_index("ix_feedback_metric_at", "feedback")
