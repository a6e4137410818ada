"""What the evaluation says of a version on its test rows."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from greenlight.core.model_card.parts import (
    Code,
    Section,
    Table,
    cells,
    confused,
    counts,
    number,
    sentence,
    whose,
)
from greenlight.core.usage import rows as taken

SHOWN = 5
"""Rows of the tables of what is worst."""

Document = Mapping[str, Any]


def warnings(document: Document) -> Section:
    """What people must know before they sign."""
    if not document:
        return Section(title="Warnings", text="There is no evaluation on record.")
    found = [str(warning["reason"]) for warning in document.get("warnings", ())]
    return Section(title="Warnings", text="" if found else "None.", warnings=found)


def metrics(document: Document) -> Section:
    """The numbers of labels, and those of tags where words are tagged."""
    other = "ner" in document or "chat" in document
    found = {**(_labels(document) if "intent" in document or not other else {})}
    if "ner" in document:
        found |= _tags(document)
    if "chat" in document:
        found |= _answers(document)
    rows = [(name, *cells(block or {})) for name, block in found.items()]
    return Section(title="Metrics", table=Table(("metric", "value", "95 % interval"), rows))


def _labels(document: Document) -> dict[str, Any]:
    intent = document.get("intent", {})
    test = intent.get("test", {})
    return {
        "accuracy, test": test.get("accuracy"),
        "macro F1, test": test.get("macro_f1"),
        "expected calibration error, test": test.get("ece"),
        "accuracy, validation": intent.get("validation", {}).get("accuracy"),
        "accuracy, train": intent.get("train", {}).get("accuracy"),
        "train-validation gap": intent.get("train_val_gap"),
    }


def _tags(document: Document) -> dict[str, Any]:
    ner = document["ner"]
    test = ner.get("test", {})
    found = {
        "token F1, test": test.get("token_micro_f1"),
        "entity F1, test": test.get("entity_micro_f1"),
        "sentences with every tag right, test": test.get("exact"),
        "token F1, validation": ner.get("validation", {}).get("token_micro_f1"),
        "token F1, train": ner.get("train", {}).get("token_micro_f1"),
        "train-validation gap of token F1": ner.get("train_val_gap"),
    }
    return {f"{name}{whose(ner)}": block for name, block in found.items()}


def _answers(document: Document) -> dict[str, Any]:
    chat = document["chat"]
    test = chat.get("test", {})
    return {
        "overlap of words with the wanted answer, test": test.get("overlap"),
        "share of answers that are the wanted one, test": test.get("agreement"),
        "overlap of words, validation": chat.get("validation", {}).get("overlap"),
        "overlap of words, train": chat.get("train", {}).get("overlap"),
        "train-validation gap of overlap": chat.get("train_val_gap"),
    }


_LIVE = {
    "accuracy": "accuracy",
    "exact_match": "share of sentences with every tag right",
    "token_micro_f1": "token F1",
    "agreement": "share of answers that are the wanted one",
    "overlap": "overlap of words",
}
"""What a version is held against the live one by → in words."""
_BY_DRAWS = ("token_micro_f1", "overlap")
"""Those whose interval is of draws, without a paired test."""


def live(document: Document) -> Section:
    """The difference from the live version."""
    part = document.get("live", {})
    if "n" not in part:
        return Section(title="Against the live version", text=sentence(part))
    rows = []
    for name, words in _LIVE.items():
        if name in part:
            paired = "" if name in _BY_DRAWS else f"p = {part['p_value']:.2g}"
            told = (f"difference of {words} from {part['label']}",)
            rows.append((*told, *cells(part[name], signed=True), paired))
    text = (
        f"On the same {part['n']:,} test rows both are right on {part['both']:,}, only "
        f"{part['label']} on {part['only_live']:,}, only this version on "
        f"{part['only_candidate']:,}, neither on {part['neither']:,}."
    )
    if own := part.get("own"):
        text += (
            f" On {own:,} of them the wanted answer is {part['label']}'s own, with which people "
            "were content: there no other version can do better, however good it is."
        )
    head = ("what", "value", "95 % interval", "McNemar, mid-p")
    return Section(title="Against the live version", text=text, table=Table(head, rows))


def usage(document: Document) -> Section:
    """What answers took in time and money, beside those of the live version."""
    part = document.get("usage", {})
    title = "Latency and cost of an answer"
    if "latency_ms" not in part:
        return Section(title=title, text=sentence(part))
    other = part.get("beside", {}).get("label")
    text = (
        f"As measured on the {part['latency_ms']['n']:,} test rows, which a provider was asked one "
        "by one, a few at a time. It is how the provider was at that hour, and no promise."
    )
    head = ("what", "value", "95 % interval", "as a multiple" + (f" of {other}'s" if other else ""))
    return Section(title=title, text=text, table=Table(head, taken(part)))


def sanity(document: Document) -> Section:
    """What a model can do that learnt nothing."""
    part = document.get("sanity", {})
    found = part.get("shuffled_labels")
    name = "Trained on shuffled labels"
    if found is None:
        return Section(title=name, text=sentence(part))
    value, interval = cells(found["accuracy"])
    verdict = "at chance" if found["at_chance"] else "above chance"
    text = (
        "The same backend with the same settings, trained where there is nothing to learn, must "
        f"answer no better than by chance. It is {verdict} (one-sided, α = {found['alpha']:g})."
    )
    rows = [("accuracy", value, interval), ("chance", number(found["chance"]), "")]
    return Section(
        title=name,
        text=text,
        items=[("Rows taken", counts(found.get("rows")))],
        table=Table(("what", "value", "95 % interval"), rows),
    )


def weakest(document: Document) -> Section:
    """The labels that are told worst."""
    title = "Weakest labels"
    if "intent" not in document:
        return Section(title=title, text=_no_labels(document))
    entries = document["intent"].get("test", {}).get("per_label", [])
    judged = sorted(
        (entry for entry in entries if entry["f1"] is not None),
        key=lambda entry: (entry["f1"], entry["label"]),
    )
    rows = [
        (
            Code(entry["label"]),
            number(entry["f1"]),
            number(entry["precision"]),
            number(entry["recall"]),
            str(entry["support"]),
        )
        for entry in judged[:SHOWN]
    ]
    head = ("label", "F1", "precision", "recall", "test rows")
    return Section(title=title, table=Table(head, rows))


def confusions(document: Document) -> Section:
    """Which labels are taken for which."""
    title = "Most frequent confusions"
    if "intent" not in document:
        return Section(title=title, text=_no_labels(document))
    worst = islice(confused(document["intent"].get("test", {})), SHOWN)
    rows = [(Code(gold), Code(given), str(count)) for count, gold, given in worst]
    return Section(title=title, table=Table(("true", "predicted", "times"), rows))


def _no_labels(document: Document) -> str:
    if "ner" in document:
        return "This version tags words and gives no label to a text."
    if "chat" in document:
        return "This version answers in words of its own and gives no label to a text."
    return sentence({})
