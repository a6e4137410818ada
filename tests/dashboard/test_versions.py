"""A version's page: what it can do, where it comes from, and who signed; nothing in it is code."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from greenlight.core.evaluation import JUDGED
from greenlight.core.records import Dataset, Version
from greenlight.dashboard.versions import _bars
from tests.cli.project import Project, flip
from tests.dashboard.house import evaluated, house, trained, visiting
from tests.serving.harness import asynchronous


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose pipeline has made intent@1; tests only read it."""
    project = trained(tmp_path_factory.mktemp("trained"))
    project.ok("approve", "intent@1", "-m", "read <b>it</b>", by="ana")
    return project


@asynchronous
async def test_what_a_version_can_do(made: Project) -> None:
    """E1, R1: every number has its interval, its rows and its trail."""
    told = made.json("versions", "show", "intent@1")
    version = told["version"]
    async with house(made) as place, visiting(place) as guest:
        page = await guest.get("/versions/intent@1")
        assert guest.status == 200
        for digest in (version["digest"], version["bundle"], version["lineage"]["dataset"]):
            assert f"<code>{digest}</code>" in page
        for title in ("Metrics", "Gates", "Weakest labels", "Lineage", "Evaluations", "Rollouts"):
            assert f">{title}</h2>" in page
        assert "Accuracy " in page and "95 % interval" in page
        assert "lacks 1 × product_owner; signed: ana (ml_lead)" in page
        assert "read &lt;b&gt;it&lt;/b&gt;" in page
        assert "<svg" in page and "style=" not in page and "<script>" not in page
        assert "All " in page and " labels, the weakest first" in page
        assert "collect, <time" in page and "→ bundle <code>" in page
        assert '<a href="/versions/intent%401">intent@1</a>' in await guest.get("/versions")
        assert "There is none yet." in await guest.get("/versions?task=other")


@asynchronous
async def test_a_version_goes_by_the_beginning_of_its_digest(tmp_path: Path) -> None:
    async with house(evaluated(tmp_path)) as place, visiting(place) as guest:
        digest = place.version().digest
        for name in (digest, digest.removeprefix("sha256:")[:8]):
            assert "<h1>intent@1</h1>" in await guest.get(f"/versions/{name}")
        await guest.get("/versions/intent@7")
        assert guest.status == 404 and "there are: intent@1" in guest.text


@asynchronous
async def test_what_is_not_on_record_reads_so(tmp_path: Path) -> None:
    """A version without an evaluation; a data set that is gone."""
    project = evaluated(tmp_path)
    with project.opened() as (_, office):
        office.register(office.run("b2"))
    async with house(project) as place, visiting(place) as guest:
        page = await guest.get("/versions/intent@2")
        assert "No accuracy is on record." in page and "not measured" in page
        assert "not on record" in page


@asynchronous
async def test_a_task_that_is_not_configured_any_more(tmp_path: Path) -> None:
    """Its versions are on record still, and nobody is asked to sign them."""
    project = evaluated(tmp_path)
    text = project.file.read_text(encoding="utf-8")
    project.file.write_text(text.replace("tasks.intent", "tasks.other"), encoding="utf-8")
    async with house(project) as place, visiting(place) as guest:
        assert "its task is not configured any more" in await guest.get("/versions/intent@1")
        assert "Nothing waits." in await guest.get("/approvals")
        await guest.get("/approvals/intent@1")
        assert guest.status == 404 and "intent" in guest.text


@asynchronous
async def test_texts_of_others_are_text(tmp_path: Path) -> None:
    """Whatever a manifest, a runtime or a label says."""
    project = evaluated(tmp_path)
    evil = '<img src=x onerror="alert(1)">'
    with project.opened() as (_, office):
        manifest = {"parent": None, "source": evil, "note": {"a": [evil]}, "labels": [evil]}
        dataset = Dataset(digest="sha256:d", task="intent", name=evil, manifest=manifest, at=1)
        office.store.commit(append=[dataset])
        version = office.store.scan(Version)[0]
        changed = msgspec.structs.replace(version, runtime={"kind": "http", "url": evil})
        office.store.commit(swap=[(version, changed)])
    async with house(project) as place, visiting(place) as guest:
        page = await guest.get("/versions/intent@1")
        assert guest.status == 200 and "<img src=x" not in page
        assert page.count("&lt;img src=x onerror=&#34;alert(1)&#34;&gt;") >= 4


@asynchronous
async def test_rows_that_were_changed_are_told_of(tmp_path: Path) -> None:
    """The page is there, and says that the data set is not as it was sealed."""
    project = await asyncio.to_thread(trained, tmp_path)
    [train] = (tmp_path / "data" / "processed").rglob("train.jsonl")
    flip(train)
    async with house(project) as place, visiting(place) as guest:
        page = await guest.get("/versions/intent@1")
        assert guest.status == 200 and 'class="problem">' in page
        assert "rows that name their inference</th><td>not known" in page


def test_bars_share_one_scale() -> None:
    """An interval without ends is not drawn, and none leaves its line."""
    block = {"value": 0.95, "low": 0.93, "high": 0.999}
    said = {"test": {"accuracy": block}, "train": {"accuracy": {"value": 1.0}}}
    bars, (start, end) = _bars(JUDGED["intent"], said)
    [bar] = bars
    assert (start, end) == (pytest.approx(0.91), 1.0)
    assert 0 <= bar.low < bar.value < bar.high <= 100
    assert _bars(JUDGED["ner"], said) == ([], (0.0, 1.0))
