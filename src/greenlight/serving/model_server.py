"""A model behind HTTP, without any of Greenlight's routing: what a remote version is deployed as.

`POST /predict` with `{"inputs": [text, …]}` answers `{"predictions": [{"label", "score", …}]}`;
`GET /healthz` answers when the model is loaded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from greenlight.core import tagging
from greenlight.core.errors import BadInput, NotFound
from greenlight.models import bundle
from greenlight.ports import Model, Prediction
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


class _Request(msgspec.Struct, frozen=True):
    inputs: list[str]


class _Answer(msgspec.Struct, frozen=True):
    predictions: list[Prediction]


_DECODER = msgspec.json.Decoder(_Request)


def open_bundle(folder: Path, labels: Path | None, digest: str | None = None) -> ModelServer:
    """The server of a bundle.

    Args:
        folder: the bundle.
        labels: a JSON list that names the model's outputs by index; without it they go by the
            bundle's own labels.
        digest: of the bundle that it has to be; without it any bundle that is as it was sealed.

    Raises:
        BadInput: no bundle, or no list of as many names as the model has outputs.
        Tampered: the bundle was changed, or is another one.
    """
    return ModelServer(bundle.load(folder, digest), None if labels is None else _names_in(labels))


class ModelServer:
    """An ASGI application around one model."""

    def __init__(self, model: Model, names: Sequence[str] | None = None) -> None:
        """Serve a model.

        Args:
            model: the loaded bundle.
            names: what to call the model's outputs, by index, as a deployment's label file says;
                without it the model's own labels.

        Raises:
            BadInput: there are not as many names as outputs.
        """
        own = list(model.labels)
        given = own if names is None else list(names)
        if len(given) != len(own):
            raise BadInput(f"labels: the file names {len(given)} outputs, the model has {len(own)}")
        self._model = model
        self._names = dict(zip(own, given, strict=True))

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
        allowed = {"/predict": "POST", "/healthz": "GET"}.get(path)
        if allowed is None:
            raise NotFound(f"nothing at {path}; there are: POST /predict, GET /healthz")
        if method != allowed:
            raise MethodNotAllowed(method, allowed)
        if path == "/healthz":
            return json_response({"status": "ok"})
        request = decode(_DECODER, await read_body(scope, receive, MIB))
        predictions = await asyncio.to_thread(self._model.predict, request.inputs)
        return json_response(_Answer([self._rename(made) for made in predictions]))

    def _rename(self, made: Prediction) -> Prediction:
        name = self._names.get(made.label)
        if name is None:  # the tags of a text's words
            name = tagging.join(self._names[tag] for tag in tagging.tags(made.label))
        return msgspec.structs.replace(made, label=name)


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
