"""T2, T4: what a provider may do, what is said of it, and that trying again works afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from greenlight.adapters.trainers.openai import NOTE
from greenlight.adapters.trainers.openai_jobs.patience import Waiting
from greenlight.core.errors import BadInput, GreenlightError, ModelFailed, Refused
from greenlight.core.records import MILLISECOND, SECOND
from tests.trainers.fitting import KEY, Clock, fit
from tests.trainers.provider import Fault, Provider

HTML = Fault(200, "<html><body>Sign in</body></html>", "text/html")
PROXY = Fault(502, "<html>Bad gateway</html>", "text/html")
DROP = Fault(0)
LOST = Fault(0, done=True)
BROKEN = Fault(200, '{"id": 7', "application/json")
ALIEN = Fault(200, '{"object": "list", "models": []}', "application/json")
NO_CREDIT = Fault(429, '{"error": {"message": "no quota", "code": "insufficient_quota"}}')
FILES, JOBS = "/files", "/fine_tuning/jobs"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(key=KEY) as found:
        yield found


def slow(seconds: str) -> Fault:
    """Told to come back later."""
    return Fault(429, headers=(("Retry-After", seconds),))


@pytest.mark.parametrize(
    ("method", "end"),
    [
        ("GET", JOBS),
        ("GET", FILES),
        ("POST", FILES),
        ("POST", JOBS),
        ("GET", "job-1"),
        ("GET", "/events"),
        ("GET", "/checkpoints"),
        ("GET", "/content"),
        ("GET", "file-1"),
    ],
)
@pytest.mark.parametrize("fault", [DROP, LOST])
def test_what_passes_is_tried_again(
    provider: Provider, tmp_path: Path, method: str, end: str, fault: Fault
) -> None:
    """T2, T4: any call, also one that was heard although no answer came: one file, one job."""
    provider.fail(method, end, fault, fault)
    clock = Clock()
    made = fit(provider, tmp_path / "out", clock=clock)
    found = fault is LOST and (method, end) == ("POST", JOBS)  # so it is not asked for again
    assert len(provider.faults) == found
    assert (len(provider.files), len(provider.jobs)) == (2, 1)
    assert made.report["job"] == "job-1" and "not_told" not in made.report
    assert clock.now >= (1 if found else 3)


@pytest.mark.parametrize(
    ("after", "seconds"), [("20", 20), ("0.5", 0.5), ("Mon, 12 Jan 1970 14:47:20 GMT", 40)]
)
def test_a_provider_says_when_to_come_back(
    provider: Provider, tmp_path: Path, after: str, seconds: float
) -> None:
    """T4: Retry-After is the least, in seconds or as a time by the provider's own clock."""
    provider.fail("POST", JOBS, slow(after), PROXY, Fault(500))
    clock, waited = Clock(), []

    def note(share: float, words: str) -> None:
        if "429" in words:
            waited.append(clock.now)

    fit(provider, tmp_path / "out", note, clock=clock)
    assert waited[-1] - waited[0] == max(seconds, 1.0)
    assert len(waited) >= seconds  # and somebody hears of it every second


def test_waits_grow_and_end(provider: Provider, tmp_path: Path) -> None:
    """T4: exponential backoff with jitter; it is said what to do, and a retry works."""
    provider.fail("GET", JOBS, *[Fault(503)] * 8)
    clock = Clock()
    with pytest.raises(ModelFailed, match=r"listing jobs: .*503.*after 8 tries.*--from train"):
        fit(provider, tmp_path / "out", clock=clock)
    assert clock.now == 1 + 2 + 4 + 8 + 16 + 32 + 60
    assert [path.name for path in tmp_path.iterdir()] == [NOTE] and not provider.files
    assert fit(provider, tmp_path / "out").report["job"] == "job-1"


def test_luck_takes_up_to_half_of_a_wait() -> None:
    """T4: so that processes that failed together do not come back together."""
    told: list[float] = []
    waiting = Waiting(lambda share, _: told.append(share), pause=lambda _: None, luck=lambda: 0.0)
    assert [waiting.backoff(failures, None) for failures in (1, 2, 3, 99)] == [0.5, 1, 2, 30]
    assert waiting.backoff(3, 7.5) == 7.5
    for share in (0.5, 0.2, 2.0):
        waiting.tell(share, "working")
    assert told == [0.5, 0.5, 1.0]  # what is done is never undone


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (HTML, r"answers with text/html and not with JSON; is train\.options\.url the base"),
        (BROKEN, "answers with broken JSON"),
        (ALIEN, r"answers with no page of this protocol \(Object missing required field `data`"),
    ],
)
def test_what_is_no_provider_is_said_at_once(
    provider: Provider, tmp_path: Path, fault: Fault, told: str
) -> None:
    provider.fail("GET", JOBS, fault)
    with pytest.raises(ModelFailed, match=told) as error:
        fit(provider, tmp_path / "out")
    assert len(provider.asked) == 1 and "<html>" not in str(error.value)
    assert fit(provider, tmp_path / "out").report["job"] == "job-1"


@pytest.mark.parametrize("fault", [HTML, PROXY, DROP, BROKEN, Fault(500)])
def test_a_job_that_is_paid_for_is_waited_for(
    provider: Provider, tmp_path: Path, fault: Fault
) -> None:
    """T4: an outage of many tries, while the job goes on."""
    provider.fail("GET", "job-1", *[fault] * 20)
    made = fit(provider, tmp_path / "out")
    assert not provider.faults and made.report["fine_tuned_model"] == "ft:small:job-1"


