"""The gateway of one installation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greenlight.core.states import Variant
from greenlight.wiring.app import App, authorise
from greenlight.wiring.models import open_runtime

if TYPE_CHECKING:
    from greenlight.serving.app import Gateway


def build_gateway(app: App, replica: str) -> Gateway:
    """A gateway over the installation's store; give it to an ASGI server.

    Args:
        app: the open store and settings.
        replica: its name, the same after a restart.
    """
    from greenlight.serving.app import Gateway
    from greenlight.serving.settings import Settings, SpoolSettings
    from greenlight.wiring.admin import build_admin, newest_of_each

    settings = app.settings
    return Gateway(
        records=app.store,
        events=app.store,
        authorise=lambda digest, variant: authorise(
            app, digest, expires=False, as_control=variant is Variant.CONTROL
        ),
        open_runtime=lambda version: open_runtime(app, version),
        clock=app.clock,
        random=app.random,
        spool_folder=settings.state / "spool",
        replica=replica,
        config_digest=settings.config_digest,
        admin=build_admin(app),
        pipeline=lambda: newest_of_each(app),
        settings=Settings(
            poll=settings.gateway.poll,
            spool=SpoolSettings(
                fsync=settings.gateway.spool.fsync, bound=settings.gateway.spool.bound
            ),
        ),
    )
