"""One service with one fine-tuned model, shared by the tests that change neither."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

from greenlight.testing.finetune import finetune_server
from tests.tuning import desk


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service that trains on TF-IDF alone, with a base model that was fitted."""
    folder = tmp_path_factory.mktemp("tuning")
    file = folder / "cards.jsonl"
    file.write_bytes(desk.jsonl(desk.rows(30, start=300)))
    bases = [f"{desk.FITTED}={file}", "plain"]
    with finetune_server(folder / "state", base_models=bases) as address:
        yield address


@pytest.fixture(scope="session")
def service(url: str) -> Iterator[OpenAI]:
    """The real SDK on it."""
    with desk.client(url) as opened:
        yield opened


@pytest.fixture(scope="session")
def job(service: OpenAI) -> FineTuningJob:
    """A job that has succeeded there."""
    made = service.fine_tuning.jobs.create(
        model=desk.BASE,
        training_file=desk.upload(service, desk.rows(60)),
        validation_file=desk.upload(service, desk.rows(21, start=100), "validation.jsonl"),
        suffix="cards",
        seed=7,
        metadata={"dataset": "sha256:abc"},
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
    )
    assert made.status == "validating_files"
    return desk.ended(service, made.id)


@pytest.fixture(scope="session")
def model(job: FineTuningJob) -> str:
    """The model that came of it."""
    assert job.fine_tuned_model is not None
    return job.fine_tuned_model
