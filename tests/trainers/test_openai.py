"""T3, T4: backend `openai` against a provider whose course is written down; one file, one job."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenlight.adapters.trainers import TRAINERS
from greenlight.adapters.trainers.openai import ModelTrainer
from greenlight.adapters.trainers.openai_jobs import results
from greenlight.core import fingerprint
from greenlight.core.errors import Aborted, BadInput, LostLease, TooCostly
from greenlight.core.records import SECOND
from greenlight.models import chat, prompt
from greenlight.ports import Example
from tests.trainers.fitting import KEY, LABELS, ROWS, TEMPLATE, Clock, fit
from tests.trainers.provider import CURVE, Fault, Provider

SERVED = {
    "kind": "prompt",
    "template": "Say {labels}.\n{input}",
    "model": "large",
    "labels": ["yes", "no"],
    "settings": {"max_tokens": 9},
}
TALK = {"kind": "chat", "model": "large", "system": "be brief", "defaults": {"temperature": 0.5}}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(key=KEY) as found:
        yield found


def lines(provider: Provider, file: str = "file-1") -> list[list[dict[str, str]]]:
    return [json.loads(line)["messages"] for line in provider.contents[file].splitlines()]


def test_a_model_is_fine_tuned_and_asked_as_the_rows_were(
    provider: Provider, tmp_path: Path
) -> None:
    """T3: two files, one job with method, seed, suffix and metadata; a bundle that asks it."""
    options = {"suffix": "mine", "n_epochs": 2, "prices": {"training": 5.0}}
    made = fit(provider, tmp_path / "out", options=options)
    assert TRAINERS["openai"]().name == "openai" and not TRAINERS["openai"]().free
    assert [file["purpose"] for file in provider.files] == ["fine-tune", "fine-tune"]
    assert lines(provider)[1] == [
        {"role": "user", "content": "Answer no\nyes:\ntext 1"},
        {"role": "assistant", "content": "yes"},
    ]
    assert len(lines(provider, "file-2")) == 3
    [body] = provider.bodies
    hyper = {"n_epochs": 2, "batch_size": "auto", "learning_rate_multiplier": "auto"}
    assert body["method"] == {"type": "supervised", "supervised": {"hyperparameters": hyper}}
    assert (body["training_file"], body["validation_file"]) == ("file-1", "file-2")
    assert (body["model"], body["seed"], body["suffix"]) == ("small", 7, "mine")
    assert sorted(body["metadata"]) == ["commit", "greenlight"]
    found = prompt.load(made.folder)
    assert (found.model, found.template, list(found.labels)) == ("ft:small:job-1", TEMPLATE, LABELS)
    report = made.report
    fingerprint.canonical(report)
    assert (report["job"], report["fine_tuned_model"]) == ("job-1", "ft:small:job-1")
    assert (report["trained_tokens"], report["cost"]) == (1234, 1234 * 5e-6)
    assert report["estimate"]["cost"]["likely"] == report["estimate"]["tokens"]["likely"] * 5e-6
    assert report["hyperparameters"] == {"n_epochs": 3, "batch_size": 1}
    assert [point["valid_loss"] for point in report["curve"]] == [1.2, 0.7]
    assert report["checkpoints"] == [{"model": "ft:small:step-2", "step": 2, "train_loss": 0.5}]
    assert report["events"] == ["Step 1", "Step 2"]
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_rows_are_taught_as_they_were_served(provider: Provider, tmp_path: Path) -> None:
    """D4: each with its own instructions; the new version is asked with those of most rows."""
    rows = [
        msgspec.structs.replace(row, prompt="sha256:p" if n < 8 else "sha256:q", answer="yes: so")
        for n, row in enumerate(ROWS)
    ]
    other = SERVED | {"template": "{labels}? {input}"}
    made = fit(
        provider,
        tmp_path / "out",
        train=rows,
        labels=["maybe", "no", "yes"],
        prompts={"sha256:p": SERVED, "sha256:q": other},
    )
    contents = [[one["content"] for one in line] for line in lines(provider)]
    assert contents[0] == ["Say yes\nno.\ntext 0", "yes: so"]
    assert contents[9] == ["yes\nno? text 9", "yes: so"]
    found = prompt.load(made.folder)
    assert (found.template, found.decoding.max_tokens) == (SERVED["template"], 9)
    assert list(found.labels) == ["yes", "no", "maybe"]
    assert made.report["labels_added"] == ["maybe"]


def test_a_chat_is_taught_message_by_message(provider: Provider, tmp_path: Path) -> None:
    """The bundle is a chat with the instructions and settings of the one that served."""
    text = '[{"role":"user","content":"hello"}]'
    rows = [Example(text, f"hi {n}", prompt="sha256:c") for n in range(10)]
    prompts = {"sha256:c": TALK}
    given: dict[str, Any] = {"train": rows, "validation": [], "labels": [], "prompts": prompts}
    made = fit(provider, tmp_path / "out", **given, options={"prompt": None})
    assert lines(provider)[3] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi 3"},
    ]
    found = chat.load(made.folder)
    assert (found.model, found.system, found.defaults) == (
        "ft:small:job-1",
        "be brief",
        {"temperature": 0.5},
    )
    assert len(provider.files) == 1 and "validation_file" not in provider.bodies[0]


def test_a_chat_that_came_without_instructions(provider: Provider, tmp_path: Path) -> None:
    """Those of the configuration go before it."""
    rows = [Example('[{"role":"user","content":"hello"}]', f"hi {n}") for n in range(10)]
    given: dict[str, Any] = {"train": rows, "validation": [], "labels": []}
    made = fit(provider, tmp_path / "out", **given, options={"prompt": "be kind"})
    assert lines(provider)[0][0] == {"role": "system", "content": "be kind"}
    assert chat.load(made.folder).system == "be kind"


def test_what_is_there_is_neither_uploaded_nor_asked_for_again(
    provider: Provider, tmp_path: Path
) -> None:
    """T2: also when lists have many pages; other rows, options or seeds are another job."""
    provider.page = 1
    for number in range(3):
        provider.files.append({**_file(f"old-{number}"), "filename": f"old-{number}"})
    first = fit(provider, tmp_path / "1")
    again = fit(
        provider, tmp_path / "2", options={"poll": 3 * SECOND, "cost_limit": 9, "prices": PRICES}
    )
    assert (len(provider.files), len(provider.jobs)) == (5, 1)
    assert first.report["uploaded_files"] == 2 and not first.report["taken_up"]
    assert again.report["uploaded_files"] == 0 and again.report["taken_up"]
    assert prompt.load(again.folder).model == prompt.load(first.folder).model
    fit(provider, tmp_path / "3", seed=8)
    fit(provider, tmp_path / "4", options={"n_epochs": 1})
    assert (len(provider.files), len(provider.jobs)) == (5, 3)
    fit(provider, tmp_path / "5", train=ROWS[:11])
    assert (len(provider.files), len(provider.jobs)) == (6, 4)


PRICES = {"training": 1.0}


def _file(name: str) -> dict[str, Any]:
    return {"id": name, "bytes": 1, "purpose": "fine-tune", "status": "processed"}


def test_a_job_that_ended_badly_or_whose_model_is_gone_is_not_taken_up(
    provider: Provider, tmp_path: Path
) -> None:
    fit(provider, tmp_path / "1")
    provider.deleted_models.add("ft:small:job-1")
    assert fit(provider, tmp_path / "2").report["job"] == "job-2"
    provider.jobs[1]["status"] = "failed"
    assert fit(provider, tmp_path / "3").report["job"] == "job-3"
    assert len(provider.files) == 2


def test_of_two_jobs_for_the_same_one_is_left(provider: Provider, tmp_path: Path) -> None:
    """T2: two processes that looked in the same moment; the younger job is cancelled."""
    fit(provider, tmp_path / "1")
    twin = {**provider.jobs[0], "id": "job-0", "status": "running", "looks": 0, "course": []}

    def meanwhile(method: str, path: str) -> None:
        if (method, path) == ("POST", "/fine_tuning/jobs"):
            provider.jobs.append(twin)

    provider.jobs.clear()
    provider.seen = meanwhile
    assert fit(provider, tmp_path / "2").report["job"] == "job-0"
    assert [(job["id"], job["status"]) for job in provider.jobs] == [
        ("job-0", "succeeded"),
        ("job-2", "cancelled"),
    ]


def test_the_cost_is_told_before_anything_is_uploaded(provider: Provider, tmp_path: Path) -> None:
    """T4: above the limit nothing is uploaded; what it may cost at most is what counts."""
    options: dict[str, Any] = {"prices": {"training": 1000.0}, "n_epochs": 1, "cost_limit": 0.3}
    with pytest.raises(TooCostly) as error:
        fit(provider, tmp_path / "1", options=options)
    words = str(error.value)
    assert "may cost 0.19" in words and "cost_limit is 0.3" in words and "--cost-limit 0." in words
    assert error.value.limit == 0.3 < error.value.most
    assert not provider.files and not provider.jobs and not (tmp_path / "1").exists()
    options["cost_limit"] = error.value.most
    fit(provider, tmp_path / "2", options=options)
    fit(provider, tmp_path / "3", options=options | {"cost_limit": 0.01})  # paid for already
    assert len(provider.jobs) == 1


def test_whoever_aborts_ends_the_job(provider: Provider, tmp_path: Path) -> None:
    """T4: cancelled at the provider before the run ends."""
    provider.course = ["running"]

    def stop(share: float, words: str) -> None:
        if "Step 3" in words:
            raise Aborted("run intent#1 was aborted")

    with pytest.raises(Aborted, match=r"intent#1 was aborted$"):
        fit(provider, tmp_path / "out", stop)
    assert [job["status"] for job in provider.jobs] == ["cancelled"]


@pytest.mark.parametrize(
    ("at", "files"), [("uploading 12 rows", 0), ("uploading 3 rows", 1), ("job job-1", 2)]
)
def test_an_end_is_met_wherever_it_is_asked_for(
    provider: Provider, tmp_path: Path, at: str, files: int
) -> None:
    """T4: also within an upload."""
    ending = [Aborted("run intent#1 was aborted")]

    def stop(share: float, words: str) -> None:
        if at in words and ending:
            raise ending.pop()

    with pytest.raises(Aborted):
        fit(provider, tmp_path / "out", stop)
    assert len(provider.files) == files
    assert {job["status"] for job in provider.jobs} <= {"cancelled"}


def test_a_job_that_cannot_be_cancelled_is_named(provider: Provider, tmp_path: Path) -> None:
    """T4: it is not abandoned in silence."""
    provider.course = ["running"]
    provider.fail("POST", "/cancel", *[Fault(500)] * 4)

    def stop(share: float, words: str) -> None:
        if "Step 2" in words:
            raise Aborted("run intent#1 was aborted")

    with pytest.raises(Aborted, match=r"intent#1 was aborted; a job may go on at .*job job-1.*500"):
        fit(provider, tmp_path / "out", stop)


def test_whoever_lost_the_lease_leaves_the_job_to_the_next(
    provider: Provider, tmp_path: Path
) -> None:
    """T2: another process carries the run out; Ctrl-C leaves it off in the same way."""
    for number, error in enumerate((LostLease("another goes on"), KeyboardInterrupt())):
        provider.course = ["running"]

        def stop(share: float, words: str, error: BaseException = error) -> None:
            if "Step" in words:
                raise error

        with pytest.raises(type(error)):
            fit(provider, tmp_path / f"{number}", stop)
    provider.course = ["running", "succeeded"]
    assert fit(provider, tmp_path / "out").report["taken_up"]
    assert [job["status"] for job in provider.jobs] == ["succeeded"]


def test_progress_only_goes_forward(provider: Provider, tmp_path: Path) -> None:
    """T5: from 0 to 1, with words; a job's own steps count."""
    provider.course = ["queued", *["running"] * 6, "succeeded"]
    shown: list[tuple[float, str]] = []
    fit(provider, tmp_path / "out", lambda share, words: shown.append((share, words)))
    shares = [share for share, _ in shown]
    assert shares == sorted(shares) and (shares[0], shares[-1]) == (0.0, 1.0)
    assert any(0.4 < share < 0.6 and words == "Step 4" for share, words in shown)


