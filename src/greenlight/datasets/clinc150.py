"""CLINC150: 150 intents of ten domains, and questions that are in none of them (`oos`).

S. Larson, A. Mahendran, J. J. Peper, C. Clarke, A. Lee, P. Hill, J. K. Kummerfeld, K. Leach,
M. A. Laurenzano, L. Tang, J. Mars, "An Evaluation Dataset for Intent Classification and
Out-of-Scope Prediction", EMNLP 2019. Licence: CC BY 3.0.

What is used of it (REQUIREMENTS D9): the out-of-scope questions, beside BANKING77, and the test
rows of fifteen intents that are about money and yet none of BANKING77's.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from greenlight.core.errors import Tampered
from greenlight.datasets import fetch
from greenlight.datasets.source import Places
from greenlight.ports import Example, Progress

NAME = "clinc150"
ORIGIN = (
    "https://raw.githubusercontent.com/clinc/oos-eval/828f8093932c8fe6ca7936c3d2e52903b1c523de/data"
)
FILE = "data_full.json"
DIGEST = "sha256:36923c3705a59e08fe9c3883d8bc2dd966ef93e22cb78ac41171782a698d56e0"
LICENCE = "CC BY 3.0"
CITATION = (
    "Larson et al., An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction, "
    "EMNLP 2019"
)

OOS = "oos"
"""The label of what is in no intent."""

SPLITS = ("train", "val", "test")

BANKING_LIKE = (
    "application_status",
    "apr",
    "bill_balance",
    "bill_due",
    "credit_limit",
    "credit_limit_change",
    "credit_score",
    "improve_credit_score",
    "interest_rate",
    "min_payment",
    "order_checks",
    "pay_bill",
    "redeem_rewards",
    "rewards_balance",
    "routing",
)
"""Intents about money that BANKING77 has none for: the hard ones to turn away."""


class Clinc150(msgspec.Struct, frozen=True, kw_only=True):
    """The data set by split (`train`, `val`, `test`); texts are as they came."""

    intents: dict[str, list[Example]]
    oos: dict[str, list[str]]

    def of(self, split: str, labels: Sequence[str]) -> list[str]:
        """The texts of some intents in a split, in order.

        Raises:
            ValueError: no row of the split has such a label, so that a slice would be empty.
        """
        found = [row.text for row in self.intents[split] if row.label in labels]
        if not found:
            raise ValueError(f"no row of {split} has one of the labels {', '.join(labels)}")
        return found


def load(places: Places, progress: Progress) -> Clinc150:
    """Read CLINC150 from the first place that has it (`fetch.obtain`).

    Raises:
        MissingData, Tampered: as `fetch.obtain`.
    """
    path = f"{NAME}/{FILE}"
    data = fetch.obtain(path, DIGEST, f"{places.base_url or ORIGIN}/{FILE}", places, progress)
    found = parse(data, path)
    progress(1.0, f"{NAME} read")
    return found


def parse(data: bytes, where: str) -> Clinc150:
    """The data set from its file: lists of [text, label] by split, and by `oos_` and split.

    Raises:
        Tampered: another shape.
    """
    try:
        lists = msgspec.json.decode(data, type=dict[str, list[tuple[str, str]]])
    except msgspec.DecodeError as error:
        raise Tampered(f"{where}: lists of [text, label] were expected: {error}") from error
    missing = [name for s in SPLITS for name in (s, f"{OOS}_{s}") if not lists.get(name)]
    if missing:
        raise Tampered(f"{where}: nothing under {', '.join(missing)}")
    for split in SPLITS:
        odd = next((label for _, label in lists[f"{OOS}_{split}"] if label != OOS), None)
        if odd is not None:
            raise Tampered(f"{where}: a row of {OOS}_{split} is labelled {odd!r}")
    return Clinc150(
        intents={s: [Example(text=text, label=label) for text, label in lists[s]] for s in SPLITS},
        oos={s: [text for text, _ in lists[f"{OOS}_{s}"]] for s in SPLITS},
    )
