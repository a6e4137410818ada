"""Models behind HTTP, without any of Greenlight's routing: what a remote version is deployed as.

`POST /predict` with `{"inputs": [text, …]}` answers `{"predictions": [{"label", "score", …}]}`;
`GET /healthz` answers when the model is loaded. A model that talks answers
`POST /v1/chat/completions` and `GET /v1/models` besides. Who names a bundle in the request is
answered by that one or not at all: a version must not be compared with itself because two have one
address.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from greenlight import artifacts
from greenlight.core import fingerprint, tagging
from greenlight.core.errors import BadInput, NotFound
from greenlight.models import bundle
from greenlight.ports import Model, Prediction
from greenlight.serving import model_chat
from greenlight.serving.http import (
    Disconnected,
    MethodNotAllowed,
    Receive,
    Response,
    Scope,
    Send,
    error_response,
    json_response,
    read_body,
    send_response,
)
from greenlight.serving.settings import MIB
from greenlight.serving.wire import decode

log = logging.getLogger(__name__)


PREDICT, HEALTH = "/predict", "/healthz"
CHAT, MODELS = "/v1/chat/completions", "/v1/models"
Now = Callable[[], int]
_BELOW = re.compile(r"/([0-9a-f]{64})(/.*)")


def _no_time() -> int:
    """Where nobody asks for the time."""
    return 0


class _Request(msgspec.Struct, frozen=True):
    inputs: list[str]
    bundle: str | None = None


class _Answer(msgspec.Struct, frozen=True):
    predictions: list[Prediction]


_DECODER = msgspec.json.Decoder(_Request)


def open_bundle(
    folder: Path, labels: Path | None, digest: str | None = None, *, now: Now = _no_time
) -> ModelServer:
    """The server of a bundle.

    Args:
        folder: the bundle.
        labels: a JSON list that names the model's outputs by index; without it they go by the
            bundle's own labels.
        digest: of the bundle that it has to be; without it any bundle that is as it was sealed.
        now: as `ModelServer` takes it.

    Raises:
        BadInput: no bundle, or no list of as many names as the model has outputs.
        Tampered: the bundle was changed, or is another one.
        MissingData: what opens its model is not here.
    """
    model = bundle.load(folder, digest)
    named = fingerprint.digest(msgspec.json.decode((folder / artifacts.MANIFEST).read_bytes()))
    names = None if labels is None else _names_in(labels)
    return ModelServer(model, names, digest=named, now=now)


class ModelServer:
    """An ASGI application around one model."""

    def __init__(
        self,
        model: Model,
        names: Sequence[str] | None = None,
        *,
        digest: str | None = None,
        now: Now = _no_time,
    ) -> None:
        """Serve a model.

        Args:
            model: the loaded bundle.
            names: what to call the model's outputs, by index, as a deployment's label file says;
                without it the model's own labels.
            digest: of the bundle; without it requests that name one are not answered.
            now: the time, in microseconds since 1970-01-01 UTC, which the answers of a chat tell.

        Raises:
            BadInput: there are not as many names as outputs.
        """
        own = list(model.labels)
        given = own if names is None else list(names)
        if len(given) != len(own):
            raise BadInput(f"labels: the file names {len(given)} outputs, the model has {len(own)}")
        self._model = model
        self._names = dict(zip(own, given, strict=True))
        self._digest = digest
        self._now = now
        self._allowed = {PREDICT: "POST", HEALTH: "GET"}
        if isinstance(model, model_chat.Talker) and not own:
            self._allowed |= {CHAT: "POST", MODELS: "GET"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        try:
            response = await self._answer(scope, receive)
        except Disconnected:
            return
        except Exception as error:
            response = error_response(error)
            if response.status == 500:
                log.exception("%s %s failed", scope["method"], scope["path"])
        await send_response(send, response)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        path, method = scope["path"], scope["method"]
        allowed = self._allowed.get(path)
        if allowed is None:
            there = ", ".join(f"{method} {path}" for path, method in self._allowed.items())
            raise NotFound(f"nothing at {path}; there are: {there}")
        if method != allowed:
            raise MethodNotAllowed(method, allowed)
        if path == HEALTH:
            return json_response({"status": "ok"})
        if path == MODELS:
            return model_chat.listed((self._digest or "").removeprefix("sha256:"))
        body = await read_body(scope, receive, MIB)
        if path == CHAT:
            return await self._talk(body)
        request = decode(_DECODER, body)
        self._check(request.bundle)
        predictions = await asyncio.to_thread(self._model.predict, request.inputs)
        return json_response(_Answer([self._rename(made) for made in predictions]))

    async def _talk(self, body: bytes) -> Response:
        assert isinstance(self._model, model_chat.Talker), "no other model has this path"
        request = decode(model_chat.DECODER, body)
        self._check(f"sha256:{request.model}")
        said = await asyncio.to_thread(self._model.says, request.messages)
        return model_chat.response(request, said, self._now())

    def _check(self, wanted: str | None) -> None:
        """See that the bundle that a request names, if it does, is the one that is served here."""
        if wanted not in (None, self._digest):
            raise NotFound(
                f"bundle {wanted}: served here is {self._digest}; ask where the other one is, or "
                "serve a folder of bundles"
            )

    def _rename(self, made: Prediction) -> Prediction:
        if not self._names:  # a model that talks answers with words of its own
            return made
        name = self._names.get(made.label)
        if name is None:  # the tags of a text's words
            name = tagging.join(self._names[tag] for tag in tagging.tags(made.label))
        return msgspec.structs.replace(made, label=name)


class BundleServer:
    """An ASGI application around a folder of bundles: each answers below the digits of its digest.

    A bundle is opened when it is first asked for, which may be for its health, and let go of when
    as many others were asked since as may be open.
    """

    def __init__(self, path: Callable[[str], str], keep: int, *, now: Now = _no_time) -> None:
        """Serve what there is.

        Args:
            path: the folder of a bundle, by its digest (`ports.Blobs.path`).
            keep: how many may be open at once.
            now: as `ModelServer` takes it.
        """
        self._path = path
        self._keep = keep
        self._now = now
        self._open: OrderedDict[str, asyncio.Task[ModelServer]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["path"] == HEALTH:
            await send_response(send, json_response({"status": "ok"}))
            return
        try:
            below = _BELOW.fullmatch(scope["path"])
            if below is None:
                raise NotFound(f"nothing at {scope['path']}; a bundle answers at /DIGEST{PREDICT}")
            server = await self._server(f"sha256:{below[1]}")
        except Exception as error:
            response = error_response(error)
            if response.status == 500:
                log.exception("%s could not be opened", scope["path"])
            await send_response(send, response)
            return
        await server({**scope, "path": below[2]}, receive, send)

    async def _server(self, digest: str) -> ModelServer:
        """The server of a bundle, when it is open; those that are open already do not wait."""
        opening = self._open.get(digest)
        if opening is None:
            folder = Path(self._path(digest))
            while len(self._open) >= self._keep:
                self._open.popitem(last=False)
            opening = asyncio.create_task(self._load(folder, digest))
            opening.add_done_callback(lambda done: self._forget(digest, done))
            self._open[digest] = opening
        self._open.move_to_end(digest)
        # Whoever leaves does not end what others wait for.
        return await asyncio.shield(opening)

    async def _load(self, folder: Path, digest: str) -> ModelServer:
        return await asyncio.to_thread(open_bundle, folder, None, digest, now=self._now)

    def _forget(self, digest: str, done: asyncio.Task[ModelServer]) -> None:
        """Let the next one try again, where a bundle could not be opened."""
        failed = done.cancelled() or done.exception() is not None
        if failed and self._open.get(digest) is done:
            del self._open[digest]


def _names_in(file: Path) -> list[str]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[str])
    except (OSError, msgspec.DecodeError) as error:
        raise BadInput(f"labels: {file} is no JSON list of texts: {error}") from error


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
