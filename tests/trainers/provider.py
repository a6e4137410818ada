"""A provider of fine-tuning whose course is written down by the test. It trains nothing."""

from __future__ import annotations

import base64
import email.parser
import email.policy
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

CREATED = 1_000_000
"""When every job was created, in seconds since 1970; the provider's clock stands an hour later."""
DATE = "Mon, 12 Jan 1970 14:46:40 GMT"
CURVE = (
    "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n"
    "1,1.5,0.4,,\n2,1.0,0.5,1.2,0.5\n3,0.5,0.8,0.7,0.75\n"
)


class Fault(NamedTuple):
    """What happens instead of an answer; `status` 0 breaks the connection."""

    status: int
    body: str = '{"error": {"message": "told to fail", "type": "server_error"}}'
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    done: bool = False
    """Whether what was asked is done all the same."""
    until: threading.Event | None = None
    """What is waited for before anything is answered."""


class Provider:
    """Files and jobs on a port of this machine, while its block lasts."""

    def __init__(self, *, key: str | None = None, page: int = 100) -> None:
        """Prepare.

        Args:
            key: what opens it.
            page: the most that a page of a list holds.
        """
        self.key = key
        self.page = page
        self.files: list[dict[str, Any]] = []
        self.contents: dict[str, bytes] = {}
        self.jobs: list[dict[str, Any]] = []
        self.bodies: list[dict[str, Any]] = []
        """Of the requests that created jobs."""
        self.course: list[str] = ["running", "succeeded"]
        """The statuses of a job, one per look; the last one stays."""
        self.faults: list[tuple[str, str, Fault]] = []
        """Method, end of the path, and what meets the first request that fits."""
        self.asked: list[tuple[str, str]] = []
        self.deleted_models: set[str] = set()
        self.with_events = True
        self.seen: Callable[[str, str], None] = lambda method, path: None
        """Called before each request is answered."""
        self._lock = threading.RLock()

    def __enter__(self) -> Provider:
        """Begin to listen."""
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_one(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length)
                self.close_connection = len(body) < length  # who asked is gone
                if not self.close_connection:
                    provider._handle(self, body)

            do_GET = do_POST = handle_one

            def date_time_string(self, timestamp: float | None = None) -> str:
                return DATE

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def fail(self, method: str, end: str, *faults: Fault) -> None:
        """Let the next requests to a path meet faults, one each."""
        self.faults += [(method, end, fault) for fault in faults]

    def hold(self, method: str, end: str) -> threading.Event:
        """Let the next request to a path be done, and answered only once the event is set."""
        free = threading.Event()
        self.fail(method, end, Fault(500, done=True, until=free))
        return free

    def count(self, method: str, end: str) -> int:
        """How many requests there were."""
        return sum(one[0] == method and one[1].endswith(end) for one in self.asked)

    def _handle(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        parts = urlsplit(request.path)
        path, query = parts.path.removeprefix("/v1"), parse_qs(parts.query)
        with self._lock:
            self.asked.append((request.command, path))
            self.seen(request.command, path)
            fault = self._fault(request.command, path)
            status, answer, kind = 200, b"", "application/json"
            if fault is None or fault.done:
                status, value = self._answer(request, path, query, body)
                answer = value if isinstance(value, bytes) else json.dumps(value).encode()
        headers: dict[str, str] = {}
        if fault is not None and fault.until is not None:
            fault.until.wait()
        if fault is not None:
            if fault.status == 0:
                request.close_connection = True
                return
            status, answer, kind = fault.status, fault.body.encode(), fault.kind
            headers = dict(fault.headers)
        request.send_response(status)
        headers |= {"content-type": kind, "content-length": str(len(answer))}
        for name, text in headers.items():
            request.send_header(name, text)
        request.end_headers()
        request.wfile.write(answer)

    def _fault(self, method: str, path: str) -> Fault | None:
        for place, (wanted, end, fault) in enumerate(self.faults):
            if wanted == method and path.endswith(end):
                del self.faults[place]
                return fault
        return None

    def _answer(
        self, request: BaseHTTPRequestHandler, path: str, query: dict[str, Any], body: bytes
    ) -> tuple[int, Any]:
        if self.key is not None and request.headers["authorization"] != f"Bearer {self.key}":
            said = f"Incorrect API key provided: {request.headers['authorization']}"
            return 401, {"error": {"message": said, "code": "invalid_api_key"}}
        post = request.command == "POST"
        if path == "/files":
            return 200, self._upload(request, body) if post else self._list(self.files, query)
        if path.startswith("/files/") and path.endswith("/content"):
            return 200, self.contents[path.split("/")[2]]
        if path.startswith("/files/"):
            found = next(file for file in self.files if file["id"] == path.split("/")[2])
            found["status"] = "processed" if found["status"] == "uploaded" else found["status"]
            return 200, found
        if path == "/fine_tuning/jobs":
            newest = list(reversed(self.jobs))
            return 200, self._create(json.loads(body)) if post else self._list(newest, query)
        if path.startswith("/models/"):
            if path.removeprefix("/models/") in self.deleted_models:
                return 404, {"error": {"message": "no such model", "code": "model_not_found"}}
            return 200, {"id": path.removeprefix("/models/"), "object": "model"}
        return self._of_job(path, query)

    def _of_job(self, path: str, query: dict[str, Any]) -> tuple[int, Any]:
        name = path.split("/")[3] if path.count("/") > 2 else ""
        job = next((job for job in self.jobs if job["id"] == name), None)
        if job is None:
            return 404, {"error": {"message": f"no {path}", "code": "not_found"}}
        if path.endswith("/cancel"):
            if job["status"] in ("succeeded", "failed", "cancelled"):
                return 400, {"error": {"message": "the job is over", "code": "bad_state"}}
            job["status"] = "cancelled"
            return 200, job
        if path.endswith("/events"):
            if not self.with_events:
                return 404, {"error": {"message": "no events here"}}
            return 200, self._list(list(reversed(job["course"])), query)
        if path.endswith("/checkpoints"):
            metrics = {"step": 2, "train_loss": 0.5, "valid_loss": None}
            point = {"id": "cp-1", "fine_tuned_model_checkpoint": "ft:small:step-2"}
            return 200, self._list([{**point, "step_number": 2, "metrics": metrics}], query)
        return 200, self._look(job)

    def _list(self, rows: list[dict[str, Any]], query: dict[str, Any]) -> dict[str, Any]:
        names = [row["id"] for row in rows]
        begin = names.index(query["after"][0]) + 1 if "after" in query else 0
        size = min(self.page, int(query.get("limit", ["20"])[0]))
        data = rows[begin : begin + size]
        return {"object": "list", "data": data, "has_more": begin + size < len(rows)}

    def _upload(self, request: BaseHTTPRequestHandler, body: bytes) -> dict[str, Any]:
        head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
        parts = {
            part.get_param("name", header="content-disposition"): part
            for part in message.iter_parts()
        }  # type: ignore[attr-defined]
        data = parts["file"].get_payload(decode=True)
        file = {
            "id": f"file-{len(self.files) + 1}",
            "object": "file",
            "bytes": len(data),
            "created_at": CREATED,
            "filename": parts["file"].get_filename(),
            "purpose": parts["purpose"].get_payload(decode=True).decode(),
            "status": "uploaded",
        }
        self.files.append(file)
        self.contents[file["id"]] = data
        return file

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        self.bodies.append(body)
        number = len(self.jobs) + 1
        self.contents[f"result-{number}"] = base64.b64encode(CURVE.encode())
        job = {
            "id": f"job-{number}",
            "object": "fine_tuning.job",
            "created_at": CREATED,
            "status": "validating_files",
            "fine_tuned_model": None,
            "hyperparameters": {"n_epochs": 3},
            "result_files": [],
            "trained_tokens": None,
            "error": None,
            "looks": 0,
            "course": [],
            **{name: body.get(name) for name in ("model", "method", "seed", "metadata")},
        }
        self.jobs.append(job)
        return job

    def _look(self, job: dict[str, Any]) -> dict[str, Any]:
        if job["status"] in ("succeeded", "failed", "cancelled"):
            return job
        job["status"] = self.course[min(job["looks"], len(self.course) - 1)]
        job["looks"] += 1
        step = job["looks"]
        event = {"id": f"ev-{step}", "created_at": CREATED + step, "level": "info"}
        data = {"step": step, "total_steps": len(self.course)}
        job["course"].append({**event, "message": f"Step {step}", "data": data})
        if job["status"] == "succeeded":
            job |= {
                "fine_tuned_model": f"ft:{job['model']}:{job['id']}",
                "trained_tokens": 1234,
                "result_files": [f"result-{job['id'].partition('-')[2]}"],
                "method": {
                    "type": "supervised",
                    "supervised": {"hyperparameters": {"n_epochs": 3, "batch_size": 1}},
                },
            }
        if job["status"] == "failed":
            job["error"] = {
                "code": "invalid_file",
                "message": "row 3 is odd",
                "param": "training_file",
            }
        return job
