"""What a version is for, what can go wrong with it, and what is done about that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from greenlight.core.model_card.beyond import slices_of
from greenlight.core.model_card.parts import (
    NOT_MEASURED,
    Cell,
    Code,
    Facts,
    Section,
    Table,
    confused,
)

Document = Mapping[str, Any]


def intended(facts: Facts) -> Section:
    """What it is for, and what not."""
    dataset = facts.dataset
    tags = "ner" in facts.document and "intent" not in facts.document
    use = "A tag for every word of a short text" if tags else "One label for a short text"
    if dataset is not None:
        labels = len(dataset.manifest.get("labels", []))
        one = f"One of {labels} tags for every word" if tags else f"One of {labels} labels"
        use = (
            f"{one} {'of' if tags else 'for'} a short text, for texts like those of {dataset.name}"
        )
    if "chat" in facts.document:
        use = "An answer in words to the messages of a chat"
        if dataset is not None:
            use += f", for chats like those of {dataset.name}"
    return Section(
        title="Intended use",
        text=f"{use}. Not for any decision on people by itself.",
        items=[("Task", Code(facts.version.task)), ("Status", facts.version.status.value)],
    )


def risks(document: Document) -> Section:
    """What can go wrong, how large that is, and what is done about it."""
    rows = [
        *(_SAID if "chat" in document else _labelled(document)),
        (
            "Texts change after the test rows were written",
            "the intervals do not cover it",
            "canary before all users, evidence from their feedback, drift baselines below",
        ),
        (
            "What users write holds personal data",
            "names and addresses are not found by rules",
            "what is found is replaced before anything is written; erasure by unit and by age",
        ),
    ]
    return Section(
        title="Risks and mitigations", table=Table(("risk", "how large", "what is done"), rows)
    )


_SAID = (
    (
        "An answer is wrong, or sure of what is not so",
        "not measured; overlap says how near it comes to answers that people were content with",
        "canary before all users; what they say of answers decides and is learnt from",
    ),
    (
        "It learns what engages, and what engages need not be true or good",
        "not measured",
        "secondary metrics with margins; a BAD keeps an answer out, whatever it engaged",
    ),
)
"""What can go wrong with answers in words."""


def _labelled(document: Document) -> list[tuple[str, str, str]]:
    """What can go wrong with labels and tags."""
    return [
        (
            "A text that belongs to no label gets the best of the wrong ones",
            _scope(document),
            "oos and oos_score stand beside every label; the application asks again or hands over",
        ),
        (
            "A text that lies between labels gets one of them",
            _ambiguity(document),
            "the score beside the label; confusions above; what users correct is judged anew",
        ),
        (
            "A score that says more than it knows",
            _overconfidence(document),
            "scores are calibrated on rows that nothing was learnt from; the gate ece",
        ),
        (
            "An entity found with a word too many or too few, or cut in two",
            _boundaries(document),
            "tags that cannot follow each other are never given; entities are judged by their "
            "exact words beside the tags",
        ),
    ]


def _scope(document: Document) -> str:
    told = []
    for name, entry in slices_of(document).items():
        kept = entry.get("accepted_at_95", {}).get("value")
        if kept is not None:
            told.append(f"{kept:.1%} ({name.replace('_', '-')})")
    if not told:
        return "detection is not measured"
    return f"kept where 95 % in scope are: {', '.join(told)}"


def _ambiguity(document: Document) -> str:
    test = document.get("intent", {}).get("test", {})
    worst = next(confused(test), None)
    if worst is None:
        return NOT_MEASURED
    count, gold, given = worst
    return f"most often {gold} is taken for {given}: {count:,} times"


def _overconfidence(document: Document) -> str:
    error = document.get("intent", {}).get("test", {}).get("ece", {}).get("value")
    return NOT_MEASURED if error is None else f"expected calibration error {error:.4f}"


def _boundaries(document: Document) -> str:
    if "ner" not in document:
        return "no part of this evaluation tags words"
    test = document["ner"].get("test", {})
    token, entity = (
        test.get(name, {}).get("value") for name in ("token_micro_f1", "entity_micro_f1")
    )
    if token is None or entity is None:
        return NOT_MEASURED
    return f"F1 by words {token:.4f}, by whole entities {entity:.4f}"


def limits(document: Document) -> Section:
    """What the numbers do not say."""
    unanswered = [
        document[part].get("test", {}).get("unanswered")
        for part in ("intent", "ner", "chat")
        if part in document
    ]
    known = [count for count in unanswered if count is not None]
    items = [
        (
            "Intervals",
            "they cover chance in the draw of test rows, not a change in what users ask",
        ),
        ("Fairness over groups of users", "not measured; the data names no groups"),
        ("Languages", "only those of the training rows; others are not measured"),
        ("Test rows without an answer", f"{sum(known):,}" if known else NOT_MEASURED),
    ]
    if "intent" in document or not document:
        unseen = "" if slices_of(document) else "; detection of such texts is not measured"
        scope = (
            "every text gets one of the labels, so a text that belongs to none gets a wrong "
            f"one{unseen}"
        )
        items.insert(0, ("Out of scope", scope))
    return Section(title="Limits", items=items)


def retention(facts: Facts) -> Section:
    """What is kept for how long, and how it is erased."""
    items: list[tuple[str, Cell]] = list(facts.kept)
    items += [
        ("Requests, answers and feedback", "until they are purged, by age or by unit"),
        ("Data sets", "a folder with a row of an erased unit goes whole; its record stays"),
        ("This version", "a model may remember what it learnt: train again after an erasure"),
        ("Ledger, decisions, approvals", "for good: they name staff and no users"),
        ("How to erase, and what is not erased", facts.page("docs/data-protection.md")),
    ]
    return Section(title="Retention", items=items)


def security(facts: Facts) -> Section:
    """What protects the version and those who ask it."""
    return Section(
        title="Security posture",
        items=[
            ("Bundle", "sealed: a file that was changed, added or taken away is refused at load"),
            ("Format", "JSON, safetensors and ONNX: loading it runs no code of the bundle"),
            ("Who may serve it", "a version that people have signed, each with a key of their own"),
            ("Who may ask it", "holders of an API key with the scope, at the rate that it allows"),
            ("Supply chain", "weights and data sets are fetched from one address, by SHA-256"),
            ("Record", facts.page("docs/audit.md")),
        ],
    )


_FAILURES = (
    (
        "answers get worse",
        "GOOD rate of the candidate; tests quality and early_harm",
        "rolled back by evidence",
        "governance/runbooks/roll-back.md",
    ),
    (
        "calls fail or time out",
        "alarm server_error_rate, circuit breaker",
        "control answers for it, then it is rolled back",
        "governance/runbooks/errors.md",
    ),
    (
        "answers come late",
        "alarm p95_latency_ms; tests of latency",
        "rolled back by evidence or alarm",
        "governance/runbooks/latency.md",
    ),
    (
        "labels shift",
        "alarm class_shift; drift baselines",
        "the alarm rolls back a candidate; a shift of both arms is for people",
        "governance/runbooks/drift.md",
    ),
    (
        "many texts are out of scope",
        "share of answers with oos",
        "nothing: what to do with them is the application's",
        "docs/how-to/out-of-scope.md",
    ),
    (
        "it must stop at once",
        "a person says so",
        "the kill switch, with the store away too",
        "docs/how-to/kill-switch.md",
    ),
    (
        "its files were changed",
        "not as sealed, at load",
        "it is refused, and serves nobody",
        "docs/troubleshooting.md#versions",
    ),
    (
        "the store is away or full",
        "readiness of gateways, logs",
        "gateways answer by the last epoch and spool what happens",
        "governance/runbooks/lost-store.md",
    ),
)
"""What fails, how it shows, what happens by itself, and the runbook."""


def failures(facts: Facts) -> Section:
    """What can fail in service, and where it says what to do."""
    rows = [(*told, facts.page(path)) for *told, path in _FAILURES]
    head = ("failure", "how it shows", "what happens by itself", "runbook")
    return Section(title="Failure modes", table=Table(head, rows))
