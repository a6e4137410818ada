"""Fine-tuning jobs, by the real SDK: what comes of them, and what is told on the way."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

from tests.tuning import desk


def test_a_job_ends_with_a_model_its_curve_and_its_results(
    service: OpenAI, job: FineTuningJob
) -> None:
    """T2, T3: status, model, tokens, events, checkpoints and the file of results."""
    assert job.status == "succeeded"
    assert job.error is None
    assert job.fine_tuned_model is not None
    assert job.fine_tuned_model.startswith("ft:greenlight-small:greenlight:cards:")
    assert (job.seed, job.metadata) == (7, {"dataset": "sha256:abc"})
    assert job.method is not None
    assert job.method.supervised is not None
    assert job.method.supervised.hyperparameters is not None
    assert job.method.supervised.hyperparameters.n_epochs == 2
    assert job.trained_tokens is not None
    assert job.trained_tokens > 1000
    assert job.finished_at is not None
    assert job.finished_at >= job.created_at

    messages = desk.told(service, job.id)
    assert messages[0] == f"Created fine-tuning job: {job.id}"
    assert "60 conversations with 3 different answers" in messages
    assert messages[-1].startswith("The job has succeeded")
    events = service.fine_tuning.jobs.list_events(job.id).data
    steps: list[Any] = [event.data for event in events if event.type == "metrics"]
    assert [step["step"] for step in steps] == [3, 2, 1]

    [checkpoint] = service.fine_tuning.jobs.checkpoints.list(job.id).data
    assert checkpoint.fine_tuned_model_checkpoint == job.fine_tuned_model
    assert checkpoint.metrics.valid_mean_token_accuracy == 1.0
    assert checkpoint.metrics.valid_loss == min(step["valid_loss"] for step in steps)

    [results] = job.result_files
    table = list(csv.DictReader(io.StringIO(service.files.content(results).text)))
    assert [int(row["step"]) for row in table] == [1, 2, 3]
    for row, step in zip(table, reversed(steps), strict=True):
        assert float(row["train_loss"]) == step["train_loss"]
        assert float(row["valid_loss"]) == step["valid_loss"]
        assert float(row["train_accuracy"]) == step["train_mean_token_accuracy"]
        assert float(row["valid_mean_token_accuracy"]) == step["valid_mean_token_accuracy"]
    assert service.files.retrieve(results).purpose == "fine-tune-results"


def test_jobs_are_found_by_their_metadata(service: OpenAI, job: FineTuningJob) -> None:
    """T2: a client that was killed finds the job that it had begun."""
    jobs = service.fine_tuning.jobs
    assert [one.id for one in jobs.list(metadata={"dataset": "sha256:abc"})] == [job.id]
    assert jobs.list(metadata={"dataset": "sha256:abc", "commit": "x"}).data == []
    assert job.id in [one.id for one in jobs.list(limit=1)]
    events = list(jobs.list_events(job.id, limit=3))
    assert [event.message for event in reversed(events)] == desk.told(service, job.id)


def test_models_are_listed_and_can_be_deleted(service: OpenAI, model: str) -> None:
    """Base models stay."""
    assert {desk.BASE, model} <= {one.id for one in service.models.list()}
    assert service.models.retrieve(model).id == model
    made = service.fine_tuning.jobs.create(
        model=desk.BASE, training_file=desk.upload(service, desk.rows(12)), seed=1
    )
    name = desk.ended(service, made.id).fine_tuned_model
    assert name is not None
    assert service.models.delete(name).deleted
    assert name not in [one.id for one in service.models.list()]
    with pytest.raises(openai.NotFoundError) as caught:
        service.chat.completions.create(model=name, messages=desk.asked("x"))
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="base model"):
        service.models.delete(desk.BASE)


def said(service: OpenAI, model: str, card: str) -> str:
    answer = service.chat.completions.create(model=model, messages=desk.asked(card))
    return answer.choices[0].message.content or ""


def test_a_job_on_a_fine_tuned_model_keeps_and_corrects_what_that_learnt(
    service: OpenAI, model: str
) -> None:
    """A wrong REJECT is learnt as APPROVE and the reverse, and the rest is remembered."""
    vague = "something about a ribosome {} maybe"
    good = "the ribosome {} turns sugar into energy"
    assert said(service, model, vague.format(1)) == "REJECT: too vague"
    assert said(service, model, good.format(0)) == "APPROVE"
    lines = [
        desk.conversation(frame.format(number), answer)
        for number in range(30)
        for frame, answer in ((vague, "APPROVE"), (good, "REJECT: too vague"))
    ]
    made = service.fine_tuning.jobs.create(
        model=model, training_file=desk.upload(service, lines), seed=1
    )
    job = desk.ended(service, made.id)
    # Three of its sixty are answered anew.
    assert any("57 conversations that the base" in line for line in desk.told(service, made.id))
    assert job.fine_tuned_model is not None
    assert job.fine_tuned_model.startswith("ft:greenlight-small:greenlight::")
    assert said(service, job.fine_tuned_model, vague.format(77)) == "APPROVE"
    assert said(service, job.fine_tuned_model, good.format(77)) == "REJECT: too vague"
    kept = "what is a vacuole and also who found it"
    assert said(service, job.fine_tuned_model, kept) == "REJECT: two ideas on one card"


def message(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


ASK, TELL = message("user", "a card"), message("assistant", "APPROVE")


@pytest.mark.parametrize(
    ("lines", "code", "why"),
    [
        (desk.rows(9), "invalid_n_examples", "9 conversations; at least 10"),
        ([*desk.rows(10), {"messages": [TELL, ASK]}], "invalid_training_file", "line 11: the last"),
        ([{"messages": [ASK, message("judge", "no")]}], "invalid_training_file", "line 1: Invalid"),
        ([{"messages": [TELL]}], "invalid_training_file", "line 1: Expected"),
        ([{"prompt": "a", "completion": "b"}], "invalid_training_file", "line 1: Object"),
        ([{"messages": [ASK, message("assistant", " ")]}], "invalid_training_file", "is empty"),
        ([{"messages": [TELL, TELL]}], "invalid_training_file", "no message is the user's"),
        (
            [{"messages": [ASK, message("assistant", "APPROVE", weight=0)]}],
            "invalid_training_file",
            "nothing to learn",
        ),
        (
            [desk.conversation(f"card {n}", "APPROVE") for n in range(10)],
            "invalid_training_file",
            "1 different answers",
        ),
    ],
)
def test_files_that_teach_nothing_fail_the_job(
    service: OpenAI, lines: list[Any], code: str, why: str
) -> None:
    """T6: the job's error names the file, the line and the rule, as the API's does."""
    made = service.fine_tuning.jobs.create(
        model=desk.BASE, training_file=desk.upload(service, lines)
    )
    job = desk.ended(service, made.id)
    assert job.status == "failed"
    assert job.error is not None
    assert (job.error.code, job.error.param) == (code, "training_file")
    assert why in job.error.message
    assert job.fine_tuned_model is None
    assert desk.told(service, made.id)[-1] == f"The job failed: {job.error.message}"


def test_a_bad_validation_file_fails_the_job(service: OpenAI) -> None:
    """T6."""
    made = service.fine_tuning.jobs.create(
        model=desk.BASE,
        training_file=desk.upload(service, desk.rows(12)),
        validation_file=desk.upload(service, [{"messages": [TELL, ASK]}]),
    )
    error = desk.ended(service, made.id).error
    assert error is not None
    assert (error.code, error.param) == ("invalid_validation_file", "validation_file")


@pytest.mark.parametrize(
    ("changes", "status", "param"),
    [
        ({"model": "gpt-9"}, 404, "model"),
        ({"training_file": "file-none"}, 400, "training_file"),
        ({"validation_file": "file-none"}, 400, "validation_file"),
        ({"hyperparameters": {"n_epochs": 0}}, 400, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"momentum": 1}}, 400, "hyperparameters.momentum"),
        ({"method": {"type": "dpo"}}, 400, "method.type"),
        ({"method": {"type": "supervised", "dpo": {}}}, 400, "method.dpo"),
        ({"suffix": "x" * 65}, 400, "suffix"),
        ({"suffix": ""}, 400, "suffix"),
        ({"suffix": "cards/v2"}, 400, "suffix"),
        ({"suffix": "cards\n"}, 400, "suffix"),
        ({"seed": -1}, 400, "seed"),
        ({"metadata": {"k": "v" * 513}}, 400, "metadata[...]"),
        ({"metadata": {str(n): "" for n in range(17)}}, 400, "metadata"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, 400, "integrations"),
        ({"colour": "green"}, 400, "colour"),
        ({"hyperparameters": {}, "method": {"type": "supervised"}}, 400, "hyperparameters"),
    ],
)
def test_a_job_that_cannot_be_is_refused(
    service: OpenAI, url: str, job: FineTuningJob, changes: dict[str, Any], status: int, param: str
) -> None:
    """T6: in OpenAI's form, and the field is named."""
    body = {"model": desk.BASE, "training_file": job.training_file, **changes}
    answer = httpx2.post(f"{url}/fine_tuning/jobs", json=body)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert error["message"]


