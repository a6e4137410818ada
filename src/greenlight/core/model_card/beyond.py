"""Texts out of scope, entities, and what live traffic is to be held against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import Any

from greenlight.core.model_card.measured import SHOWN
from greenlight.core.model_card.parts import (
    Code,
    Section,
    Table,
    cells,
    confused,
    number,
    sentence,
    whose,
)
from greenlight.core.stats.drift import THRESHOLDS
from greenlight.core.tagging import OUTSIDE

Document = Mapping[str, Any]

UNSURE = 0.5
"""A score below this is low: whatever its label, it is more likely wrong."""

SLICES = {
    "clinc": "texts from elsewhere (CLINC150, oos_test)",
    "banking_like": "questions about money without a label here (CLINC150)",
    "near": "labels that were held out of training",
}
"""Name of a slice of the part `oos` → what is out of scope in it."""


def slices_of(document: Document) -> dict[str, Mapping[str, Any]]:
    """The slices of texts out of scope that were measured, or say why they were not."""
    part = document.get("oos", {})
    return {
        name: part[name]
        for name in (*SLICES, *sorted(part.keys() - SLICES.keys()))
        if isinstance(part.get(name), Mapping) and ("auroc" in part[name] or "reason" in part[name])
    }


def out_of_scope(document: Document) -> Section:
    """How well texts out of scope are told from those that have a label."""
    title = "Out of scope"
    found = slices_of(document)
    if not found:
        return Section(title=title, text=sentence(document.get("oos", {})))
    rows = []
    for name, entry in found.items():
        area = entry.get("auroc", entry)
        value, interval = cells(area)
        spread = area.get("spread")
        if not interval and spread is not None:
            interval = f"± {spread:.4f} between draws"
        own = entry.get("own_threshold", {})
        rows.append(
            (
                SLICES.get(name, name),
                value,
                interval,
                cells(entry.get("accepted_at_95", {}))[0],
                cells(own.get("false_alarms", own))[0],
                cells(own.get("found", own))[0],
            )
        )
    text = (
        "How far a text lies from all that was learnt is told beside its label. The area under the "
        "ROC curve is the chance that a text out of scope lies farther out than one in scope. Of "
        "texts near to what was learnt many are kept: nobody promises to turn them away."
    )
    head = (
        "out of scope",
        "AUROC",
        "95 % interval",
        "kept where 95 % in scope are",
        "false alarms",
        "found",
    )
    return Section(title=title, text=text, table=Table(head, rows))


def entities(document: Document) -> Section:
    """How well each type of entity is found, by its exact words."""
    title = "Entities"
    part = document.get("ner")
    if part is None:
        return Section(title=title, text="No part of this evaluation tags words.")
    test = part.get("test")
    if test is None:
        return Section(title=title, text=sentence(part))
    subject = part.get("subject")
    items: list[tuple[str, str]] = []
    if subject is not None:
        items += [
            ("Of another version", Code(subject["version"])),
            ("Its bundle", Code(subject["bundle"])),
            ("Its data set", str(subject["dataset"].get("name", "unknown"))),
        ]
    for count, true, said in islice(_mistagged(test), SHOWN):
        items.append((f"{true} taken for {said}", f"{count:,} words"))
    share = test.get("outside")
    outside = "" if share is None else f" A tagger that finds nothing gets {share:.1%} of them."
    text = (
        f"On {test['sentences']:,} sentences with {test['words']:,} words.{outside} An entity is "
        "right where its first word, its last and its type are."
    )
    rows = [
        (
            Code(entry["type"]),
            number(entry["f1"]),
            number(entry["precision"]),
            number(entry["recall"]),
            str(entry["support"]),
        )
        for entry in test.get("per_type", [])
    ]
    head = ("type", "F1", "precision", "recall", "entities")
    return Section(title=title, text=text, items=items, table=Table(head, rows))


def _mistagged(test: Mapping[str, Any]) -> Any:
    return confused({"labels": test.get("labels", []), "confusion": test.get("confusion", [])})


def drift(document: Document) -> Section:
    """What the version did on the test rows: the base that live traffic is held against."""
    title = "Drift baselines"
    rows = [*_label_rows(document), *_scope_rows(document), *_tag_rows(document)]
    if not rows:
        return Section(title=title, text=sentence({}))
    (psi, large), (js, far) = THRESHOLDS["psi"], THRESHOLDS["jensen_shannon"]
    text = (
        "What this version did on its test rows. Where live traffic of the same texts departs from "
        "it, users ask something else, or the model is not the one that was measured. A population "
        f"stability index of the labels from {psi:g} on is a small shift and from {large:g} on a "
        f"large one, a Jensen-Shannon divergence from {js:g} and {far:g} bits. Drift is a reason "
        "to look and never one to roll back: it hits both arms. Between the arms of a rollout the "
        "alarm class_shift watches the labels."
    )
    return Section(title=title, text=text, table=Table(("what", "on the test rows"), rows))


def _label_rows(document: Document) -> list[tuple[str, str]]:
    test = document.get("intent", {}).get("test", {})
    total = test.get("accuracy", {}).get("n")
    given: Counter[str] = Counter()
    for found in test.get("confusion", []):
        given.update(dict(zip(test["labels"], found, strict=True)))
    if not total or not given:
        return []
    most = sorted(given.items(), key=lambda it: (-it[1], it[0]))[:SHOWN]
    rows = [
        ("labels given most", ", ".join(f"{label} {count / total:.2%}" for label, count in most)),
        (
            "labels never given",
            f"{sum(count == 0 for count in given.values()):,} of {len(given):,}",
        ),
        ("texts without a label", f"{test.get('unanswered', 0) / total:.2%}"),
    ]
    bins = test.get("reliability", [])
    if bins:
        scored = sum(found["n"] for found in bins)
        mean = sum(found["n"] * found["score"] for found in bins) / scored
        below = [found for found in bins if found["high"] <= UNSURE]
        rows.append(("mean score", f"{mean:.4f}"))
        if below:
            edge, share = below[-1]["high"], sum(found["n"] for found in below) / scored
            rows.append((f"scores up to {edge:.3f}", f"{share:.2%}"))
    return rows


def _scope_rows(document: Document) -> list[tuple[str, str]]:
    for entry in slices_of(document).values():
        alarms = entry.get("own_threshold", {}).get("false_alarms", {})
        if "value" in alarms:
            return [("texts in scope called out of it", f"{alarms['value']:.2%}")]
    return []


def _tag_rows(document: Document) -> list[tuple[str, str]]:
    part = document.get("ner", {})
    test = part.get("test", {})
    given: Counter[str] = Counter()
    for found in test.get("confusion", []):
        given.update(dict(zip(test["labels"], found, strict=True)))
    words = given.total()
    if not words:
        return []
    begun = {tag[2:]: count for tag, count in given.items() if tag.startswith("B-")}
    types = ", ".join(f"{kind} {1000 * n / words:.1f}" for kind, n in sorted(begun.items()))
    named = words - given[OUTSIDE]
    return [
        (f"words tagged as part of an entity{whose(part)}", f"{named / words:.2%}"),
        (f"entities per thousand words{whose(part)}", types),
    ]
