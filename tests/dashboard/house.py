"""The pages of people over HTTP, before a real project: a store in a file, and people with keys."""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from greenlight import config, wiring
from greenlight.core.records import Version
from greenlight.dashboard.site import Site
from greenlight.lookup import find_version
from greenlight.serving.http import Receive, Response, Scope, Send, send_response
from greenlight.serving.wire import FeedbackItem
from greenlight.testing import FakeClock
from greenlight.wiring.pages import build_pages
from tests.cli.project import Project
from tests.serving.harness import serving

AFAR = {"x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "https"}
"""What a proxy with TLS says of somebody at another machine."""


class Clock(FakeClock):
    """Moves on by a microsecond at every look, so that nothing happens at the same time."""

    def now(self) -> int:
        self.advance(1)
        return super().now()


class Place:
    """A project whose pages are served at `url`; its clock stands still."""

    def __init__(self, project: Project, app: wiring.App, clock: Clock, url: str) -> None:
        self.project = project
        self.app = app
        self.clock = clock
        self.url = url
        self.sent: list[bytes] = []
        """Every head and body that was sent."""

    def version(self, label: str = "intent@1") -> Version:
        return find_version(self.app.store, label)

    def key(self, name: str) -> str:
        return self.project.secrets[name]


class Visitor:
    """A browser without scripts: it keeps cookies and follows redirects."""

    def __init__(self, place: Place, headers: Mapping[str, str] | None = None) -> None:
        self.place = place
        self.headers = dict(headers or {})
        jar = aiohttp.CookieJar(unsafe=True, treat_as_secure_origin=place.url)
        self.session = aiohttp.ClientSession(place.url, cookie_jar=jar)
        self.status = 0
        self.text = ""
        self.path = ""
        self.answer: Mapping[str, str] = {}
        """Headers of the last answer."""

    async def get(self, path: str, **headers: str) -> str:
        """Open a page; what it holds."""
        return await self._ask("GET", path, None, headers)

    async def post(self, path: str, form: Mapping[str, str], **headers: str) -> str:
        """Send a form as it is."""
        return await self._ask("POST", path, form, headers)

    async def send(self, path: str, form: Mapping[str, str], **headers: str) -> str:
        """Send a form with the token of the page that is open."""
        return await self.post(path, {"csrf": self.token(), **form}, **headers)

    def token(self) -> str:
        """The token of the forms on the page that is open."""
        found = re.search(r'name="csrf" value="([^"]*)"', self.text)
        assert found is not None, self.text
        return found[1]

    def alert(self) -> str:
        """What the page says is wrong, as people read it; empty if nothing is."""
        found = re.search(r'role="alert">(.*?)</p>', self.text, re.DOTALL)
        return html.unescape(found[1]) if found else ""

    def cookies(self) -> list[str]:
        """Ids in the cookies that are kept."""
        return [morsel.value for morsel in self.session.cookie_jar]

    async def sign_in(self, name: str, next: str = "/approvals") -> None:
        await self.get(f"/sign-in?next={next}")
        await self.send("/sign-in", {"key": self.place.key(name), "next": next})
        assert (self.status, self.path) == (200, next), self.text

    async def decide(self, decision: str, why: str, label: str = "intent@1") -> str:
        """Open a version's sign-off and send the form."""
        page = await self.get(f"/approvals/{label}")
        found = re.search(r'name="evaluation" value="([^"]*)"', page)
        assert found is not None, page
        form = {"decision": decision, "why": why, "evaluation": found[1]}
        return await self.send(f"/approvals/{label}", form)

    async def _ask(
        self, method: str, path: str, form: Mapping[str, str] | None, headers: Mapping[str, str]
    ) -> str:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(
            method, path, data=form, headers={**self.headers, **names}
        ) as response:
            self.text = await response.text()
            self.status, self.path = response.status, response.url.path
            self.answer = response.headers
        return self.text


def evaluated(folder: Path) -> Project:
    """A project where intent@1, made by eve, waits for signatures."""
    project = Project(folder)
    with project.opened() as (_, office):
        office.evaluated()
    return project


def trained(folder: Path) -> Project:
    """A project whose pipeline, begun by eve, has made intent@1, which waits for signatures."""
    project = Project(folder)
    text = project.file.read_text(encoding="utf-8")
    project.file.write_text(text.replace("min = 0.9", "min = 0.5"), encoding="utf-8")
    project.ok("run", "intent", by="eve")
    return project


def unheard(item: FeedbackItem) -> None:
    """There is no gateway that could hear it (`judged` has one)."""
    raise AssertionError(f"nobody hears {item}")


@asynccontextmanager
async def judged(project: Project) -> AsyncIterator[Place]:
    """Serve a project's gateway with its pages, as `greenlight up` does."""
    with wiring.open_app(config.load(project.file, {})) as app:
        place = Place(project, app, Clock(app.clock.now()), "")
        async with serving(wiring.build_gateway(app, "gateway-1", pages=True)) as client:
            place.url = client.url
            yield place


@asynccontextmanager
async def house(
    project: Project, *, alone: bool = True, hear: Callable[[FeedbackItem], None] = unheard
) -> AsyncIterator[Place]:
    """Serve the pages of a project."""
    with wiring.open_app(config.load(project.file, {})) as opened:
        clock = Clock(opened.clock.now())
        app = dataclasses.replace(opened, clock=clock)
        place = Place(project, app, clock, "")
        site = build_pages(app, hear, alone=alone)
        async with serving(_Pages(site, place)) as client:
            place.url = client.url
            try:
                yield place
            finally:
                site.close()


@asynccontextmanager
async def visiting(
    place: Place, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Visitor]:
    """Somebody with a browser of their own."""
    made = Visitor(place, headers)
    async with made.session:
        yield made


class _Pages:
    """An ASGI application that notes what it has sent."""

    def __init__(self, site: Site, place: Place) -> None:
        self._site = site
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        response: Response = await self._site.answer(scope, receive)
        head = b"\n".join(name + b": " + value for name, value in response.headers)
        self._place.sent.append(head + b"\n\n" + response.body)
        await send_response(send, response, receive)


def scanned(folder: Path, needle: str) -> list[Path]:
    """The files below a folder that hold a text."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and needle.encode() in path.read_bytes()
    ]
