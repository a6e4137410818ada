"""The judge's loop in a small form: real HTTP between users, gateway and provider, and the SDK."""

from __future__ import annotations

import asyncio
import json
import shlex
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from click.testing import CliRunner

from examples import loop, results
from examples.judge.traffic import LABELS, WORLD
from examples.loop import GATEWAY, KEY, PROVIDER, write_conversations
from examples.results import Finished
from examples.users import Crowd
from greenlight import config, wiring
from greenlight.core.records import Dataset, Feedback, Inference, Replica
from greenlight.core.states import Variant
from greenlight.entrypoints.cli import main
from greenlight.lookup import everything
from greenlight.stages.roll_out import current_epoch
from greenlight.wiring.tuning import build_tuning_server
from tests.serving.harness import Client, asynchronous, eventually, serving

SECRET = "sk-test"
BEFORE, AFTER = 500, 120


class House:
    """A project of the template, in a hurry, beside a provider."""

    def __init__(self, folder: Path, provider: str) -> None:
        self.folder = folder
        self.file = folder / config.FILE
        self._greenlight("init", "--template", WORLD.name)
        text = self.file.read_text(encoding="utf-8")
        for before, after in {**WORLD.hurry, PROVIDER: f"{provider}/v1"}.items():
            text = text.replace(before, after)
        assert GATEWAY in text
        self.file.write_text(text, encoding="utf-8")

    async def call(self, *words: str, person: str = "") -> str:
        """What a command prints; it runs beside the servers."""
        return await asyncio.to_thread(self._greenlight, *words, person=person)

    def _greenlight(self, *words: str, person: str = "") -> str:
        env = {}
        if person:
            key = (self.folder / "keys" / person).read_text(encoding="utf-8").strip()
            env["GREENLIGHT_PERSON_KEY"] = key
        result = CliRunner().invoke(main, ["-C", str(self.folder), *words], env=env)
        assert result.exit_code == 0, result.output
        return result.stdout


async def people_come(gateway: Client, store: Any, number: int, many: int) -> None:
    """Some ask and judge, and what they said is in the store."""
    sdk = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)
    async with sdk, aiohttp.ClientSession(gateway.url) as http:
        crowd = Crowd(WORLD, sdk, http, season=1, seed=number)
        before = kept(store)
        await crowd.come(400.0, many, asyncio.Event())
        assert crowd.seen["asked"] == many
        assert crowd.seen["failed"] == crowd.seen["not kept"] == 0
        said = sum(crowd.seen[kind] for kind in ("GOOD", "BAD", "card_created", "engagement"))
        await eventually(lambda: kept(store) == before + said)


def kept(store: Any) -> int:
    """Pieces of feedback in the store."""
    return sum(1 for _ in everything(store, Feedback, {}))


def routes_by(store: Any) -> int | None:
    """The epoch that the gateway has come to."""
    replica = store.get(Replica, "test")
    return None if replica is None else replica.epochs.get("judge")


@pytest.mark.timeout(300)
def test_from_feedback_to_a_candidate_before_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D3, D4, T3, E4, G1, S2: what reviewers said becomes one file and one job; what comes of it is
    judged beside the live version, signed by two people, and met by some users, with reasons."""
    monkeypatch.setenv(KEY, SECRET)
    monkeypatch.setattr("examples.judge.traffic.DELAY_S", 0.01)
    write_conversations(WORLD, 1, tmp_path / "base.jsonl")

    @asynchronous
    async def go() -> None:
        base = f"{WORLD.base}={tmp_path / 'base.jsonl'}"
        server = build_tuning_server(
            tmp_path / "provider", base_models=[base], key=SECRET, encoder=False
        )
        async with serving(server, within=120) as provider:
            (tmp_path / "desk").mkdir()
            house = House(tmp_path / "desk", provider.url)
            following = json.loads(await house.call("status", "--json"))["tasks"]["judge"]["next"]
            adopt = shlex.split(following.partition("greenlight ")[2])
            adopt[adopt.index("prompt.txt")] = str(house.folder / "prompt.txt")
            await house.call(*adopt, person="ana")
            settings = config.load(house.file, {})
            with wiring.open_app(settings) as app:
                async with serving(wiring.build_gateway(app, replica="test")) as gateway:
                    await people_come(gateway, app.store, 1, BEFORE)
                    await house.call("run", "judge")
                    await _check_provider(provider.url)
                    for person in ("ana", "ben"):
                        await house.call("approve", "judge@2", "-m", "read it", person=person)
                    await house.call("rollout", "start", "judge", "judge@2")
                    epoch = current_epoch(app.store, "judge")
                    assert epoch is not None
                    await eventually(lambda: routes_by(app.store) == epoch.number)
                    await people_come(gateway, app.store, 2, AFTER)
                _check_records(app.store)

    go()


async def _check_provider(url: str) -> None:
    """T3: one job, and it succeeded."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=SECRET) as sdk:
        jobs = [job async for job in sdk.fine_tuning.jobs.list()]
        assert [(job.model, job.status) for job in jobs] == [(WORLD.base, "succeeded")]
        files = [file.id async for file in sdk.files.list(purpose="fine-tune")]
        assert {jobs[0].training_file, jobs[0].validation_file} == set(files)


def _check_records(store: Any) -> None:
    raw = next(d for d in everything(store, Dataset, {}) if "rows" in d.manifest["counts"])
    assert raw.manifest["labelled"]["flipped"] > 30
    assert "prompts.json" in raw.manifest["files"]
    made = list(everything(store, Inference, {"task": "judge"}))
    assert {one.output for one in made} == set(LABELS)
    new = [one for one in made if one.variant is Variant.CANDIDATE]
    assert len(new) > AFTER // 8, "a quarter of the users meet it"
    assert {"one gap, one answer", "a coin could answer it"} <= {one.reason for one in new}
    assert not any(one.reason == "one gap, one answer" for one in made if one not in new)


def ended(verdict: str, *, promoted: bool) -> Finished:
    return Finished(
        number=1,
        version="judge@2",
        rows=1,
        labelled={},
        job="",
        metric="accuracy",
        value={},
        live="",
        difference={},
        good="",
        verdict=verdict,
        promoted=promoted,
        seconds=0.0,
    )


@pytest.mark.parametrize(
    ("second", "news", "well"),
    [
        (ended("promoted", promoted=True), True, True),
        (ended("no better, not promoted", promoted=False), True, False),
        (ended("no better, not promoted", promoted=False), False, True),
        (ended("inconclusive", promoted=False), False, True),
        (ended("rolled back", promoted=False), False, False),
    ],
)
def test_what_an_example_must_come_to(second: Finished, news: bool, well: bool) -> None:
    """Where there is something to improve on it must be improved; elsewhere honesty will do."""
    first = ended("promoted", promoted=True)
    assert results.as_expected([first, second], news=news) is well
    assert not results.as_expected([second] if well and not news else [], news=news)


def test_a_folder_of_ones_own_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("precious")
    assert loop.main(["judge", "--folder", str(tmp_path)]) == 1
    assert "no example made it; choose another (--folder)" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_example(tmp_path: Path) -> None:
    """`make example-judge`: two turns, each promoted by what its users said."""
    assert loop.main(["judge", "--folder", str(tmp_path / "judge")]) == 0
