"""What benchmarks/README.md shows of `benchmarks.oos`."""

from __future__ import annotations

from benchmarks.pages import Found, table

TITLES = {
    "clinc": "CLINC150 out of scope",
    "banking_like": "CLINC150, banking-like intents (report only)",
    "near": "BANKING77 intents held out, five draws (report only)",
}


def summary(found: Found) -> str:
    """What benchmarks/README.md shows of it."""
    rows = []
    for name, part in (*found["slices"].items(), ("near", found["near"])):
        if name not in TITLES:
            continue
        area, goal = part["auroc"], found["goals"][name]
        spread = (
            f"± {area['spread']:.4f} between draws"
            if "spread" in area
            else f"{area['low']:.4f}–{area['high']:.4f}"
        )
        own = part.get("own_threshold")
        rows.append(
            (
                TITLES[name],
                f"{area['value']:.4f} ({spread})",
                f"≥ {found['required']:.2f}",
                f"≥ {goal:.3f}" + ("" if area["value"] >= goal else " (**missed**)"),
                f"{part['accepted_at_95']['value']:.1%}",
                "" if own is None else f"{own['false_alarms']['value']:.1%}",
            )
        )
    head = ("slice", "AUROC", "required", "goal", "out of scope, kept at 95 %", "false alarms")
    picked = [
        (
            name,
            f"{found['weights'][name]:g}" if name in found["weights"] else "",
            f"{areas['clinc']:.4f}",
            f"{areas['near']:.4f}",
        )
        for name, areas in found["choice"].items()
    ]
    return "\n".join(
        (
            f"Accuracy on BANKING77's test rows: {found['slices']['accuracy']:.4f}; the bundle has "
            f"{found['slices']['bundle_bytes'] / 2**20:.0f} MiB. One text takes "
            f"{found['slices']['cost']['told']:,.0f} µs of CPU in the median, and "
            f"{found['slices']['cost']['not_told']:,.0f} µs where nothing is told. Nobody promises "
            "to turn near-OOS away: texts of an intent that was held out look like those of its "
            "neighbours.\n",
            table(head, rows),
            "The score was chosen on other rows: validation rows against `oos_train` and "
            "`oos_val`, and against training rows of held-out intents (mean of five draws).\n",
            table(("signal", "counts for", "AUROC, CLINC150", "AUROC, held-out intents"), picked),
        )
    )
