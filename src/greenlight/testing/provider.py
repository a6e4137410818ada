"""A provider of chat completions on this machine, and faults to order."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import msgspec


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider answers instead of a completion."""

    status: int
    retry_after: int | None = None
    """Seconds."""
    body: bytes | None = None
    """Sent as it is; by default an error in the provider's form."""


class ChatProvider:
    """A provider of chat completions on a port of this machine, in OpenAI's wire format.

    Use it as a context manager: it listens at `url` until the end of the block.
    """

    def __init__(
        self, rule: Callable[[str], str], *, key: str | None = None, logprob: float | None = None
    ) -> None:
        """Prepare; nothing listens before the block begins.

        Args:
            rule: the last message's text → the answer.
            key: what opens it; without one it is open to all.
            logprob: of every token; without one, log-probabilities are not sent even when asked
                for, as by some providers.
        """
        self.rule = rule
        self.key = key
        self.logprob = logprob
        self.first_logprobs: Sequence[float] = ()
        """Of as many first tokens, where they are not like all others."""
        self.faults: deque[Fault] = deque()
        """Each meets one request, before the rule is asked."""
        self.free = threading.Event()
        """While it is not set, requests wait."""
        self.free.set()
        self.seen: list[dict[str, Any]] = []
        """The body of every request."""
        self.most_at_once = 0
        """The most requests that were under way together."""
        self._under_way = 0
        self._counting = threading.Lock()

    def __enter__(self) -> ChatProvider:
        """Begin to listen."""
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body are two packets; the second must not wait for the first to be confirmed.
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                status, body, headers = provider._serve(
                    self.path,
                    self.headers.get("authorization"),
                    self.rfile.read(int(self.headers["content-length"])),
                )
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(body))}.items():
                    self.send_header(name, value)
                try:
                    self.end_headers()
                    self.wfile.write(body)
                except ConnectionError:  # the caller did not wait
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening."""
        self.free.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _serve(
        self, path: str, authorization: str | None, body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        with self._counting:
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            self.free.wait()
            return self._answer(path, authorization, body)
        finally:
            with self._counting:
                self._under_way -= 1

    def _answer(
        self, path: str, authorization: str | None, body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        if path != "/v1/chat/completions":
            return _error(404, f"nothing at {path}")
        if self.key is not None and authorization != f"Bearer {self.key}":
            return _error(401, "Incorrect API key provided", "invalid_api_key")
        try:
            request = msgspec.json.decode(body, type=dict[str, Any])
            model, text = str(request["model"]), str(request["messages"][-1]["content"])
        except (msgspec.DecodeError, LookupError, TypeError) as error:
            return _error(400, f"malformed request: {error!r}")
        self.seen.append(request)
        try:
            fault = self.faults.popleft()
        except IndexError:
            return 200, self._completion(request, model, self.rule(text)), _JSON
        status, said, headers = _error(fault.status, "a fault that was asked for")
        if fault.retry_after is not None:
            headers = {**headers, "retry-after": str(fault.retry_after)}
        return status, said if fault.body is None else fault.body, headers

    def _completion(self, request: Mapping[str, Any], model: str, answer: str) -> bytes:
        tokens = [answer[at : at + 4] for at in range(0, len(answer), 4)]
        logprobs = None
        if request.get("logprobs") and self.logprob is not None:
            likely = itertools.chain(self.first_logprobs, itertools.repeat(self.logprob))
            sent = [
                {
                    "token": token,
                    "logprob": logprob,
                    "bytes": list(token.encode()),
                    "top_logprobs": [],
                }
                for token, logprob in zip(tokens, likely, strict=False)
            ]
            logprobs = {"content": sent, "refusal": None}
        asked = len(str(request["messages"][-1]["content"]).split())
        return msgspec.json.encode(
            {
                "id": f"chatcmpl-{len(self.seen)}",
                "object": "chat.completion",
                "created": 1_800_000_000,
                "model": model,
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": answer, "refusal": None},
                        "logprobs": logprobs,
                        "finish_reason": "stop",
                    }
                ],
                "usage": {
                    "prompt_tokens": asked,
                    "completion_tokens": len(tokens),
                    "total_tokens": asked + len(tokens),
                },
                "system_fingerprint": None,
            }
        )


_JSON = {"content-type": "application/json"}


def _error(status: int, message: str, code: str | None = None) -> tuple[int, bytes, dict[str, str]]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": message, "type": kind, "param": None, "code": code}
    return status, msgspec.json.encode({"error": error}), _JSON
