"""Opening versions: where they answer requests, and where they are judged.

Whatever is opened is checked first: the record against its digest, and every byte of the bundle
against the digest that the record names (REQUIREMENTS R3).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from greenlight import artifacts, lookup
from greenlight.core import credentials, drill, lora_options
from greenlight.core.errors import BadInput, ConfigError
from greenlight.core.records import SECOND, Version
from greenlight.core.usage import prices_of
from greenlight.ports import Model, Runtime
from greenlight.ports.chat import Chat
from greenlight.wiring.app import App

if TYPE_CHECKING:
    from greenlight.adapters.runtimes.connections import ConnectionPoolManager

_WARMING = "A first text is slower than all that follow."
PATIENCE = 60 * SECOND
"""For one call when a model elsewhere is judged."""
_BATCH = 64
_NEVER = 2**31
"""Failures in a row that open the breaker of a model that is judged: nobody waits for it."""


def open_runtime(
    app: App,
    version: Version,
    environ: Mapping[str, str] = os.environ,
    *,
    pools: ConnectionPoolManager | None = None,
) -> Runtime | Chat:
    """Open a version for serving.

    Args:
        app: the open store and settings.
        version: what is served.
        environ: where a provider's key is.
        pools: connections that versions share; without it, each has its own.

    Raises:
        Tampered: its record or its bundle was changed.
        NotFound: its bundle is not there.
        BadInput: a bundle or a runtime that this release does not know.
        ConfigError: the variable that holds a provider's key is not set.
    """
    lookup.genuine(version)
    if drill.is_drill(version.runtime):
        return _faulty(app, version, environ, pools)
    return _open(app, version, environ, pools)


def _open(
    app: App, version: Version, environ: Mapping[str, str], pools: ConnectionPoolManager | None
) -> Runtime | Chat:
    timeout = app.settings.task(version.task).runtime.timeout
    kind = version.runtime.get("kind")
    if kind == "in_process":
        from greenlight.adapters.runtimes.in_process import InProcessRuntime
        from greenlight.models import bundle, lora
        from greenlight.models.embedding import available_workers

        folder = app.bundles.path(version.bundle)
        if artifacts.unseal(folder, version.bundle).get("kind") == lora.KIND:
            raise BadInput(f"{version.label}: {lora.ELSEWHERE}")
        model = bundle.load(folder, version.bundle)
        model.predict([_WARMING])
        # A call keeps one core busy: more threads than cores would only take turns.
        return InProcessRuntime(model, available_workers(), timeout)
    if kind == "http":
        from greenlight.adapters.runtimes.http import HttpRuntime

        return HttpRuntime(
            lora_options.address(version.runtime["url"], version.bundle),
            clock=app.clock,
            timeout=timeout,
            pools=pools,
            bundle=version.bundle if version.runtime.get("names_bundle") else None,
        )
    if kind == "openai":
        from greenlight.adapters.runtimes.openai_chat import OpenAIChatRuntime
        from greenlight.models import chat, lora, prompt

        folder = app.bundles.path(version.bundle)
        if artifacts.unseal(folder, version.bundle).get("kind") in (chat.KIND, lora.KIND):
            return _talking(app, version, folder, environ, pools)
        return OpenAIChatRuntime(
            version.runtime["url"],
            prompt.load(app.bundles.path(version.bundle), version.bundle),
            clock=app.clock,
            key=_key(version, environ),
            timeout=timeout,
            pools=pools,
        )
    raise BadInput(
        f"{version.label}: no runtime is of kind {kind!r}; there are in_process, http, openai"
    )


def _faulty(
    app: App, version: Version, environ: Mapping[str, str], pools: ConnectionPoolManager | None
) -> Runtime:
    """A drill: the version as it is run in earnest, behind the fault that is rehearsed."""
    import numpy as np

    from greenlight.adapters.runtimes.faulty import FaultyRuntime

    inner = _open(app, _in_earnest(version), environ, pools)
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


def _talking(
    app: App,
    version: Version,
    folder: str,
    environ: Mapping[str, str],
    pools: ConnectionPoolManager | None,
) -> Chat:
    from greenlight.adapters.runtimes.openai_proxy import OpenAIProxyRuntime
    from greenlight.models import chat, lora

    adapted = artifacts.unseal(folder, version.bundle).get("kind") == lora.KIND
    return OpenAIProxyRuntime(
        lora_options.address(version.runtime["url"], version.bundle),
        (lora.talk if adapted else chat.load)(folder, version.bundle),
        clock=app.clock,
        key=_key(version, environ),
        prices=prices_of(version.runtime),
        timeout=app.settings.task(version.task).runtime.timeout,
        pools=pools,
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
    if kind not in (prompt.KIND, chat.KIND, elsewhere.KIND):
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
    asked = (chat if kind == chat.KIND else prompt).load(folder, version.bundle)
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
    key, wrong = credentials.look_up(str(named), environ)
    if wrong is not None:
        raise ConfigError([f"{version.label}: {wrong}"])
    return key
