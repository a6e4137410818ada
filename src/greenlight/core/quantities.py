"""Which settings are times and sizes: in the file they carry units, here they are whole numbers."""

from __future__ import annotations

DURATIONS = frozenset(
    {
        "breaker_max",
        "call_timeout",
        "expiry",
        "fast_window",
        "feedback_window",
        "for",
        "grace",
        "hold_max",
        "holdback_for",
        "horizon",
        "interval",
        "poll",
        "shadow",
        "soak",
        "stale_after",
        "timeout",
        "window",
    }
)
"""Keys of whole numbers that are durations, in whatever table they stand."""

SIZES = frozenset({"bound", "memory"})
"""Keys of whole numbers that are sizes, in whatever table they stand."""