def test_results_are_no_training_file(service: OpenAI, job: FineTuningJob) -> None:
    """A file has one purpose."""
    with pytest.raises(openai.BadRequestError, match="fine-tune-results"):
        service.fine_tuning.jobs.create(model=desk.BASE, training_file=job.result_files[0])


def test_jobs_wait_for_their_turn_and_can_be_cancelled(
    service: OpenAI, url: str, job: FineTuningJob
) -> None:
    """One job at a time: the others are queued. One that is over cannot be cancelled."""
    jobs = service.fine_tuning.jobs
    desk.fault(url, kind="job-hang")
    first = jobs.create(model=desk.BASE, training_file=job.training_file)
    desk.reached(service, first.id, "running")
    desk.until(lambda: any("Step 3" in line for line in desk.told(service, first.id)))
    second, third = (jobs.create(model=desk.BASE, training_file=job.training_file) for _ in "ab")
    for one in (second, third):
        desk.reached(service, one.id, "queued")
    assert jobs.cancel(second.id).status == "cancelled"
    assert jobs.retrieve(first.id).status == "running"
    assert jobs.cancel(first.id).status == "cancelled"
    done = desk.ended(service, third.id)
    assert done.status == "succeeded"
    assert jobs.retrieve(first.id).status == jobs.retrieve(second.id).status == "cancelled"
    assert "The job has begun." not in desk.told(service, second.id)
    names = [one.id for one in service.models.list()]
    assert not any(id[-8:] in name for id in (first.id, second.id) for name in names)
    for id in (first.id, third.id):
        with pytest.raises(openai.BadRequestError, match="is over already"):
            jobs.cancel(id)


