"""T2, T4: providers that are not quite of this protocol, and keys that no header can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from greenlight.core.errors import Aborted, BadInput, GreenlightError, ModelFailed
from greenlight.ports import Example
from tests.trainers.fitting import KEY, ROWS, fit
from tests.trainers.provider import Provider

ENOUGH = 200
"""Requests of a training that goes on for ever."""


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(key=KEY) as found:
        yield found


def deaf(provider: Provider, end: str) -> None:
    """Let a list begin anew whatever page of it is asked for, and always have more."""
    listed = provider._list

    def again(rows: list[dict[str, Any]], query: dict[str, Any]) -> dict[str, Any]:
        if not provider.asked[-1][1].endswith(end):
            return listed(rows, query)
        assert len(provider.asked) < ENOUGH, "it goes on for ever"
        return {**listed(rows, {}), "has_more": True}

    provider._list = again  # type: ignore[method-assign]


@pytest.mark.parametrize("end", ["/files", "/jobs"])
def test_a_list_without_an_end_is_not_read_for_ever(
    provider: Provider, tmp_path: Path, end: str
) -> None:
    """Nobody knows then whether a job is there, so none is asked for."""
    fit(provider, tmp_path / "one")
    deaf(provider, end)
    with pytest.raises(ModelFailed, match=f"{end[1:]}.*without an end"):
        fit(provider, tmp_path / "two", train=ROWS[::-1])
    assert len(provider.jobs) == 1


def test_events_without_an_end_are_told_once(provider: Provider, tmp_path: Path) -> None:
    deaf(provider, "/events")
    made = fit(provider, tmp_path / "out")
    assert made.report["events"] == ["Step 1", "Step 2"]


def test_a_result_file_that_no_reader_takes_costs_no_model(
    provider: Provider, tmp_path: Path
) -> None:
    """A field longer than the CSV reader takes."""
    made = fit(provider, tmp_path / "one")
    provider.contents["result-1"] = b'step,words\n1,"' + b"a" * 200_000 + b'"\n'
    again = fit(provider, tmp_path / "two")
    assert made.report["curve"] and again.report["curve"] == []
    assert again.report["fine_tuned_model"] == made.report["fine_tuned_model"]


def test_a_method_in_another_form_costs_no_model(provider: Provider, tmp_path: Path) -> None:
    fit(provider, tmp_path / "one")
    provider.jobs[0]["method"] = {"type": "supervised", "supervised": "yes"}
    assert fit(provider, tmp_path / "two").report["hyperparameters"] == {"n_epochs": 3}


def forgetful(provider: Provider) -> None:
    """Let no job keep its metadata."""
    create = provider._create

    def without(body: dict[str, Any]) -> dict[str, Any]:
        job = create(body)
        job["metadata"] = None
        return job

    provider._create = without  # type: ignore[method-assign]


def stopped(provider: Provider) -> Callable[[float, str], None]:
    """Progress that ends a training once its job is under way."""

    def told(_share: float, _words: str) -> None:
        if provider.jobs and provider.jobs[0]["looks"]:
            raise Aborted("run judge#1 was aborted")

    return told


def test_a_job_without_its_mark_is_cancelled_by_whoever_asked_for_it(
    provider: Provider, tmp_path: Path
) -> None:
    """T4: no paid job goes on silently, also where metadata is not kept."""
    forgetful(provider)
    with pytest.raises(Aborted) as ended:
        fit(provider, tmp_path / "out", stopped(provider))
    assert [job["status"] for job in provider.jobs] == ["cancelled"] and ended.value.left is None


def test_what_could_not_be_cancelled_is_told_apart(provider: Provider, tmp_path: Path) -> None:
    """So that it stands on the run."""
    progress = stopped(provider)

    def told(share: float, words: str) -> None:
        try:
            progress(share, words)
        except Aborted:
            provider.key = "another"
            raise

    with pytest.raises(Aborted, match="may go on") as ended:
        fit(provider, tmp_path / "out", told)
    assert ended.value.left is not None and "job" in ended.value.left


@pytest.mark.parametrize("key", ["{}\n", "{}\r\nX: y", "{}\u2026", " {}", "{} ", "{}\x00"])
def test_a_key_that_no_header_holds_is_never_shown(
    provider: Provider, tmp_path: Path, key: str
) -> None:
    """S8: such as one out of a file with a line break at its end."""
    with pytest.raises(GreenlightError) as found:
        fit(provider, tmp_path / "out", environ={"THE_KEY": key.format(KEY)})
    assert isinstance(found.value, BadInput) and found.value.param == "key"
    assert "THE_KEY" in str(found.value) and KEY not in str(found.value)
    assert provider.asked == []


def test_labels_that_the_served_prompt_cannot_name_cost_no_job(
    provider: Provider, tmp_path: Path
) -> None:
    """T4: what the new version cannot be asked with is known before anything is paid for."""
    served = {
        "kind": "prompt",
        "template": "yes or no?\n{input}",
        "model": "small",
        "labels": ["yes", "no"],
        "settings": {},
    }
    rows = [msgspec.structs.replace(row, prompt="sha256:p") for row in ROWS]
    rows.append(Example("text 12", "maybe", prompt="sha256:p"))
    with pytest.raises(BadInput, match="maybe"):
        fit(
            provider,
            tmp_path / "out",
            train=rows,
            labels=["maybe", "no", "yes"],
            prompts={"sha256:p": served},
        )
    assert provider.asked == []
