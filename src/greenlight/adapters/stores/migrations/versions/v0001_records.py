"""The records of the loop, and what `ingest` keeps up to date beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Columns = Iterator[sa.Column[Any]]

_CLUSTERED: dict[str, Any] = {"sqlite_with_rowid": False}
"""For narrow tables that are read by their key: SQLite keeps them in the order of the key."""


def _text(*names: str, optional: bool = False) -> Columns:
    return (sa.Column(name, sa.Text(), nullable=optional) for name in names)


def _int(*names: str, optional: bool = False) -> Columns:
    return (sa.Column(name, sa.BigInteger(), nullable=optional) for name in names)


def _float(*names: str, optional: bool = False) -> Columns:
    return (sa.Column(name, sa.Double(), nullable=optional) for name in names)


def _bool(*names: str, optional: bool = False) -> Columns:
    return (sa.Column(name, sa.Boolean(), nullable=optional) for name in names)


def upgrade() -> None:
    """Make every table."""
    _data_and_models()
    _sign_off()
    _rollouts()
    _events()
    _evidence()
    _derived()


def downgrade() -> None:
    """Drop every table."""
    for table in (
        "tallies",
        "pending",
        "failures",
        "exposures",
        "leases",
        "ledger",
        "decisions",
        "evidence_states",
        "evidence_journal",
        "replicas",
        "feedback",
        "inferences",
        "epochs",
        "rollouts",
        "approvals",
        "evaluations",
        "versions",
        "runs",
        "datasets",
    ):
        op.drop_table(table)


def _data_and_models() -> None:
    op.create_table(
        "datasets",
        *_text("digest", "task", "name", "manifest"),
        *_int("at"),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "runs",
        *_text("id", "task", "backend", "dataset", "config"),
        *_int("seed"),
        *_text("initiator", "environment", "report", "bundle"),
        *_int("started_at", "at"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_runs_task", "runs", ["task"])
    op.create_table(
        "versions",
        *_text("digest", "task", "label", "bundle", "runtime", "lineage", "initiator", "status"),
        *_int("at"),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("ix_versions_task_label", "versions", ["task", "label"])


def _sign_off() -> None:
    op.create_table(
        "evaluations",
        *_text("digest", "version", "document"),
        *_int("at"),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("ix_evaluations_version", "evaluations", ["version"])
    op.create_table(
        "approvals",
        *_text("id", "version", "evaluation", "role", "person", "decision", "why"),
        *_int("at"),
        *_text("signature"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_approvals_version", "approvals", ["version"])


def _rollouts() -> None:
    op.create_table(
        "rollouts",
        *_text("id", "task", "control", "candidate", "salt", "policy", "policy_digest"),
        *_bool("aa"),
        *_text("initiator", "status"),
        *_int("step", "at"),
        *_int("ended_at", optional=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_rollouts_task", "rollouts", ["task"])
    op.create_table(
        "epochs",
        *_text("task"),
        *_int("number"),
        *_text("rollout", optional=True),
        *_text("control"),
        *_text("candidate", optional=True),
        *_float("weight"),
        *_text("salt", "decision"),
        *_int("at"),
        sa.PrimaryKeyConstraint("task", "number"),
    )
    op.create_table(
        "decisions",
        *_text("id", "task", "rollout", "action", "code", "reason", "evidence"),
        *_int("epoch_seen"),
        *_text("policy_digest"),
        *_int("at"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_decisions_rollout", "decisions", ["rollout"])
    op.create_table(
        "ledger",
        *_int("seq"),
        *_text("prev", "digest", "kind", "body"),
        *_int("at"),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_table(
        "leases",
        *_text("name", "holder"),
        *_int("token", "expires_at"),
        sa.PrimaryKeyConstraint("name"),
    )


def _events() -> None:
    op.create_table(
        "inferences",
        *_text("id", "task", "version", "served_version", "variant"),
        *_text("rollout", optional=True),
        *_int("epoch"),
        *_float("weight", "bucket"),
        *_text("unit", "unit_source", "input", "output"),
        *_float("score", optional=True),
        *_bool("oos", optional=True),
        *_float("latency_ms"),
        *_text("status"),
        *_text("fallback_from", optional=True),
        *_text("config_digest"),
        *_int("at"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_inferences_rollout_unit_epoch_id", "inferences", ["rollout", "unit", "epoch", "id"]
    )
    op.create_table(
        "feedback",
        *_text("id", "inference_id", "metric"),
        *_float("value"),
        *_text("reason_code", "comment", "correction", "reviewer", optional=True),
        *_int("at"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_feedback_inference_id_metric", "feedback", ["inference_id", "metric"])
    op.create_table(
        "replicas",
        *_text("id", "epochs", "applied_at"),
        *_int("flushed_through", "at"),
        sa.PrimaryKeyConstraint("id"),
    )


def _evidence() -> None:
    op.create_table(
        "evidence_journal",
        *_text("rollout"),
        *_int("seq"),
        *_text("test", "unit"),
        *_int("epoch"),
        *_text("arm"),
        *_float("pi", "y"),
        *_int("minute", "at"),
        sa.PrimaryKeyConstraint("rollout", "seq"),
        sa.UniqueConstraint("rollout", "unit", "epoch", "test", name="uq_evidence_journal"),
    )
    op.create_table(
        "evidence_states",
        *_text("rollout"),
        *_int("last_seq"),
        *_text("state"),
        sa.PrimaryKeyConstraint("rollout"),
    )


def _derived() -> None:
    op.create_table(
        "exposures",
        *_text("rollout", "unit"),
        *_int("epoch"),
        *_text("variant"),
        *_float("weight", "bucket"),
        *_int("at"),
        *_text("inference"),
        sa.PrimaryKeyConstraint("rollout", "unit", "epoch"),
        **_CLUSTERED,
    )
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
    op.create_table(
        "pending",
        *_text("rollout", "test"),
        *_int("at"),
        *_text("unit"),
        *_int("epoch"),
        sa.PrimaryKeyConstraint("rollout", "test", "at", "unit", "epoch"),
        **_CLUSTERED,
    )
    op.create_table(
        "tallies",
        *_text("rollout"),
        *_int("epoch"),
        *_text("variant"),
        *_int("requests", "served", "failed", "units", "good", "bad", "latency_us"),
        sa.PrimaryKeyConstraint("rollout", "epoch", "variant"),
        **_CLUSTERED,
    )
