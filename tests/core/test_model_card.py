"""The model card (G3, T7) says what the records hold and owns up to what they lack."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from eval import slices
from greenlight.core import markdown, model_card, usage
from greenlight.core.chat import Tokens
from greenlight.core.gates import GateResult
from greenlight.core.model_card import Facts
from greenlight.core.records import Approval, Dataset, Evaluation, Run, Version
from greenlight.core.states import RunStatus, VersionStatus
from greenlight.core.usage import Prices, Taken

VERSION = Version(
    digest="sha256:v",
    task="intent",
    label="intent@2",
    bundle="sha256:b",
    runtime={"kind": "in_process"},
    lineage={},
    initiator="ana",
    status=VersionStatus.EVALUATED,
    at=1,
)
RUN = Run(
    id="intent#1",
    task="intent",
    number=1,
    trigger="manual",
    initiator="ana",
    plan={"backend": "encoder-head", "options": {}, "seed": 2025},
    environment={},
    status=RunStatus.FINISHED,
    at=1,
    ended_at=2,
)
MANIFEST = {
    "source": "https://data.example/x",
    "licence": "CC BY 4.0",
    "citation": "Somebody, 2020",
    "parent": "sha256:raw",
    "labels": ["a?", "b|c"],
    "counts": {"test": 30, "train": 9000},
    "exclusions": {"in_test": 7, "empty": 0},
    "pii": {"scrubbed": {"email": 3}, "rows": 2, "unresolved": 0},
    "seed": 2025,
}


def facts(document: dict[str, Any], approvals: tuple[Approval, ...] = ()) -> Facts:
    return Facts(
        version=VERSION,
        run=RUN,
        dataset=Dataset(digest="sha256:d", task="intent", name="demo", manifest=MANIFEST, at=1),
        evaluation=Evaluation(digest="sha256:e", version="sha256:v", document=document, at=3),
        gates=[GateResult(metric="accuracy", outcome="pass", reason="clears every bar")],
        approvals=approvals,
        traced=12,
    )


def card(document: dict[str, Any], approvals: tuple[Approval, ...] = (), **more: Any) -> str:
    told = msgspec.structs.replace(facts(document, approvals), **more)
    return markdown.render(model_card.title(told), model_card.sections(told))


def full(gap: float = 0.01) -> dict[str, Any]:
    entry = {"precision": 0.5, "recall": None, "support": 10}
    return {
        "protocol": {"module": "eval.intent_eval", "digest": "sha256:p"},
        "intent": {
            "test": {
                "accuracy": {"value": 0.9, "low": 0.74, "high": 0.97},
                "per_label": [
                    {**entry, "label": "a?", "f1": 0.8},
                    {**entry, "label": "b|c", "f1": 0.2},
                    {**entry, "label": "unseen", "f1": None},
                ],
                "labels": ["a?", "b|c"],
                "confusion": [[20, 1], [2, 7]],
            },
            "train_val_gap": {"value": gap},
        },
        "live": {
            "version": "sha256:l",
            "label": "intent@1",
            "accuracy": {"value": 0.05, "low": -0.01, "high": 0.11},
            "p_value": 0.02,
            "n": 30,
            "both": 20,
            "only_live": 1,
            "only_candidate": 3,
            "neither": 6,
            "per_label": [],
        },
        "sanity": {
            "shuffled_labels": {
                "accuracy": {"value": 0.4, "low": 0.2, "high": 0.6},
                "chance": 0.5,
                "at_chance": True,
                "alpha": 0.001,
                "rows": {"train": 1000, "test": 30},
            }
        },
        "load": {"reason": "not measured: no load test"},
        "warnings": [{"metric": "train_val_gap", "reason": "overfit: too | far"}] * (gap > 0.03),
        "results_digest": "sha256:r",
        "environment": {"code": "sha256:c", "code_commit": "abc", "processor": "a chip"},
        "rows_per_s": 254.5,
    }


def test_numbers_lineage_and_licence_are_there() -> None:
    """G3, R1"""
    text = card(full())
    assert "| accuracy, test | 0.9000 | 0.7400 to 0.9700 |" in text
    assert "| macro F1, test | not measured |  |" in text
    assert "- Rows: train 9,000, test 30\n" in text
    assert "- Left out: in_test 7\n" in text
    assert "CC BY 4.0" in text
    for digest in "vberpcd":
        assert f"`sha256:{digest}`" in text
    assert "`sha256:raw`" in text
    assert "| run | `intent#1` |" in text
    assert "| rows that name their inference | 12 |" in text


def test_the_parts_of_an_evaluation_are_told() -> None:
    """E4, T7, D6: the live version, shuffled labels, and what was scrubbed."""
    text = card(full())
    assert "| +0.0500 | -0.0100 to +0.1100 | p = 0.02 |" in text
    assert "both are right on 20, only intent@1 on 1, only this version on 3, neither on 6" in text
    assert "It is at chance (one-sided, α = 0.001)." in text
    assert "- Rows taken: train 1,000, test 30" in text
    assert "- Replaced, by kind: email 3" in text
    assert "| throughput | 254 rows/s |" in text
    assert "| load test | not measured: no load test |" in text


def test_what_answers_took_is_told_where_it_was_measured() -> None:
    """E4, O7: with the live version's beside it, else with the reason."""
    mine, live = (
        Taken(
            label=label,
            milliseconds=[slow] * 40,
            tokens=[Tokens(100, 5)] * 40,
            prices=Prices(1.0, 4.0),
        )
        for label, slow in (("intent@2", 30.0), ("intent@1", 20.0))
    )
    text = card({**full(), "usage": usage.beside(mine, live)})
    assert "as a multiple of intent@1's" in text and "on the 40 test rows" in text
    assert "| latency, p95 | 30.0 ms | 30.0 to 30.0 | 1.50 times (1.50 to 1.50) |" in text
    assert "| cost of 1,000 answers | 0.1200 | 0.1200 to 0.1200 | 1.00 times" in text
    assert "| tokens of an answer | 100.0 read, 5.0 written |" in text
    alone = card({**full(), "usage": usage.beside(mine, "no version is live")})
    assert "| latency, p95 | 30.0 ms | 30.0 to 30.0 | no version is live |" in alone
    assert "Intent@2 answers in this process, many" in card(
        {**full(), "usage": {"reason": usage.in_process("intent@2")}}
    )
    assert "## Latency and cost of an answer\n\nNot measured." in card(full())


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({"p95_ms": 14.8, "met": True, "whole": True}, "p95 14.8 ms, service level met"),
        ({"p95_ms": 190.0, "met": False, "whole": True}, "p95 190 ms, service level missed"),
        ({"p95_ms": 9.0, "met": True, "whole": False}, "p95 9 ms, service level met, a trial"),
    ],
)
def test_what_a_load_test_found(found: dict[str, object], says: str) -> None:
    """S4."""
    assert f"| load test | {says} |" in card(full() | {"load": found})