def test_looks_at_a_job_become_rarer_without_news(provider: Provider, tmp_path: Path) -> None:
    """T4: exponentially, with luck, up to `poll`."""
    provider.course, provider.with_events = [*["running"] * 9, "succeeded"], False
    clock = Clock()
    waits: list[float] = []

    def note(share: float, words: str) -> None:
        if words.endswith("running"):
            waits.append(clock.now)

    fit(provider, tmp_path / "out", note, clock=clock, options={"poll": 8 * SECOND})
    assert clock.now == 2 + 2 + 4 + 7 * 8  # a second for each file before
    assert max(b - a for a, b in itertools.pairwise(waits)) <= 1.0  # a sign of life every second


def test_an_abort_after_a_kill_ends_the_job_that_was_left(
    provider: Provider, tmp_path: Path
) -> None:
    """T4: what the killed process asked for is known by a note in the run's folder."""
    provider.course = ["running"]

    def stop(share: float, words: str) -> None:
        if "Step 2" in words:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(provider, tmp_path / "run" / "training-x" / "out", stop)
    trainer = ModelTrainer(environ={"THE_KEY": KEY}, pause=lambda _: None)
    config = {"url": provider.url, "model": "small", "key": "env:THE_KEY"}
    (tmp_path / "another").mkdir()
    assert trainer.cancel(str(tmp_path / "another"), config) == []
    assert provider.jobs[0]["status"] == "running"  # no note: nothing was asked for
    provider.fail("GET", "/fine_tuning/jobs", *[Fault(500)] * 4)
    [left] = trainer.cancel(str(tmp_path), config)
    assert "500" in left and "any job with the metadata greenlight=sha256:" in left
    assert trainer.cancel(str(tmp_path), config) == []
    assert provider.jobs[0]["status"] == "cancelled"
    [left] = ModelTrainer(environ={}).cancel(str(tmp_path), config)
    assert "may go on at the provider" in left and "THE_KEY is not set" in left


