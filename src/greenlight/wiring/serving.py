"""The gateway of one installation."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from greenlight import artifacts
from greenlight.core import pii
from greenlight.core.curation import TAG, Kind
from greenlight.core.errors import BadInput
from greenlight.core.records import SECOND
from greenlight.core.states import Variant
from greenlight.wiring.app import App, authorise
from greenlight.wiring.data import kind_of
from greenlight.wiring.models import open_runtime

if TYPE_CHECKING:
    from greenlight.serving.app import Gateway
    from greenlight.serving.routing import Plan


def build_gateway(
    app: App, replica: str, *, shares_metrics: bool = False, pages: bool = False
) -> Gateway:
    """A gateway over the installation's store; give it to an ASGI server.

    Args:
        app: the open store and settings.
        replica: its name, the same after a restart.
        shares_metrics: whether it is one of several processes that are scraped as one.
        pages: whether it shows the pages too.

    Raises:
        Unwritable: there is no place for its spool.
    """
    from greenlight.adapters.runtimes.connections import ConnectionPoolManager
    from greenlight.serving.app import Gateway
    from greenlight.serving.notify_meter import NotifyMeter
    from greenlight.serving.settings import Settings, SpoolSettings
    from greenlight.wiring.admin import build_admin, newest_of_each
    from greenlight.wiring.notifying import backlogs
    from greenlight.wiring.pages import build_pages

    settings = app.settings
    pools = ConnectionPoolManager()
    spool = settings.state / "spool"
    with artifacts.writing(spool):
        spool.mkdir(parents=True, exist_ok=True)
    gateway = Gateway(
        records=app.store,
        events=app.store,
        authorise=lambda digest, variant: authorise(
            app, digest, expires=False, as_control=variant is Variant.CONTROL
        ),
        open_runtime=lambda version: open_runtime(app, version, pools=pools),
        clock=app.clock,
        random=app.random,
        spool_folder=spool,
        replica=replica,
        config_digest=settings.config_digest,
        admin=build_admin(app),
        pages=(
            build_pages(app, lambda item: gateway.hear(item), alone=not shares_metrics)
            if pages
            else None
        ),
        pipeline=lambda: newest_of_each(app),
        plan=functools.partial(plan_of, app),
        kill_switch=app.kills,
        luck=lambda: int.from_bytes(app.random(4), "big") / 2**32,
        settings=Settings(
            poll=settings.gateway.poll,
            shares_metrics=shares_metrics,
            spool=SpoolSettings(
                fsync=settings.gateway.spool.fsync, bound=settings.gateway.spool.bound
            ),
        ),
    )
    gateway.meters.show(NotifyMeter(lambda: backlogs(app)))
    return gateway


def plan_of(app: App, task: str) -> Plan:
    """How a task is served; one that the settings do not name any more is served as any."""
    from greenlight.serving.routing import Capture, Plan, Segment

    settings = app.settings.tasks.get(task)
    if settings is None:
        return Plan()
    capture = settings.capture
    return Plan(
        budget=settings.runtime.timeout / SECOND,
        capture=Capture(
            share=capture.share,
            mask=_mask(kind_of(settings)) if capture.pii else None,
            input="input" not in capture.mask,
            output="output" not in capture.mask,
        ),
        segments=tuple(
            Segment(when=segment.when, weight=float(segment.variant == "candidate"))
            for segment in settings.segments
        ),
        tags=settings.kind == TAG,
    )


def _mask(kind: Kind) -> Callable[[str], str]:
    """What takes personal data out of a text; nothing comes back where some would be left.

    Where words have tags, as many words stay as there were: the answer and every correction tags
    those that came.
    """

    def mask(text: str) -> str:
        try:
            return pii.scrub(text, by_word=kind == TAG).text
        except BadInput:
            return ""

    return mask
