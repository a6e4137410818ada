"""What the pipeline was to reach beside its baselines, and whether it did (REQUIREMENTS P5, D5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.gateway.goals import Goal, goal
from benchmarks.pages import Found

FEWER_QUERIES, LESS_MEMORY, HITS = 90.0, 60.0, 95.0
"""Per cent, at least."""
TIMES_AS_FAST = 5.0
"""At least."""
OVERHEAD = 200.0
"""Per cent, at most."""
FLAT = 1.25
"""Times the memory of the smallest size that the largest may take."""


def goals(found: Found) -> list[Goal]:
    """Every goal of what was measured; see `measure.measure`."""
    made: list[Goal] = []
    if "queries" in found:
        fewer = 100 * found["queries"]["fewer_queries"]
        what = "queries to collect an answer, fewer than row by row"
        made.append(goal(what, "%", FEWER_QUERIES, fewer, least=True))
    for what, asked in found.get("asking", {}).items():
        name = f"{what} at a provider, times as fast as one by one"
        made.append(goal(name, "×", TIMES_AS_FAST, asked["times_as_fast"], least=True))
    for part in ("stages", "exports"):
        made += _memory(found.get(part, ()))
    if "cache" in found:
        ratio = 100 * found["cache"]["hit_ratio"]
        made.append(goal("reads of evaluations that are remembered", "%", HITS, ratio, least=True))
    if "breaker" in found:
        more = 100 * found["breaker"]["overhead"]
        made.append(goal("what the breaker adds to a call of 1 ms", "%", OVERHEAD, more))
    return made


def both_ways(size: Found) -> Iterator[tuple[str, Found]]:
    """The pieces of work that were done streamed and as a whole list, by name."""
    return ((name, ways) for name, ways in size["work"].items() if "whole" in ways)


def growth(sizes: Sequence[Found], name: str) -> float | None:
    """The memory of the largest size, in those of the smallest; None if that was nothing."""
    least, most = (size["work"][name]["streamed"]["above_idle_mib"] for size in ends(sizes))
    return most / least if least > 0 else None


def ends(sizes: Sequence[Found]) -> tuple[Found, Found]:
    """The smallest and the largest size."""
    ordered = sorted(sizes, key=lambda size: int(size["rows"]))
    return ordered[0], ordered[-1]


def _memory(sizes: Sequence[Found]) -> Iterator[Goal]:
    """Of each piece of work: less memory than with a whole list, and no more for more rows."""
    if not sizes:
        return
    smallest, largest = ends(sizes)
    for name, ways in both_ways(largest):
        less = ways["less_memory"]
        yield goal(
            f"memory to {verb(name)} {largest['rows']:,} rows, less than with a whole list",
            "%",
            LESS_MEMORY,
            None if less is None else 100 * less,
            least=True,
        )
        yield goal(
            f"memory to {verb(name)} {largest['rows']:,} rows, times that of {smallest['rows']:,}",
            "×",
            FLAT,
            growth(sizes, name),
        )


def saved(share: float | None) -> str:
    """What a figure says of the memory that is saved."""
    if share is None:
        return "could not be measured"
    met = "met" if 100 * share >= LESS_MEMORY else "missed"
    return f"{share:.1%} less\ngoal ≥ {LESS_MEMORY:g}%: {met}"


def verb(name: str) -> str:
    """The work without what it makes: `export-csv` is to export."""
    return name.partition("-")[0]
