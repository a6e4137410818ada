"""What docs/performance.md shows of the results: tables between two markers, and a figure.

    python -m benchmarks.pipeline.page

Nothing there is typed: without results there is nothing to show.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.gateway.page import goals_table
from benchmarks.harness import ROOT
from benchmarks.pages import Found, Page, image, made_by, number, table
from benchmarks.pipeline import figures
from benchmarks.pipeline.goals import both_ways

TITLES = {
    "collect": "collect",
    "curate": "curate",
    "export-openai-chat": "export, `openai-chat`",
    "export-jsonl": "export, `jsonl`",
    "export-csv": "export, `csv`",
}


def block(found: Found) -> list[str]:
    """What stands between the markers."""
    head = [_head(found), "### Goals of the pipeline\n", goals_table(found["goals"])]
    return [*head, *_parts(found, drawn=True)]


def summary(found: Found) -> str:
    """What benchmarks/README.md shows of it."""
    where = "All of it: [docs/performance.md](../docs/performance.md#the-pipeline).\n"
    return "\n".join((where, goals_table(found["goals"])))


def report(found: Found) -> str:
    """All tables for which there are results."""
    return "\n".join((goals_table(found["goals"]), *_parts(found)))


def _parts(found: Found, *, drawn: bool = False) -> list[str]:
    sizes = [*found.get("stages", ()), *found.get("exports", ())]
    parts: list[str] = []
    if "queries" in found:
        parts += ["### Queries\n", _queries(found["queries"])]
    if "asking" in found:
        parts += ["### A provider that takes its time\n", _asking(found)]
    if sizes:
        shown = [image(name, figures.SAYS[name]) for name in figures.named(found)] if drawn else []
        parts += ["### Memory\n", *shown, _memory(sizes), "### Pace\n", _pace(sizes)]
    if "cache" in found:
        parts += ["### Evaluations that are remembered\n", _cache(found)]
    if "breaker" in found:
        parts += ["### The circuit breaker\n", _breaker(found["breaker"])]
    return parts


def _head(found: Found) -> str:
    met = sum(goal["met"] is True for goal in found["goals"])
    return (
        f"{made_by(found)}, load average before: "
        f"{found['setting']['load_average']:g}; it took "
        f"{sum(found['seconds'].values()) / 60:.0f} minutes. All numbers are in "
        "[results/pipeline.json](../benchmarks/results/pipeline.json). "
        f"{met} of {len(found['goals'])} goals are met.\n"
    )


def _queries(found: Found) -> str:
    titles = {"paged": "in pages, collected", "one_by_one": "row by row, only read"}
    rows = [
        (
            title,
            f"{done['rows']:,}",
            f"{done['queries']:,}",
            number(1000 * done["queries"] / looked),
            f"{done['rows_per_s']:,}",
        )
        for name, title in titles.items()
        for done, looked in ((found[name], _looked_at(found, name)),)
    ]
    text = (
        f"\n{found['answers']:,} answers in the store, {found['judged']:,} of them judged. Row by "
        "row is one query for an answer and one for what was said of it. Both ways find the same "
        "labels.\n"
    )
    head = ("way", "rows", "queries", "queries per 1,000 answers", "rows/s")
    return table(head, rows) + text


def _looked_at(found: Found, way: str) -> int:
    """Answers that a way looked at; not each becomes a row."""
    return int(found["judged"] if way == "paged" else found[way]["rows"])


def _asking(found: Found) -> str:
    latency = found["setting"]["latency"]
    rows = [
        (
            what,
            f"{asked['texts']:,}",
            number(asked["one_by_one"]["seconds"]),
            number(asked["several"]["seconds"]),
            asked["several"]["most_at_once"],
            f"{number(asked['times_as_fast'])} ×",
        )
        for what, asked in found["asking"].items()
    ]
    text = (
        f"\nAn answer takes {1000 * latency['median_s']:g} ms by median, the same both times "
        f"(log-normal, the logarithm with a standard deviation of {latency['spread']:g}; seeded). "
        "One by one keeps its connection.\n"
    )
    head = ("what", "texts or files", "one by one, s", "Greenlight, s", "most at once", "times")
    return table(head, rows) + text + _uploads(found["asking"]["uploads"])


def _uploads(found: Found) -> str:
    """Why the files of a job are not uploaded as evaluations are carried out."""
    return (
        f"\nA job has two files, and what is won by sending both at once is "
        f"{number(found['at_most'])} × at the most. The trainer does not: it looks for each file "
        "before it uploads it, so that nothing is uploaded twice by a training that was killed. "
        f"Those are {found['several']['requests'] / found['jobs']:g} requests for a job, where "
        f"{found['one_by_one']['requests'] / found['jobs']:g} would do.\n"
    )


def _memory(sizes: Sequence[Found]) -> str:
    rows = [
        (
            TITLES[name],
            f"{size['rows']:,}",
            number(ways["streamed"]["above_idle_mib"]),
            number(ways["whole"]["above_idle_mib"]),
            "" if ways["less_memory"] is None else f"{ways['less_memory']:.1%}",
        )
        for size in sizes
        for name, ways in both_ways(size)
    ]
    idle = sorted(size["idle_mib"] for size in sizes)
    text = (
        "\nPeak of a process of its own above that of one that has done nothing yet "
        f"({idle[0]:g} to {idle[-1]:g} MiB). The whole list is what somebody would write first: "
        "the same rules for each row, but every step waits for the list of the step before. Both "
        "write the same bytes.\n"
    )
    head = ("work", "rows", "streamed, MiB", "whole list, MiB", "less")
    return table(head, rows) + text


def _pace(sizes: Sequence[Found]) -> str:
    rows = [
        (
            TITLES[name],
            f"{size['rows']:,}",
            f"{ways['streamed']['rows']:,}",
            *(_paces(ways, "streamed")),
            *(_paces(ways, "whole") if "whole" in ways else ("", "")),
        )
        for size in sizes
        for name, ways in size["work"].items()
    ]
    text = (
        "\nStreamed, the stages also seal and record what they made, and collect reads again what "
        "it has written. An export looks at every answer with feedback; one that teaches nothing, "
        f"such as one that was BAD without a correction, is not in the file.{_stores(sizes)}\n"
    )
    head = ("work", "came", "rows", "rows/s", "per CPU s", "whole list: rows/s", "per CPU s")
    return table(head, rows) + text


def _stores(sizes: Sequence[Found]) -> str:
    """How large the stores are that were exported from."""
    exported = [size for size in sizes if "export-csv" in size["work"]]
    return "".join(
        f" The store of {size['rows']:,} answers has {number(size['store_mib'])} MiB."
        for size in exported
    )


def _paces(ways: Found, way: str) -> tuple[str, str]:
    done = ways[way]
    return f"{done['rows_per_s']:,}", f"{done['rows'] / done['cpu_seconds']:,.0f}"


def _cache(found: Found) -> str:
    cache, setting = found["cache"], found["setting"]
    asked = round(cache["reads"] * (1 - cache["hit_ratio"]))
    rows = [
        ("remembered", f"{cache['reads']:,}", f"{asked:,}", f"{cache['hit_ratio']:.1%}"),
        ("without a cache", f"{cache['reads']:,}", f"{cache['reads']:,}", "0.0%"),
    ]
    text = (
        f"\nThe documented pattern of reads ([configuration](configuration.md#cache)): "
        f"{setting['versions']} versions, one evaluation and 19 readings each, on "
        f"{setting['test_rows']:,} rows. A hit takes {cache['hit_ms']:g} ms by median. Other "
        "caches: [benchmarks](../benchmarks/README.md#what-the-evaluation-cache-spares).\n"
    )
    return table(("way", "reads", "predictions of all rows", "hits"), rows) + text


def _breaker(found: Found) -> str:
    rows = [
        ("a call that takes 1 ms, bare", f"{found['call_us']:,.1f}", ""),
        (
            "the same with breaker, deadline and bound",
            f"{found['guarded_call_us']:,.1f}",
            f"{found['overhead']:+.2%}",
        ),
        ("breaker alone, on a call that does nothing", f"{found['breaker_us']:.2f}", ""),
        ("breaker, deadline and bound, the same", f"{found['guard_us']:.2f}", ""),
        ("a call that the open breaker turns away", f"{found['refusal_us']:.2f}", ""),
    ]
    text = f"\nMedians of {found['calls']:,} calls of each kind, in turns.\n"
    return table(("what", "µs", "overhead"), rows) + text


PAGE = Page(
    path=ROOT / "docs" / "performance.md", name="pipeline", block=block, drawn=figures.drawn
)


if __name__ == "__main__":
    PAGE.write()