@pytest.mark.parametrize("encode", [lambda text: text, lambda text: text.replace("\n", "\r\n")])
def test_a_curve_is_read_as_it_is_or_in_base64(encode: Callable[[str], str]) -> None:
    found = results.curve(encode(CURVE).encode())
    assert found[0] == {"step": 1, "train_loss": 1.5, "train_accuracy": 0.4}
    assert [point["step"] for point in results.kept(found)] == [2, 3]
    assert results.curve(b"\xff<html>") == [] and results.curve(b"") == []
    many = [{"step": float(n), "train_loss": 1.0} for n in range(1000)]
    kept = results.kept(many)
    assert len(kept) == 200 and (kept[0], kept[-1]) == (many[0], many[-1])


def shown(errors: Sequence[BaseException]) -> str:
    return " ".join(str(error) for error in errors)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"train": [], "validation": []}, "train: no rows"),
        ({"train": ROWS[:9]}, "train: 9 rows, and a provider trains on 10 or more"),
        ({"train": ROWS[:1] * 12, "validation": []}, "every row has 'no'; with one label"),
        ({"train": [*ROWS, Example("a", "other")]}, "rows have other, which the dataset does not"),
        (
            {"train": [*ROWS, Example("half \ud83d", "no")]},
            r"train row 13: messages\[0\].content: U\+D83D .* half a character",
        ),
        (
            {"validation": [Example("long " * 60_000, "no")]},
            r"validation row 1: messages: some 750\d\d tokens",
        ),
        ({"options": {"prompt": None}}, "name a template"),
        ({"options": {"prompt": "no place"}}, "it has no place for the text"),
        ({"environ": {}}, "the variable THE_KEY is not set"),
        ({"options": {"model": 3}}, r"train.options.model: expected `str`"),
    ],
)
def test_what_cannot_be_trained_on_is_said_before_anything_is_uploaded(
    provider: Provider, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    """Bad input: field, value and fix are named, nothing is left behind, and a retry works."""
    with pytest.raises(BadInput, match=told) as error:
        fit(provider, tmp_path / "out", **changes)
    assert KEY not in shown([error.value])
    assert not provider.asked and list(tmp_path.iterdir()) == []
    assert fit(provider, tmp_path / "out").report["job"] == "job-1"