def test_a_key_that_opens_nothing(provider: Provider, tmp_path: Path) -> None:
    """The variable is named, and the key is not, though the provider repeats it."""
    with pytest.raises(
        BadInput, match=r"key \(env:THE_KEY\): .* does not let it in \(401"
    ) as error:
        fit(provider, tmp_path / "out", environ={"THE_KEY": "sk-expired"})
    assert "sk-expired" not in str(error.value) and "[key]" in str(error.value)
    assert error.value.param == "key" and not provider.files


def test_a_key_that_expires_while_a_job_runs(provider: Provider, tmp_path: Path) -> None:
    """State is kept: with another key the same job is gone on with."""
    provider.course = ["running"]

    def expire(method: str, path: str) -> None:
        if path.endswith("/events"):
            provider.key = "sk-new"

    provider.seen = expire
    with pytest.raises(BadInput, match=r"401.*job job-1 goes on there.*run TASK --from train"):
        fit(provider, tmp_path / "out")
    provider.course = ["succeeded"]
    made = fit(provider, tmp_path / "out", environ={"THE_KEY": "sk-new"})
    assert made.report["taken_up"] and len(provider.jobs) == 1


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("failed", r"job-1 ended .* as failed \(training_file\): row 3 is odd; mend that"),
        ("cancelled", "job-1 was cancelled at the provider, and not by this run; run again"),
    ],
)
def test_a_job_that_ends_badly(provider: Provider, tmp_path: Path, status: str, told: str) -> None:
    """The provider's reason is told; the next try is another job with the same files."""
    provider.course = ["running", status]
    with pytest.raises(ModelFailed, match=told):
        fit(provider, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    provider.course = ["running", "succeeded"]
    assert fit(provider, tmp_path / "out").report["job"] == "job-2"
    assert len(provider.files) == 2


def test_a_job_that_takes_too_long_is_cancelled(provider: Provider, tmp_path: Path) -> None:
    """T4: by the provider's clock, so that a restart does not begin anew: it is an hour old."""
    provider.course = ["running"]
    clock = Clock()
    with pytest.raises(
        ModelFailed, match=r"job-1 was not done within 3660 s .*, and it was cancelled"
    ):
        fit(provider, tmp_path / "out", clock=clock, options={"timeout": 3660 * SECOND})
    assert provider.jobs[0]["status"] == "cancelled"
    assert clock.now == 62  # a minute, and a second until each file was looked through


def test_a_job_that_takes_too_long_and_cannot_be_cancelled(
    provider: Provider, tmp_path: Path
) -> None:
    """T4: it is not abandoned in silence."""
    provider.course = ["running"]
    provider.fail("POST", "/cancel", *[Fault(500)] * 4)
    with pytest.raises(ModelFailed, match=r"it could not be cancelled \(job job-1: .*500"):
        fit(provider, tmp_path / "out", options={"timeout": 3600 * SECOND})


def test_a_job_that_is_done_is_taken_however_late(provider: Provider, tmp_path: Path) -> None:
    """T2: the process was away for longer than the job may take."""
    provider.course = ["succeeded"]
    assert fit(provider, tmp_path / "out", options={"timeout": SECOND}).report["job"] == "job-1"


def test_no_answer_to_the_creation_of_a_job(provider: Provider, tmp_path: Path) -> None:
    """T4: after so many seconds it is looked for, and asked for again only if it is not there."""
    waiting = provider.hold("POST", JOBS)
    try:
        made = fit(
            provider,
            tmp_path / "out",
            lambda share, words: waiting.set() if "did not answer" in words else None,
            options={"call_timeout": 300 * MILLISECOND},
        )
    finally:
        waiting.set()
    assert made.report["job"] == "job-1" and len(provider.jobs) == 1


@pytest.mark.parametrize(
    ("end", "fault", "kind", "told"),
    [
        (JOBS, NO_CREDIT, Refused, "no credit left"),
        (
            JOBS,
            Fault(400, '{"error": {"message": "bad suffix", "param": "suffix"}}'),
            BadInput,
            "400: bad suffix",
        ),
        (FILES, Fault(413, '{"error": {"message": "too large"}}'), BadInput, "413: too large"),
    ],
)
def test_what_the_provider_turns_down_is_not_tried_again(
    provider: Provider,
    tmp_path: Path,
    end: str,
    fault: Fault,
    kind: type[GreenlightError],
    told: str,
) -> None:
    provider.fail("POST", end, fault)
    with pytest.raises(kind, match=told):
        fit(provider, tmp_path / "out")
    assert provider.count("POST", end) == 1 and not provider.jobs
    assert fit(provider, tmp_path / "out").report["job"] == "job-1"


def test_a_file_that_the_provider_cannot_read(provider: Provider, tmp_path: Path) -> None:
    provider.fail(
        "GET",
        "file-1",
        Fault(
            200,
            '{"id": "file-1", "filename": "f", "bytes": 1, '
            '"status": "error", "status_details": "line 2"}',
        ),
    )
    with pytest.raises(BadInput, match=r"the provider cannot read it \(line 2\)"):
        fit(provider, tmp_path / "out")


def test_what_is_only_good_to_know_costs_no_model(provider: Provider, tmp_path: Path) -> None:
    """A provider without events, checkpoints or results; the model was paid for."""
    provider.with_events = False
    missing = Fault(404, '{"error": {"message": "none here"}}')
    provider.fail("GET", "/checkpoints", missing)
    provider.fail("GET", "/content", missing)
    report = fit(provider, tmp_path / "out").report
    assert report["fine_tuned_model"] == "ft:small:job-1"
    assert (report["events"], report["checkpoints"], report["curve"]) == ([], [], [])
    assert len(report["not_told"]) == 2 and "404: none here" in report["not_told"][0]
