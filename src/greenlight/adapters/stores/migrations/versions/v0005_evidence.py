"""What the tests of a rollout need to know besides its errors.

First events are of several kinds (an error, a latency beyond one of the rollout's bars), an
exposure says who named its unit, a journal entry says why it is in no test and who gave the
feedback, and a gateway tells which versions it does not get through to. The newest inferences of a
task are found without a walk over those of all others (for one that is quiet beside busy ones).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_CLUSTERED: dict[str, Any] = {"sqlite_with_rowid": False}
_FIRST = "rollout, unit, epoch, variant, at, inference"
_EXPOSED = "rollout, unit, epoch, variant, weight, bucket, at, inference"
_SIGN = "id, epochs, applied_at, flushed_through, at"


def _text(*names: str) -> Iterator[sa.Column[Any]]:
    return (sa.Column(name, sa.Text(), nullable=False) for name in names)


def _int(*names: str) -> Iterator[sa.Column[Any]]:
    return (sa.Column(name, sa.BigInteger(), nullable=False) for name in names)


def upgrade() -> None:
    """Carry failures, exposures and signs of life over; add to the journal."""
    op.create_table(
        "firsts",
        *_text("rollout", "kind", "unit"),
        *_int("epoch"),
        *_text("variant"),
        *_int("at"),
        *_text("inference"),
        sa.PrimaryKeyConstraint("rollout", "kind", "unit", "epoch"),
        **_CLUSTERED,
    )
    _copy("firsts", f"kind, {_FIRST}", "failures", f"'error', {_FIRST}")
    op.drop_table("failures")
    op.rename_table("exposures", "exposures_before")
    _make_exposures("unit_source")
    source = "(SELECT unit_source FROM inferences WHERE id = exposures_before.inference)"
    _copy(
        "exposures",
        f"unit_source, {_EXPOSED}",
        "exposures_before",
        f"COALESCE({source}, 'unknown'), {_EXPOSED}",
    )
    op.drop_table("exposures_before")
    op.rename_table("replicas", "replicas_before")
    _make_replicas("open_since")
    _copy("replicas", f"open_since, {_SIGN}", "replicas_before", f"'{{}}', {_SIGN}")
    op.drop_table("replicas_before")
    op.add_column("evidence_journal", sa.Column("excluded", sa.Text(), nullable=True))
    op.add_column("evidence_journal", sa.Column("source", sa.Text(), nullable=True))
    op.create_index("ix_inferences_task_id", "inferences", ["task", "id"])


def downgrade() -> None:
    """Keep what the older schema has a place for: errors, and the entries that are in its tests."""
    op.drop_index("ix_inferences_task_id", "inferences")
    op.execute("DELETE FROM evidence_journal WHERE excluded IS NOT NULL OR test LIKE 'latency_%'")
    op.execute("DELETE FROM pending WHERE test LIKE 'latency_%'")
    op.drop_column("evidence_journal", "source")
    op.drop_column("evidence_journal", "excluded")
    op.rename_table("replicas", "replicas_after")
    _make_replicas()
    _copy("replicas", _SIGN, "replicas_after", _SIGN)
    op.drop_table("replicas_after")
    op.rename_table("exposures", "exposures_after")
    _make_exposures()
    _copy("exposures", _EXPOSED, "exposures_after", _EXPOSED)
    op.drop_table("exposures_after")
    op.create_table(
        "failures",
        *_text("rollout", "unit"),
        *_int("epoch"),
        *_text("variant"),
        *_int("at"),
        *_text("inference"),
        sa.PrimaryKeyConstraint("rollout", "unit", "epoch"),
        **_CLUSTERED,
    )
    _copy("failures", _FIRST, "firsts WHERE kind = 'error'", _FIRST)
    op.drop_table("firsts")


def _make_exposures(*added: str) -> None:
    op.create_table(
        "exposures",
        *_text("rollout", "unit"),
        *_int("epoch"),
        *_text("variant"),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("bucket", sa.Double(), nullable=False),
        *_text(*added),
        *_int("at"),
        *_text("inference"),
        sa.PrimaryKeyConstraint("rollout", "unit", "epoch"),
        **_CLUSTERED,
    )


def _make_replicas(*added: str) -> None:
    op.create_table(
        "replicas",
        *_text("id", "epochs", "applied_at", *added),
        *_int("flushed_through", "at"),
        sa.PrimaryKeyConstraint("id"),
    )


def _copy(into: str, columns: str, source: str, values: str) -> None:
    """Insert rows of one table into another. All of it is text of this module's."""
    op.execute(f"INSERT INTO {into} ({columns}) SELECT {values} FROM {source}")
