"""The gateway of one installation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greenlight.core.errors import BadInput
from greenlight.core.records import Variant, Version
from greenlight.ports import Runtime
from greenlight.wiring.app import App, authorise

if TYPE_CHECKING:
    from greenlight.serving.app import Gateway

THREADS = 2
"""Threads that run one model; onnxruntime uses one core per call."""


def build_gateway(app: App, replica: str) -> Gateway:
    """A gateway over the installation's store; give it to an ASGI server.

    Args:
        app: the open store and settings.
        replica: its name, the same after a restart.
    """
    from greenlight.serving.app import Gateway
    from greenlight.serving.settings import Settings, SpoolSettings

    settings = app.settings
    return Gateway(
        records=app.store,
        events=app.store,
        authorise=lambda digest, variant: authorise(
            app, digest, expires=False, as_control=variant is Variant.CONTROL
        ),
        open_runtime=lambda version: _open_runtime(app, version),
        clock=app.clock,
        random=app.random,
        spool_folder=settings.state / "spool",
        replica=replica,
        config_digest=settings.config_digest,
        settings=Settings(
            poll=settings.gateway.poll,
            spool=SpoolSettings(
                fsync=settings.gateway.spool.fsync, bound=settings.gateway.spool.bound
            ),
        ),
    )


def _open_runtime(app: App, version: Version) -> Runtime:
    timeout = app.settings.task(version.task).runtime.timeout
    kind = version.runtime.get("kind")
    if kind == "in_process":
        from greenlight.adapters.runtimes.in_process import InProcessRuntime
        from greenlight.models import bundle

        model = bundle.load(app.bundles.path(version.bundle), version.bundle)
        return InProcessRuntime(model, THREADS, timeout)
    if kind == "http":
        from greenlight.adapters.runtimes.http import HttpRuntime

        return HttpRuntime(version.runtime["url"], clock=app.clock, timeout=timeout)
    raise BadInput(f"{version.label}: no runtime is of kind {kind!r}; there are in_process, http")
