"""CLINC150 (D9): its published shape, and the slices that out-of-scope is measured on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from greenlight.core.errors import Tampered
from greenlight.datasets import Places, clinc150
from greenlight.datasets.clinc150 import BANKING_LIKE, Clinc150
from greenlight.ports import Example
from tests.datasets.conftest import Mirror

SMALL = {
    **{split: [["my balance", "balance"], ["hi", "greeting"]] for split in clinc150.SPLITS},
    **{f"oos_{split}": [["how deep is the sea", "oos"]] for split in clinc150.SPLITS},
}


def silent(_share: float, _words: str) -> None:
    return None


def parsed(**changed: object) -> Clinc150:
    return clinc150.parse(json.dumps(SMALL | changed).encode(), "data_full.json")


def test_what_is_in_no_intent_is_apart() -> None:
    found = parsed()
    assert found.oos["test"] == ["how deep is the sea"]
    assert found.intents["val"] == [Example("my balance", "balance"), Example("hi", "greeting")]
    assert found.of("test", ["greeting"]) == ["hi"]


def test_a_slice_without_rows_is_refused() -> None:
    """HABITS: a slice that holds no out-of-scope row has no AUROC, and must not look like one."""
    with pytest.raises(ValueError, match="no row of test has one of the labels apr"):
        parsed().of("test", ["apr"])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"oos_test": [["hi", "greeting"]]}, "a row of oos_test is labelled 'greeting'"),
        ({"oos_val": []}, "nothing under oos_val"),
        ({"test": [["hi"]]}, "lists of .text, label. were expected"),
    ],
)
def test_another_shape_is_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(Tampered, match=message):
        parsed(**changed)


@pytest.fixture(scope="module")
def given() -> Clinc150:
    folder = Path(os.environ["GREENLIGHT_DATASETS"])
    return clinc150.load(Places(folder=folder, cache=folder), silent)


@pytest.mark.needs("data")
def test_published_counts(given: Clinc150) -> None:
    assert {split: len(rows) for split, rows in given.intents.items()} == {
        "train": 15_000,
        "val": 3_000,
        "test": 4_500,
    }
    assert {split: len(rows) for split, rows in given.oos.items()} == {
        "train": 100,
        "val": 100,
        "test": 1_000,
    }
    assert len({row.label for row in given.intents["train"]}) == 150


@pytest.mark.needs("data")
def test_the_slices_of_the_requirements(given: Clinc150) -> None:
    """D9: 24.5 % of BANKING77's test and the OOS rows, 12.7 % with the banking-like intents."""
    banking = 3_080
    oos, like = len(given.oos["test"]), len(given.of("test", BANKING_LIKE))
    assert round(100 * oos / (banking + oos), 1) == 24.5
    assert round(100 * like / (banking + like), 1) == 12.7
    assert len(set(BANKING_LIKE)) == 15


@pytest.mark.needs("data")
def test_it_comes_from_its_address_into_the_cache(
    given: Clinc150, mirror: Mirror, tmp_path: Path
) -> None:
    file = Path(os.environ["GREENLIGHT_DATASETS"], "clinc150", clinc150.FILE)
    mirror.files[f"/{clinc150.FILE}"] = file.read_bytes()
    where = Places(folder=None, cache=tmp_path, base_url=mirror.url)
    assert clinc150.load(where, silent) == given
    assert clinc150.load(where, silent) == given
    assert mirror.asked == [f"/{clinc150.FILE}"]