def test_what_is_not_on_record_is_no_number() -> None:
    """A version that was added, not trained, and never evaluated."""
    bare = msgspec.structs.replace(
        facts({}),
        version=msgspec.structs.replace(VERSION, lineage={"source": "added", "by": "ana"}),
        run=None,
        dataset=None,
        evaluation=None,
        traced=None,
    )
    text = markdown.render(model_card.title(bare), model_card.sections(bare))
    assert "There is no evaluation on record." in text
    assert "One label for a short text. Not for" in text
    assert "## Weakest labels\n\nNot measured." in text
    assert "## Most frequent confusions\n\nNot measured." in text
    assert "no run of the pipeline made it" in text
    assert "| source | added |" in text
    assert "No report on personal data is on record." in text
    assert not re.search(r"\d\.\d", text)


def test_weakest_labels_and_confusions_come_worst_first() -> None:
    text = card(full(0.01))
    assert text.index("| `b\\|c` | 0.2000 |") < text.index("| `a?` | 0.8000 |")
    assert "unseen" not in text
    assert text.index("| `b\\|c` | `a?` | 2 |") < text.index("| `a?` | `b\\|c` | 1 |")


def test_a_warning_stands_on_the_card() -> None:
    """T7: as the evaluation words it."""
    assert "- **Warning**: overfit: too \\| far" in card(full(0.031))
    assert "Warning" not in card(full(0.03)).replace("## Warnings", "")


