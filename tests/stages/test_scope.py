"""The part `oos` of an evaluation (D9, E2): its slices, its fixed keys, and where it has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eval import oos_eval
from greenlight.core import evaluation, gates
from greenlight.core.curation import Row
from greenlight.core.errors import BadInput, MissingData, NotFound, Refused
from greenlight.core.evaluation import Part
from greenlight.core.metrics import METRICS
from greenlight.core.policy import GateRule
from greenlight.core.records import Version
from greenlight.ports import Example, Prediction, Progress, Trained
from greenlight.ports.source import NO_PROMPTS, Prompts
from greenlight.stages.scope import DRAWS, HELD_OUT, Again, Request, Rows, add_scope, near
from tests.stages import preparing
from tests.stages.judging import Bench

LABELS = [f"label{n:02}" for n in range(20)]
FAR = {"clinc": ["a soup", "a song", "a walk"], "banking_like": ["apr", "a bill"]}


ORIGIN = "https://data.example/questions"


def source(origin: str = ORIGIN) -> preparing.Rows:
    def made(kind: str, count: int) -> list[Row]:
        return [Row(f"{label} {kind} {n}", label) for label in LABELS for n in range(count)]

    return preparing.Rows(origin=origin, train=made("learnt", 10), test=made("asked", 3))


class Knows:
    """Takes what begins with no label of its own to be out of scope; `slips` on one text."""

    def __init__(self, labels: Sequence[str], *, tells: bool = True, slips: str = "") -> None:
        self.labels = labels
        self._tells, self._slips = tells, slips

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        return [self._predict(text) for text in texts]

    def _predict(self, text: str) -> Prediction:
        first = text.split()[0]
        label = first if first in self.labels else self.labels[0]
        if not self._tells:
            return Prediction(label, 0.5)
        away = 1.0 if (first in self.labels) == (text == self._slips) else -1.0
        return Prediction(label, 0.5, oos=away > 0, oos_score=away)


class Trainer:
    """Its models know the labels that they were shown."""

    name = "knowing"

    def __init__(self, *, free: bool = True, tells: bool = True) -> None:
        self.free = free
        self._tells = tells
        self.shown: list[list[Example]] = []
        self.given: list[Any] = []

    def train(
        self,
        *,
        train: Sequence[Example],
        validation: Sequence[Example],
        labels: Sequence[str],
        config: Mapping[str, Any],
        seed: int,
        out: str,
        progress: Progress,
        prompts: Prompts = NO_PROMPTS,
    ) -> Trained:
        self.shown.append([*train, *validation])
        self.given.append([config, seed])
        assert set(labels) == {row.label for row in train} == {row.label for row in validation}
        Path(out).mkdir(parents=True)
        Path(out, "labels").write_bytes(msgspec.json.encode(labels))
        progress(1.0, "fitted")
        return Trained(folder=out, report={})

    def load(self, folder: str) -> Knows:
        labels = msgspec.json.decode(Path(folder, "labels").read_bytes())
        return Knows(labels, tells=self._tells)


class World(Bench):
    """A version that is judged on BANKING77, or on what is called so here."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.dataset = self.prepare(source())
        self.trainer = Trainer()
        self.tells = True
        self.steps: list[float] = []

    def add(self, version: Version, **changes: Any) -> Part:
        given: dict[str, Any] = {
            "version": version,
            "origin": ORIGIN,
            "far": lambda progress: FAR,
            "again": Again(
                trainer=self.trainer, load_model=self.trainer.load, config={"C": 2}, seed=7
            ),
            "environment": self.case(version).environment,
        }
        return add_scope(
            self.records,
            self.processed,
            self.predictor,
            Request(**{**given, **changes}),
            folder=self.folder,
            workdir=self.work,
            progress=lambda share, _: self.steps.append(share),
        )

    def judged(self, *, tells: bool = True, **body: Any) -> Version:
        """A version with a part `intent`."""
        self.tells = tells
        version = self.version(labels=LABELS, **body)
        self.measure(self.case(version))
        return version

    def _load(self, version: Version) -> Any:
        return Knows(LABELS, tells=self.tells, slips="a soup")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_slices(world: World) -> None:
    """D9, E2: BANKING77's test rows against texts from elsewhere, under the fixed keys."""
    part = world.add(world.judged())
    clinc, like = part.result["clinc"], part.result["banking_like"]
    assert clinc["counts"] == {"in": 60, "out": 3, "share_out": 3 / 63}
    assert clinc["auroc"]["value"] == pytest.approx(1 - 1 / 3 / 2)
    assert clinc["auroc"]["low"] <= clinc["auroc"]["value"] <= clinc["auroc"]["high"]
    assert clinc["own_threshold"]["found"]["value"] == pytest.approx(2 / 3)
    assert clinc["own_threshold"]["false_alarms"]["value"] == 0.0
    assert {"accepted_at_95", "roc"} <= set(clinc)
    assert (like["auroc"]["value"], like["counts"]["out"]) == (1.0, 2)
    rules = {"module": "eval.oos_eval", "digest": oos_eval.protocol_digest()}
    assert part.result["protocol"] == rules
    assert evaluation.decode((world.folder / "parts" / "oos.json").read_bytes(), "oos") == part
    assert world.steps == sorted(world.steps)
    assert world.steps[-1] == 1.0


