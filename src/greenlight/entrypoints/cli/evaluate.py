"""`eval`, `compare` and `card`: what a version can do, on record and on paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from greenlight import wiring
from greenlight.core import fingerprint, gates, usage
from greenlight.core.evaluation import JUDGED, Judged
from greenlight.core.gates import GateResult
from greenlight.core.metrics import COMPARED
from greenlight.entrypoints.cli.common import json_option, opened, public, show_json, table
from greenlight.lookup import find_version
from greenlight.stages.evaluate import add_load
from greenlight.stages.scope import DRAWS

ARTIFACTS = Path("artifacts")
SHOWN = 10
"""Labels that `compare` lists."""

version_argument = click.argument("version")
out_option = click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the evaluation (default: artifacts/evaluations/VERSION).",
)
on_option = click.option("--on", help="A prepared dataset: its digest or the beginning of it.")
fail_on_warn_option = click.option(
    "--fail-on-warn", is_flag=True, help="Exit with 3 if a gate warns."
)


@click.group("eval")
def evaluation() -> None:
    """Evaluate a version in parts, and seal the parts into one document."""


@evaluation.command("run")
@version_argument
@click.option(
    "--part",
    "parts",
    type=click.Choice(wiring.MEASURED),
    multiple=True,
    help="Only this part; may be given several times (default: all).",
)
@on_option
@out_option
@json_option
@click.pass_context
def run_evaluation(
    context: click.Context,
    version: str,
    parts: tuple[str, ...],
    on: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure the parts of VERSION's evaluation, each into a file.

    A part that is there with the same inputs is not measured again.
    """
    with opened(context) as app, _bar(as_json, "eval") as progress:
        found = find_version(app.store, version)
        folder = out or Path(app.settings.root) / ARTIFACTS / "evaluations" / found.label
        made = wiring.measure_parts(
            app,
            found,
            folder=folder,
            wanted=parts or wiring.MEASURED,
            on=on,
            progress=progress,
        )
    if as_json:
        show_json({"folder": str(folder), "parts": [msgspec.to_builtins(part) for part in made]})
        return
    for part in made:
        click.echo(f"{part.part:<7} {_said(part.part, part.result)}")
    click.echo(f"next: greenlight eval seal {found.label}" + (f" -o {out}" if out else ""))


@evaluation.command("load")
@version_argument
@click.argument("summary", type=click.Path(dir_okay=False, path_type=Path))
@out_option
@json_option
@click.pass_context
def load_evaluation(
    context: click.Context, version: str, summary: Path, out: Path | None, as_json: bool
) -> None:
    """Make the part `load` of VERSION's evaluation from SUMMARY, a load test's file.

    The other parts come first. A level that was missed is on record like one that was met.
    """
    with opened(context) as app:
        found = find_version(app.store, version)
        folder = out or Path(app.settings.root) / ARTIFACTS / "evaluations" / found.label
        made = add_load(found, summary, folder=folder)
    if as_json:
        show_json({"folder": str(folder), "part": msgspec.to_builtins(made)})
        return
    click.echo(f"{made.part:<7} {_said(made.part, made.result)}")
    for doubt in _doubts(made.result):
        click.echo(f"note: {doubt}")
    click.echo(f"next: greenlight eval seal {found.label}" + (f" -o {out}" if out else ""))


@evaluation.command("oos")
@version_argument
@click.option(
    "--draws",
    type=click.IntRange(min=0),
    default=DRAWS,
    show_default=True,
    help="Train so many models, each kept from other labels; 0 leaves near-OOS out.",
)
@out_option
@json_option
@click.pass_context
def scope_evaluation(
    context: click.Context, version: str, draws: int, out: Path | None, as_json: bool
) -> None:
    """Make the part `oos` of VERSION's evaluation: how well it tells texts out of its scope.

    The other parts come first. The version is asked questions of CLINC150; models trained as it
    was, each kept from some of BANKING77's labels, are asked about those. A part that is there with
    the same inputs is not measured again.
    """
    with opened(context) as app, _bar(as_json, "eval oos") as progress:
        found = find_version(app.store, version)
        folder = out or Path(app.settings.root) / ARTIFACTS / "evaluations" / found.label
        made = wiring.measure_scope(app, found, folder=folder, draws=draws, progress=progress)
    if as_json:
        show_json({"folder": str(folder), "part": msgspec.to_builtins(made)})
        return
    click.echo(f"{made.part:<7} {_said(made.part, made.result)}")
    click.echo(f"next: greenlight eval seal {found.label}" + (f" -o {out}" if out else ""))