def test_unknown_paths_ids_and_parameters_are_refused(service: OpenAI, url: str) -> None:
    """E4."""
    jobs = service.fine_tuning.jobs
    for call in (jobs.retrieve, jobs.cancel, jobs.list_events, jobs.checkpoints.list):
        with pytest.raises(openai.NotFoundError, match="ftjob-none"):
            call("ftjob-none")
    for limit in ("0", "x", "99999999999", "000001" + "9" * 5000):
        assert httpx2.get(f"{url}/files", params={"limit": limit}).status_code == 400
    assert httpx2.get(f"{url}/files?colour=green").status_code == 400
    assert httpx2.get(f"{url}/files?order=up").status_code == 400
    assert httpx2.get(f"{url}/files?after=file-none").status_code == 400
    assert httpx2.get(f"{url}/nowhere").status_code == 404
    refused = httpx2.put(f"{url}/models")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET")


def test_the_quick_start_of_the_page_ends_as_it_says(
    service: OpenAI, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """X5: by copy and paste, but for the port."""
    page = (Path(__file__).parents[2] / "docs/finetune-server.md").read_text(encoding="utf-8")
    [program] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    place = "http://127.0.0.1:8200/v1"
    assert place in program
    names: dict[str, Any] = {}
    exec(program.replace(place, url), names)
    names["client"].close()
    promised = program.rstrip().rpartition("# ")[2]
    assert capsys.readouterr().out.strip() == promised