def test_labels_that_models_were_kept_from(world: World) -> None:
    """D9: five draws, each another model, trained as the version was and on no test row."""
    found = world.add(world.judged()).result["near"]
    assert found["auroc"] == {"value": 1.0, "low": 1.0, "high": 1.0, "spread": 0.0}
    assert found["accepted_at_95"] == {"value": 0.0}
    assert len(found["draws"]) == len(world.trainer.shown) == DRAWS
    for draw, shown in zip(found["draws"], world.trainer.shown, strict=True):
        gone = set(draw["labels"])
        assert len(gone) == HELD_OUT
        assert {row.label for row in shown} == set(LABELS) - gone
        assert all("learnt" in row.text for row in shown)
        assert draw["counts"] == {"in": 15, "out": 45, "share_out": 0.75}
        assert "roc" not in draw
    assert len({tuple(draw["labels"]) for draw in found["draws"]}) == DRAWS
    assert world.trainer.given == [[{"C": 2}, 7]] * DRAWS
    assert world.nothing_is_left()


def test_what_is_there_is_not_made_again(world: World) -> None:
    """T2: with other inputs it is."""
    version = world.judged()
    part = world.add(version)
    assert world.add(version) == part
    assert len(world.trainer.shown) == DRAWS
    less = world.add(version, draws=2)
    assert len(world.trainer.shown) == DRAWS + 2
    assert len(less.result["near"]["draws"]) == 2
    assert less.inputs != part.inputs
    other = {**FAR, "clinc": ["another text"]}
    assert world.add(version, draws=2, far=lambda progress: other).result["clinc"]["counts"][
        "out"
    ] == len(other["clinc"])


def test_a_data_set_that_is_missing_has_a_reason(world: World) -> None:
    """What was missing may be there by now."""
    version = world.judged()

    def missing(_: Progress) -> Any:
        raise MissingData("clinc150/data_full.json: nowhere; connect to the network")

    part = world.add(version, far=missing)
    for name in ("clinc", "banking_like"):
        assert part.result[name]["reason"].endswith("nowhere; connect to the network")
    assert part.result["near"]["auroc"]["value"] == 1.0
    assert "value" in world.add(version).result["clinc"]["auroc"]


def test_who_tells_nothing_of_scope_has_a_reason(world: World) -> None:
    """E2: what cannot be computed never looks like a number."""
    part = world.add(world.judged(tells=False))
    assert part.result == {"reason": "not measured: intent@1 does not tell what is out of scope"}
    assert world.trainer.shown == []


def test_a_model_elsewhere_may_tell_by_now(world: World) -> None:
    """What it answers is not remembered, and a reason is no finished part."""
    version = world.judged(tells=False, kind="x")
    assert "reason" in world.add(version).result
    world.tells = True
    assert "value" in world.add(version).result["clinc"]["auroc"]