@evaluation.command("seal")
@version_argument
@out_option
@fail_on_warn_option
@json_option
@click.pass_context
def seal_evaluation(
    context: click.Context, version: str, out: Path | None, fail_on_warn: bool, as_json: bool
) -> None:
    """Merge the parts into eval.json, once; record it and hold it against the gates.

    An evaluation that people have signed is not replaced by a later one.
    """
    with opened(context) as app:
        found = find_version(app.store, version)
        folder = out or Path(app.settings.root) / ARTIFACTS / "evaluations" / found.label
        made = wiring.seal_evaluation(app, found, folder=folder)
        counts = wiring.evaluation_of(app, made.version)
    document = made.evaluation.document
    if as_json:
        show_json(
            {
                "path": str(made.path),
                "evaluation": made.evaluation.digest,
                "results": document["results_digest"],
                "version": public(made.version),
                "gates": made.gates,
                "warnings": document["warnings"],
                "ok": gates.passed(made.gates),
            }
        )
    else:
        click.echo(f"sealed: {made.path}")
        click.echo(f"evaluation {made.evaluation.digest}")
        _show_gates(made.gates)
        click.echo(f"{made.version.label} is {made.version.status}")
        if counts != made.evaluation.digest and counts is not None:
            click.echo(f"it does not replace evaluation {fingerprint.short(counts)}, which counts")
    context.exit(gates.exit_code(made.gates, fail_on_warn=fail_on_warn))


@click.command()
@click.argument("a")
@click.argument("b")
@on_option
@click.option(
    "--show",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Show at most so many texts on which they differ.",
)
@json_option
@click.pass_context
def compare(
    context: click.Context, a: str, b: str, on: str | None, show: int, as_json: bool
) -> None:
    """Hold version B against version A on the same test rows: paired test, interval, labels."""
    with opened(context) as app, _bar(as_json, "compare") as progress:
        first, second = find_version(app.store, a), find_version(app.store, b)
        found = wiring.compare_versions(app, first, second, on=on, progress=progress)
    if as_json:
        show_json(
            {
                **msgspec.to_builtins(found),
                "differences": msgspec.to_builtins(found.differences[:show]),
                "differing": len(found.differences),
            }
        )
        return
    told = found.comparison.paired
    click.echo(f"{told.n:,} test rows of {found.name} ({fingerprint.short(found.dataset)})\n")
    sides = [
        (side.label, f"{acc['value']:.4f}", f"{acc['low']:.4f} to {acc['high']:.4f}")
        for side in (found.a, found.b)
        for acc in (side.accuracy,)
    ]
    click.echo(table(("VERSION", "ACCURACY", "95 % INTERVAL"), sides))
    click.echo(
        f"\n{found.b.label} less {found.a.label}: {told.difference:+.4f} "
        f"({told.low:+.4f} to {told.high:+.4f}), p = {told.p_value:.2g}\n"
        f"both right {told.both:,}; only {found.a.label} {told.only_a:,}; "
        f"only {found.b.label} {told.only_b:,}; both wrong {told.neither:,}"
    )
    click.echo("\n" + _took(found.b.label, found.a.label, found.usage))
    for side in (found.a, found.b):
        if side.learnt_from is None:
            click.echo(f"what {side.label} learnt from is not here: it may have seen these texts")
        elif side.learnt_from:
            click.echo(f"{side.label} was trained on {side.learnt_from:,} of these texts")
    rows = [
        (entry.label, entry.n, entry.only_a, entry.only_b, f"{entry.difference:+.3f}")
        for entry in found.comparison.labels[:SHOWN]
    ]
    if rows:
        head = ("LABEL", "ROWS", f"ONLY {found.a.label}", f"ONLY {found.b.label}", "DIFFERENCE")
        click.echo("\n" + table(head, rows))
        more = len(found.comparison.labels) - len(rows)
        if more:
            click.echo(f"and {more} more labels")
    for difference in found.differences[:show]:
        click.echo(
            f"\n{difference.text}\n  true {difference.label}; {found.a.label} {difference.a}; "
            f"{found.b.label} {difference.b}"
        )


