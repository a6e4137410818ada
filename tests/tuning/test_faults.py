"""Faults on request, as the real SDK sees them."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import openai
import pytest
from openai import OpenAI

from greenlight.core.errors import BadInput
from greenlight.tuning import faults
from tests.tuning import desk


@pytest.fixture(autouse=True)
def cleared(url: str) -> Iterator[None]:
    """No fault is left for the next test."""
    yield
    httpx2.delete(desk.admin(url)).raise_for_status()


def test_a_rate_limit_says_when_to_come_back(service: OpenAI, url: str) -> None:
    """429 with Retry-After, as often as was asked for and no oftener."""
    desk.fault(url, kind="rate-limit", times=2, seconds=7)
    for _ in range(2):
        with pytest.raises(openai.RateLimitError) as caught:
            service.models.list()
        assert caught.value.response.headers["retry-after"] == "7"
    service.models.list()


def test_the_sdk_comes_back_by_itself(url: str) -> None:
    """Its own retries get over two 500s."""
    desk.fault(url, kind="error", times=2)
    with openai.OpenAI(base_url=url, api_key="any", max_retries=2) as patient:
        assert patient.models.list().data
    assert httpx2.get(desk.admin(url)).json()["data"] == []


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("error", openai.InternalServerError),
        ("expired-key", openai.AuthenticationError),
        ("drop", openai.APIConnectionError),
    ],
)
def test_faults_become_the_errors_of_the_sdk(
    service: OpenAI, url: str, kind: str, error: type[openai.OpenAIError]
) -> None:
    """By its classes."""
    desk.fault(url, kind=kind)
    with pytest.raises(error):
        service.models.list()
    service.models.list()


def test_a_server_that_hangs_is_left(url: str) -> None:
    """Until the client's own patience ends."""
    desk.fault(url, kind="hang")
    with desk.client(url, timeout=0.2) as hasty, pytest.raises(openai.APITimeoutError):
        hasty.models.list()


def test_a_page_instead_of_json(service: OpenAI, url: str) -> None:
    """As a proxy sends it, with status 200: the SDK hands on what is no list."""
    desk.fault(url, kind="html")
    found = httpx2.get(f"{url}/models")
    assert (found.status_code, found.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert found.text.startswith("<!doctype html>")


@pytest.mark.parametrize(("kind", "kept"), [("drop", 0), ("lose", 1)])
def test_a_connection_that_breaks_before_or_after_the_deed(
    service: OpenAI, url: str, kind: str, kept: int
) -> None:
    """T2: only by looking can a client tell whether its file is there."""
    desk.fault(url, kind=kind, method="POST", path="/v1/files")
    with pytest.raises(openai.APIConnectionError):
        desk.upload(service, desk.rows(10), f"{kind}.jsonl")
    found = [file for file in service.files.list() if file.filename == f"{kind}.jsonl"]
    assert len(found) == kept


def test_a_fault_meets_only_the_path_and_method_that_it_names(service: OpenAI, url: str) -> None:
    """Others pass it by."""
    desk.fault(url, kind="error", method="POST")
    desk.fault(url, kind="error", path="/v1/files")
    service.models.list()
    waiting = httpx2.get(desk.admin(url)).json()["data"]
    assert [(one["kind"], one["times"]) for one in waiting] == [("error", 1)] * 2
    with pytest.raises(openai.InternalServerError):
        service.files.list()
    service.files.list()
    with pytest.raises(openai.InternalServerError):
        service.chat.completions.create(model=desk.BASE, messages=desk.asked("x"))


def test_jobs_fail_or_are_cancelled_on_request(service: OpenAI, url: str) -> None:
    """T2, T6: each the next job, once."""
    desk.fault(url, kind="job-failed")
    desk.fault(url, kind="job-cancelled")
    file = desk.upload(service, desk.rows(12))
    for status in ("failed", "cancelled", "succeeded"):
        made = service.fine_tuning.jobs.create(model=desk.BASE, training_file=file)
        job = desk.ended(service, made.id)
        assert job.status == status
        assert (job.error is not None) is (status == "failed")


def test_a_job_that_hangs_goes_on_when_the_faults_are_cleared(service: OpenAI, url: str) -> None:
    """Until then it is running, whatever else is done."""
    desk.fault(url, kind="job-hang")
    file = desk.upload(service, desk.rows(12))
    made = service.fine_tuning.jobs.create(model=desk.BASE, training_file=file)
    desk.until(lambda: any("Step 3" in line for line in desk.told(service, made.id)))
    assert service.fine_tuning.jobs.retrieve(made.id).status == "running"
    httpx2.delete(desk.admin(url)).raise_for_status()
    assert desk.ended(service, made.id).status == "succeeded"


def test_faults_on_the_command_line() -> None:
    """KIND[:TIMES][@PATH]."""
    found = faults.read("rate-limit:2@/v1/files")
    assert found == faults.Fault(kind="rate-limit", times=2, path="/v1/files")
    assert faults.read("job-hang") == faults.Fault(kind="job-hang")
    for text in ("", "flood", "error:x", "error:0", "error:-1"):
        with pytest.raises(BadInput, match="KIND"):
            faults.read(text)


def test_a_fault_that_is_none_is_refused(url: str) -> None:
    """The admin path reads as strictly as the others."""
    for wanted in ({"kind": "flood"}, {"kind": "error", "times": 0}, {"kind": "error", "x": 1}):
        assert httpx2.post(desk.admin(url), json=wanted).status_code == 400
