"""Opening versions: where they answer requests, and where they are judged.

Whatever is opened is checked first: the record against its digest, and every byte of the bundle
against the digest that the record names (REQUIREMENTS R3).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from greenlight import artifacts, lookup
from greenlight.core import drill
from greenlight.core.errors import BadInput, ConfigError
from greenlight.core.records import SECOND, Version
from greenlight.ports import Model, Runtime
from greenlight.ports.chat import Chat
from greenlight.wiring.app import App

_WARMING = "A first text is slower than all that follow."
PATIENCE = 60 * SECOND
"""For one call when a model elsewhere is judged."""
_BATCH = 64
_NEVER = 2**31
"""Failures in a row that open the breaker of a model that is judged: nobody waits for it."""


def open_runtime(
    app: App, version: Version, environ: Mapping[str, str] = os.environ
) -> Runtime | Chat:
    """Open a version for serving.

    Raises:
        Tampered: its record or its bundle was changed.
        NotFound: its bundle is not there.
        BadInput: a bundle or a runtime that this release does not know.
        ConfigError: the variable that holds a provider's key is not set.
    """
    lookup.genuine(version)
    if drill.is_drill(version.runtime):
        return _faulty(app, version, environ)
    return _open(app, version, environ)


def _open(app: App, version: Version, environ: Mapping[str, str]) -> Runtime | Chat:
    timeout = app.settings.task(version.task).runtime.timeout
    kind = version.runtime.get("kind")
    if kind == "in_process":
        from greenlight.adapters.runtimes.in_process import InProcessRuntime
        from greenlight.models import bundle
        from greenlight.models.embedding import available_workers

        model = bundle.load(app.bundles.path(version.bundle), version.bundle)
        model.predict([_WARMING])
        # A call keeps one core busy: more threads than cores would only take turns.
        return InProcessRuntime(model, available_workers(), timeout)
    if kind == "http":
        from greenlight.adapters.runtimes.http import HttpRuntime

        return HttpRuntime(version.runtime["url"], clock=app.clock, timeout=timeout)
    if kind == "openai":
        from greenlight.adapters.runtimes.openai_chat import OpenAIChatRuntime
        from greenlight.models import chat, prompt

        folder = app.bundles.path(version.bundle)
        if artifacts.unseal(folder, version.bundle).get("kind") == chat.KIND:
            return _talking(app, version, folder, environ)
        return OpenAIChatRuntime(
            version.runtime["url"],
            prompt.load(app.bundles.path(version.bundle), version.bundle),
            clock=app.clock,
            key=_key(version, environ),
            timeout=timeout,
        )
    raise BadInput(
        f"{version.label}: no runtime is of kind {kind!r}; there are in_process, http, openai"
    )


def _faulty(app: App, version: Version, environ: Mapping[str, str]) -> Runtime:
    """A drill: the version as it is run in earnest, behind the fault that is rehearsed."""
    import numpy as np

    from greenlight.adapters.runtimes.faulty import FaultyRuntime

    inner = _open(app, _in_earnest(version), environ)
    if isinstance(inner, Chat):
        raise BadInput(f"{version.label}: no fault can be rehearsed on a chat yet")
    manifest = artifacts.unseal(app.bundles.path(version.bundle), version.bundle)
    return FaultyRuntime(
        inner,
        version.runtime["fault"],
        version.runtime["intensity"],
        labels=manifest.get("labels", ()),
        timeout=app.settings.task(version.task).runtime.timeout,
        rng=np.random.default_rng(int.from_bytes(app.random(16))),
    )


def _in_earnest(version: Version) -> Version:
    """The version without the fault that is rehearsed on it, if any."""
    return msgspec.structs.replace(version, runtime=dict(drill.in_earnest(version.runtime)))


def _talking(app: App, version: Version, folder: str, environ: Mapping[str, str]) -> Chat:
    from greenlight.adapters.runtimes.openai_proxy import OpenAIProxyRuntime, Prices
    from greenlight.models import chat

    prices = version.runtime.get("prices")
    return OpenAIProxyRuntime(
        version.runtime["url"],
        chat.load(folder, version.bundle),
        clock=app.clock,
        key=_key(version, environ),
        prices=None if prices is None else Prices(prices["input"], prices["output"]),
        timeout=app.settings.task(version.task).runtime.timeout,
    )


def load_model(app: App, version: Version, environ: Mapping[str, str] = os.environ) -> Model:
    """Open a version for being judged: from its bundle, or where it is, if only that is known.

    A fault that is rehearsed on it belongs to how it is served, and is not met here.

    Raises:
        Tampered, NotFound, BadInput, ConfigError: as `open_runtime`.
    """
    from greenlight.models import bundle, chat, elsewhere, prompt

    version = _in_earnest(lookup.genuine(version))
    folder = app.bundles.path(version.bundle)
    kind = artifacts.unseal(folder, version.bundle).get("kind")
    if kind == chat.KIND:
        raise BadInput(f"{version.label}: a chat has no test rows to be evaluated on yet")
    if kind not in (prompt.KIND, elsewhere.KIND):
        return bundle.load(folder, version.bundle)
    from greenlight.adapters.runtimes.http import HttpRuntime
    from greenlight.adapters.runtimes.offline import OfflineModel
    from greenlight.adapters.runtimes.openai_chat import OpenAIChatRuntime

    url, key = version.runtime["url"], _key(version, environ)
    if kind == elsewhere.KIND:
        return OfflineModel(
            lambda: HttpRuntime(url, clock=app.clock, timeout=PATIENCE, failures=_NEVER),
            (),
            batch=_BATCH,
        )
    asked = prompt.load(folder, version.bundle)
    return OfflineModel(
        lambda: OpenAIChatRuntime(
            url, asked, clock=app.clock, key=key, timeout=PATIENCE, failures=_NEVER
        ),
        asked.labels,
    )


def _key(version: Version, environ: Mapping[str, str]) -> str | None:
    """The secret that opens a version's provider, if it needs one. It is read and not kept."""
    named = version.runtime.get("key")
    if named is None:
        return None
    variable = str(named).removeprefix("env:")
    key = environ.get(variable)
    if not key:
        raise ConfigError([f"{version.label}: the variable {variable}, its key, is not set"])
    return key
