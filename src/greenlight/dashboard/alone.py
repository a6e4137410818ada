"""The page of a rollout as one file that stands alone, to be kept with its evidence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from greenlight.dashboard import assets
from greenlight.dashboard.http import Page, Request
from greenlight.dashboard.rendering import Templates
from greenlight.dashboard.rollouts import Rollouts
from greenlight.dashboard.tasks import House

_LINK = re.compile(r"<a\b[^>]*>(.*?)</a>", re.DOTALL)


def rollout_alone(house: House, rollout: str, shared: Mapping[str, Any]) -> bytes:
    """The page of a rollout with its style in it, without script and without links.

    Args:
        house: what pages ask of an installation; its clock tells from when ages count.
        rollout: the id.
        shared: `project` and `environment`, as every page has them.

    Raises:
        NotFound: there is no such rollout.
    """
    asked = Request(
        method="GET",
        path=f"/rollouts/{rollout}",
        query={"id": rollout},
        form={},
        headers={},
        cookies={},
        local=True,
    )
    page = Rollouts(house).one(asked)
    assert isinstance(page, Page)
    style = assets.files()[assets.path("page.css")].body.decode()
    values = {**shared, "layout": "alone.html", "style": Markup(style), **page.values}
    return _LINK.sub(r"\1", Templates().render(page.template, values).decode()).encode()