@click.command()
@version_argument
@click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder (default: artifacts/cards/VERSION).",
)
@click.option(
    "--evaluation",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="A sealed eval.json of VERSION to tell of (default: the evaluation that counts).",
)
@click.option(
    "--repository",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="A checkout of Greenlight whose documentation the card links to.",
)
@click.option("--page/--no-page", default=True, help="Write the HTML page too.")
@json_option
@click.pass_context
def card(
    context: click.Context,
    version: str,
    out: Path | None,
    evaluation: Path | None,
    repository: Path | None,
    page: bool,
    as_json: bool,
) -> None:
    """Write VERSION's model card: Markdown with figures, and one HTML page with both."""
    with opened(context) as app:
        found = find_version(app.store, version)
        folder = out or Path(app.settings.root) / ARTIFACTS / "cards" / found.label
        paths = wiring.write_card(
            app, found, folder, evaluation=evaluation, repository=repository, page=page
        )
    if as_json:
        show_json({name: str(path) for name, path in paths.items()})
        return
    for path in paths.values():
        click.echo(path)


def _bar(as_json: bool, what: str) -> Any:
    from rich.console import Console

    from greenlight.entrypoints.progress import bar

    return bar(Console(stderr=True, quiet=as_json), what)


def _show_gates(results: list[GateResult]) -> None:
    for result in results:
        click.echo(f"  {result.outcome:<4} {result.metric}: {result.reason}")


def _said(part: str, result: dict[str, Any]) -> str:
    """A part in one line."""
    if "reason" in result:
        return str(result["reason"])
    if part in JUDGED:
        return _judged(JUDGED[part], result["test"])
    if part == "oos":
        return "; ".join(f"{name} {_area(result[name])}" for name in ("clinc", "near"))
    if part == "live":
        delta = next(result[name] for name in COMPARED if name in result)
        return (
            f"{delta['value']:+.4f} ({delta['low']:+.4f} to {delta['high']:+.4f}) from "
            f"{result['label']}, p = {result['p_value']:.2g}"
        )
    if part == "usage":
        return "; ".join(
            f"{name} {value}" for name, value, *_ in usage.rows(result) if name != "latency, p50"
        )
    if part == "load":
        return (
            f"p95 {result['p95_ms']:.1f} ms, {result['error_rate']:.2%} server errors, "
            f"{result['rate']:.2f} of {result['asked']:g} requests/s: service level "
            f"{'met' if result['met'] else 'MISSED'}"
        )
    found = result["shuffled_labels"]
    verdict = "at chance" if found["at_chance"] else "ABOVE CHANCE"
    return (
        f"trained on shuffled labels {found['accuracy']['value']:.4f}, chance "
        f"{found['chance']:.4f}: {verdict}"
    )


def _took(label: str, other: str, found: dict[str, Any]) -> str:
    """What the answers of a version took, beside those of another one."""
    rows = usage.rows(found)
    if len(rows) == 1:
        return f"latency and cost: {rows[0][1]}"
    return table((label, "", "95 % INTERVAL", f"OF {other}"), rows)


def _area(scope: dict[str, Any]) -> str:
    """How well a slice out of scope is told, in a few words."""
    found = scope.get("auroc", scope)
    if "reason" in found:
        return str(found["reason"])
    between = f" ({found['low']:.4f} to {found['high']:.4f})" if "low" in found else ""
    return f"AUROC {found['value']:.4f}{between}"


def _judged(judged: Judged, test: dict[str, Any]) -> str:
    found = test[judged.key]
    if "reason" in found:
        return str(found["reason"])
    rows = test.get("sentences", found.get("n"))
    return (
        f"{judged.number} {found['value']:.4f} ({found['low']:.4f} to {found['high']:.4f}) "
        f"on {rows:,} test {judged.rows}"
    )


def _doubts(load: dict[str, Any]) -> list[str]:
    """What a load test leaves open."""
    found = []
    if not load["whole"]:
        goals = load["goals"]
        found.append(
            f"{load['asked']:g} requests/s for {load['steady_s']:g} s after {load['ramp_s']:g} s "
            f"is a trial; the service level wants {goals['rate']:g} for {goals['steady_s']:g} s "
            f"after {goals['ramp_s']:g} s at the least"
        )
    if not load["version"]["verified"]:
        found.append(f"version not verified: {load['version']['reason']}")
    return found
