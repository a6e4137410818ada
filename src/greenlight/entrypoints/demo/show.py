"""The tables that a demo ends with."""

from __future__ import annotations

from rich.table import Table

from greenlight.reporting.summary import Summary


def tables(summary: Summary) -> tuple[Table, Table]:
    """The versions and the rollouts."""
    return _versions(summary), _rollouts(summary)


def _versions(summary: Summary) -> Table:
    table = Table(title="Versions")
    for name in ("version", "model", "offline accuracy (95 %)", "live GOOD (95 %)", "now"):
        table.add_column(name)
    for version in summary.versions:
        table.add_row(
            version.label,
            version.backend,
            _proportion(version.accuracy),
            _proportion(version.live),
            version.status.replace("_", " "),
        )
    return table


def _rollouts(summary: Summary) -> Table:
    table = Table(
        title="Rollouts",
        caption="An outcome counts once its feedback window is over; early harm need not wait.",
    )
    columns = "candidate", "ended", "by", "outcomes", "requests it answered", "users", "seconds"
    for name in columns:
        table.add_column(name)
    for rollout in summary.rollouts:
        table.add_row(
            rollout.candidate + (" (A/A)" if rollout.aa else ""),
            rollout.status.replace("_", " "),
            rollout.code or "",
            str(rollout.outcomes),
            str(rollout.requests_served),
            str(rollout.units_exposed),
            f"{rollout.seconds:.1f}",
        )
    return table


def _proportion(found: object) -> str:
    value, low, high = (getattr(found, name, None) for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "none yet"
    return f"{value:.3f}  ({low:.3f}–{high:.3f})"