def test_words_of_people_cannot_forge_the_card() -> None:
    approval = Approval(
        id="1",
        version="sha256:v",
        evaluation="sha256:e",
        role="ml_lead",
        person="ana",
        decision="approve",
        why="fine |\n## Gates\n<b>",
        at=4,
        signature="",
    )
    text = card({}, (approval,))
    assert text.count("\n## Gates\n") == 1
    assert "| ana | ml_lead | approve | `sha256:e` | fine \\| ## Gates \\<b> |" in text
    assert "Nobody has signed." in card({})


def block(text: str, title: str) -> str:
    """What stands under a heading."""
    [found] = re.findall(rf"^## {re.escape(title)}\n\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return str(found)


SCOPE = {
    "clinc": {
        "auroc": {"value": 0.9967, "low": 0.9941, "high": 0.9992},
        "accepted_at_95": {"value": 0.006, "low": 0.003, "high": 0.01},
        "own_threshold": {"false_alarms": {"value": 0.047}, "found": {"value": 0.994}},
        "roc": [{"false": 0.1, "true": 0.9}],
    },
    "banking_like": {"reason": "not measured: clinc150 is not here"},
    "near": {
        "auroc": {"value": 0.9354, "spread": 0.0032},
        "accepted_at_95": {"value": 0.379},
        "draws": [],
    },
}
TAGGED = {
    "test": {
        "token_micro_f1": {"value": 0.51, "low": 0.48, "high": 0.54},
        "entity_micro_f1": {"value": 0.45, "low": 0.42, "high": 0.49},
        "exact": {"value": 0.6, "low": 0.57, "high": 0.63, "correct": 6, "n": 10},
        "per_type": [
            {"type": "person", "precision": 0.7, "recall": 0.5, "f1": 0.5833, "support": 429},
            {"type": "product", "precision": None, "recall": 0.0, "f1": 0.0, "support": 9},
        ],
        "labels": ["B-person", "I-person", "O"],
        "confusion": [[200, 0, 229], [0, 30, 100], [50, 0, 4000]],
        "words": 4609,
        "sentences": 10,
        "outside": 0.879,
        "unanswered": 2,
    },
    "validation": {"token_micro_f1": {"value": 0.6}},
    "train": {"token_micro_f1": {"value": 0.75}},
    "train_val_gap": {"value": 0.15},
}


def cut(name: str, n: int, *, ahead: float | None) -> dict[str, Any]:
    few: dict[str, Any] = {"reason": f"cannot tell: {n} rows, fewer than 50"}
    given: dict[str, Any] = {"slice": name, "what": "so", "n": n, "accuracy": few}
    if ahead is None:
        return {**given, "difference": few}
    accuracy = {"value": 0.9 + ahead, "low": 0.8 + ahead, "high": 0.95 + ahead}
    difference = {"value": ahead, "low": ahead - 0.01, "high": ahead + 0.01}
    return {**given, "accuracy": accuracy, "difference": difference}


SLICED = {
    "least": 50,
    "families": [
        {
            "family": "casing",
            "slices": [
                cut("lower", 90, ahead=-0.03),
                cut("mixed", 800, ahead=0.03),
                cut("capitals", 7, ahead=None),
            ],
        },
        {"family": "labels", "slices": [cut("rare", 300, ahead=0.004)]},
    ],
}


def everything() -> dict[str, Any]:
    document = full()
    document["intent"]["slices"] = SLICED
    document["intent"]["test"]["accuracy"] |= {"correct": 27, "n": 30}
    document["intent"]["test"]["reliability"] = [
        {"low": 0.4, "high": 7 / 15, "n": 6, "score": 0.45, "accuracy": 0.5},
        {"low": 14 / 15, "high": 1.0, "n": 24, "score": 0.95, "accuracy": 0.9},
    ]
    return {**document, "oos": SCOPE, "ner": TAGGED}


@pytest.mark.parametrize(
    "title",
    [
        "Intended use",
        "Metrics",
        "Most frequent confusions",
        "Out of scope",
        "Entities",
        "Fairness notes",
        "Risks and mitigations",
        "Data",
        "Personal data",
        "Retention",
        "Security posture",
        "Failure modes",
        "Drift baselines",
        "Approvals",
        "Measured on",
    ],
)
@pytest.mark.parametrize("document", [everything(), full(), {}], ids=["all", "labels", "nothing"])
def test_a_card_has_everything_that_it_must_have(document: Mapping[str, Any], title: str) -> None:
    """G3: whatever was measured, each part of the card is there and says something."""
    assert len(block(card(dict(document)), title)) > 10


def test_scope_is_told_slice_by_slice() -> None:
    """G3: risk of out-of-scope texts, with its size; a slice that could not be had has a reason."""
    text = card(everything())
    found = block(text, "Out of scope")
    assert "| texts from elsewhere (CLINC150, oos_test) | 0.9967 | 0.9941 to 0.9992 |" in found
    assert "| not measured: clinc150 is not here |" in found
    assert "| 0.9354 | ± 0.0032 between draws | 0.3790 |" in found
    risks = block(text, "Risks and mitigations")
    assert "kept where 95 % in scope are: 0.6% (clinc), 37.9% (near)" in risks
    assert "most often b\\|c is taken for a?: 2 times" in risks
    assert "F1 by words 0.5100, by whole entities 0.4500" in risks
    assert "CC BY 3.0" in block(text, "Data")
    assert "CC BY 3.0" not in card(full())
    assert "detection of such texts is not measured" in block(card(full()), "Limits")
    assert "not measured" not in block(text, "Limits").splitlines()[0]


def test_entities_are_told_by_type() -> None:
    text = card(everything())
    assert "| token F1, test | 0.5100 | 0.4800 to 0.5400 |" in text
    found = block(text, "Entities")
    assert "On 10 sentences with 4,609 words. A tagger that finds nothing gets 87.9%" in found
    assert "| `product` | 0.0000 | not measured | 0.0000 | 9 |" in found
    assert "- B-person taken for O: 229 words" in found
    other = everything()
    subject = {"version": "sha256:n", "bundle": "sha256:nb", "dataset": {"name": "wnut2017"}}
    other["ner"] = {**TAGGED, "subject": subject}
    assert "| words tagged as part of an entity |" in text
    text = card(other)
    assert "| token F1, test, of another version | 0.5100 | 0.4800 to 0.5400 |" in text
    assert "| words tagged as part of an entity, of another version |" in text
    assert "| accuracy, test |" in text
    found = block(text, "Entities")
    assert "- Of another version: `sha256:n`\n- Its bundle: `sha256:nb`" in found
    assert "Its data set: wnut2017" in found


def test_a_version_that_tags_has_no_labels_to_tell() -> None:
    document = {name: it for name, it in everything().items() if name not in ("intent", "oos")}
    document["live"] = {
        **document["live"],
        "exact_match": document["live"].pop("accuracy"),
        "token_micro_f1": {"value": 0.02, "low": 0.01, "high": 0.03},
    }
    text = card(document)
    assert "One of 2 tags for every word of a short text" in text
    assert "accuracy, test" not in text
    assert "This version tags words and gives no label to a text." in text
    assert "difference of token F1 from intent@1 | +0.0200 | +0.0100 to +0.0300 |" in text
    assert "- Out of scope" not in block(text, "Limits")
    assert "Test rows without an answer: 2" in text


def test_slices_stand_in_for_groups() -> None:
    """G3: fairness notes; where there are too few rows there is a reason and no number."""
    found = block(card(everything()), "Fairness notes")
    assert "of groups nothing is known" in found
    assert "Of 3 comparisons" in found
    assert "Behind the rest by more than chance explains: casing: lower (-0.0300)\n" in found
    assert "Ahead of it: casing: mixed (+0.0300)\n" in found
    assert "Too few rows to tell: casing: capitals (7)\n" in found
    [line] = [line for line in found.splitlines() if "capitals (so)" in line]
    assert not re.search(r"\d\.\d", line)
    assert line.count("cannot tell: 7 rows, fewer than 50") == 2
    assert block(card(full()), "Fairness notes").endswith("Not measured.\n\n")


def test_texts_without_an_entity_are_not_called_worse() -> None:
    """G3: F1 is 0 where nothing is to be found, by one false alarm; that is no slice's weakness."""
    texts = ["meet Ana in town"] * 240
    gold = ["O B-person O O", "O O O O"] * 120
    for false_alarm in ("O O O B-person", "O O O O"):
        said = [*gold[:-1], false_alarm]
        cut = slices.evaluate_tags(texts, gold, said, train={"B-person": 9}, known={"meet"})
        found = block(card({"ner": {"test": TAGGED["test"], "slices": cut}}), "Fairness notes")
        assert "Behind the rest by more than chance explains: none\n" in found
        few = next(line for line in found.splitlines() if "Too few rows to tell" in line)
        assert "entities: none" not in few and "entities: rare (0)" in few
        assert "| 120 | says nothing: there is no entity to find |" in found


def test_who_is_turned_away_is_told() -> None:
    """G3: slices whose texts are called out of scope more often than others, if that is known."""
    document = everything()
    sliced = msgspec.json.decode(msgspec.json.encode(SLICED))
    silent = {"reason": "the model does not tell what is out of scope"}
    for cuts in sliced["families"]:
        for entry in cuts["slices"]:
            entry["false_alarms"] = entry["false_alarms_difference"] = silent
    document["intent"]["slices"] = sliced
    found = block(card(document), "Fairness notes")
    assert "alled out of scope" not in found
    first = sliced["families"][0]["slices"][0]
    first["false_alarms"] = {"value": 0.125, "low": 0.1, "high": 0.15, "n": 90}
    first["false_alarms_difference"] = {"value": 0.08, "low": 0.02, "high": 0.15}
    found = block(card(document), "Fairness notes")
    assert "Called out of scope more often than the rest: casing: lower (+0.0800)\n" in found
    assert "| 0.1250 | +0.0800 | +0.0200 to +0.1500 |" in found


def test_what_live_traffic_is_held_against() -> None:
    """G3: drift baselines."""
    found = block(card(everything()), "Drift baselines")
    assert "| labels given most | a? 73.33%, b\\|c 26.67% |" in found
    assert "| mean score | 0.8500 |" in found
    assert "| scores up to 0.467 | 20.00% |" in found
    assert "| texts in scope called out of it | 4.70% |" in found
    assert "| entities per thousand words | person 54.2 |" in found
    assert "from 0.1 on is a small shift and from 0.25 on a large one" in found


def test_pages_are_linked_where_they_lead_somewhere() -> None:
    """G3: runbooks, and the document that holds everything."""
    runbook = "governance/runbooks/roll-back.md"
    assert f"| `{runbook}` |" in card(everything())
    text = card(everything(), docs="../", sealed="../artifacts/eval/eval.json")
    assert f"| [{runbook}](../{runbook}) |" in text
    assert "[eval.json](../artifacts/eval/eval.json)" in text


def test_other_data_sets_and_what_is_kept_are_told() -> None:
    """G3: data and licences of every part, retention."""
    other = Dataset(
        digest="sha256:w",
        task="entities",
        name="wnut2017",
        manifest={"licence": "CC BY 4.0", "counts": {"test": 1287}},
        at=1,
    )
    text = card(
        full(), others=(other,), kept=[("Texts that a gateway keeps", "of 10% of requests")]
    )
    assert "- Rows: test 1,287" in block(text, "Data: wnut2017")
    elsewhere = {"digest": "sha256:w", "name": "wnut17", "licence": "CC BY 4.0", "source": "x.y"}
    subject = {"version": "sha256:n", "bundle": "sha256:nb", "dataset": elsewhere}
    document = {**full(), "ner": {**TAGGED, "subject": subject}}
    assert "Data: wnut17" not in card(document, others=(other,))
    told = "- Data set: wnut17\n- Source: x.y\n- Licence: CC BY 4.0\n- Citation: none\n"
    assert block(card(document), "Data: wnut17").startswith(told)
    assert block(text, "Retention").startswith("- Texts that a gateway keeps: of 10% of requests\n")