def test_another_data_set_has_a_reason(world: World) -> None:
    """Of it nobody knows what is out of scope; nothing is fetched or trained."""

    def never(_: Progress) -> Any:
        raise AssertionError("fetched")

    world.dataset = world.prepare(source("https://data.example/tickets"))
    part = world.add(world.judged(), far=never)
    assert part.result["reason"].endswith(f"known of the data set of {ORIGIN}, and not of demo")
    assert world.trainer.shown == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"again": "no run trained this version"}, "not measured: no run trained this version"),
        ({"draws": 0}, "no draws were asked for"),
        ({"again": Trainer(free=False)}, "a training with knowing costs money"),
        ({"again": Trainer(tells=False)}, "the model does not tell what is out of scope"),
    ],
)
def test_near_without_trainings_has_a_reason(
    world: World, changes: dict[str, Any], says: str
) -> None:
    trainer = changes.get("again")
    if isinstance(trainer, Trainer):
        again = Again(trainer=trainer, load_model=trainer.load, config={}, seed=1)
        changes = {"again": again}
    result = world.add(world.judged(), **changes).result
    assert says in result["near"]["reason"]
    assert "value" in result["clinc"]["auroc"]


def test_too_few_labels_to_hold_any_out(tmp_path: Path) -> None:
    trainer = Trainer()
    again = Again(trainer=trainer, load_model=trainer.load, config={}, seed=1)
    train = [Example(f"{label} {n}", label) for label in LABELS[:16] for n in range(3)]
    rows = Rows(train=train, validation=train, test=train)
    found = near(rows, again, range(2), workdir=tmp_path, progress=lambda *_: None)
    assert found == {"reason": "not measured: 15 of 16 labels cannot be held out"}


def test_a_slice_without_a_text_out_of_scope(world: World) -> None:
    """HABITS: undefined, and said so."""
    part = world.add(world.judged(), far=lambda progress: {**FAR, "clinc": []}, draws=1)
    assert part.result["clinc"]["auroc"] == {"reason": "cannot compute: every text is in scope"}
    assert part.result["near"]["auroc"] == {"value": 1.0}, "of one draw there is no spread"


def test_it_goes_into_the_document(world: World) -> None:
    """E2: sealed under the fixed keys; named by the results; gates can ask for it."""
    version = world.judged()
    parts = world.measure(world.case(version))
    without = evaluation.merge(parts)
    assert without["oos"] == evaluation.ABSENT["oos"]
    document = evaluation.merge([*parts, world.add(version)])
    for name in ("clinc", "banking_like", "near"):
        assert 0.8 < document["oos"][name]["auroc"]["value"] <= 1.0
    assert document["results_digest"] != without["results_digest"]
    evaluation.check(document)
    rules = {"oos_auroc": GateRule(min=0.8), "oos_near_auroc": GateRule(min=0.99, bound="lower")}
    assert set(rules) <= set(METRICS)
    assert [found.outcome for found in gates.check(document, rules)][:2] == ["pass", "pass"]
    assert {found.outcome for found in gates.check(without, rules)[:2]} == {"fail"}


def test_what_does_not_belong_is_refused(world: World) -> None:
    version = world.version(labels=LABELS)
    with pytest.raises(BadInput, match="there is no part intent"):
        world.add(version)
    world.measure(world.case(version))
    with pytest.raises(Refused, match="made by other code; measure them again"):
        world.add(version, environment={"code": "sha256:other"})
    with pytest.raises(Refused, match="not of intent@2"):
        world.add(world.version("intent@2", labels=LABELS, wrong="1"))
    (world.folder / "eval.json").write_text("{}", encoding="utf-8")
    with pytest.raises(Refused, match=r"sealed already.*what it tells of scope there"):
        world.add(version)
    assert not (world.folder / "parts" / "oos.json").exists()


def test_a_dataset_that_was_erased(world: World) -> None:
    version = world.judged()
    world.processed.remove(world.dataset.digest)
    with pytest.raises(NotFound):
        world.add(version)
