"""Who looks and who acts: signing in with one's own key, and what nobody may do without.

A person's secret is posted once, held against the public keys of the configuration, and kept in
this process's memory for as long as the session lasts, so that what they sign here is signed as
`greenlight approve` signs it (ADR 0018). It is never written, logged or shown.

    looking, from this machine          everybody
    looking, from another one           who is signed in
    signing in                          everybody here; from another machine over TLS only
    whatever changes something          who is signed in, by a form of ours
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

from greenlight.core.approval import Person
from greenlight.core.errors import BadInput, Refused, TooMany
from greenlight.core.keys import Bucket
from greenlight.core.records import HOUR, MINUTE, SECOND
from greenlight.dashboard.http import Answer, Handler, Page, Redirect, Request
from greenlight.serving.http import Forbidden, Header

SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
IDLE = 30 * MINUTE
"""A session ends when nobody has asked for a page of it for this long."""
LONGEST = 8 * HOUR
MOST = 64
"""Sessions at the same time; the one that was idle for longest makes room for one more."""
ATTEMPTS = 10
"""Attempts to sign in at once, from this machine and from all others; and one more every
`ANOTHER` µs."""
ANOTHER = 8 * SECOND
_STEP = MINUTE
"""How far a clock may be put back without ending every session."""
_ID_BYTES = 32
_ID = re.compile("[0-9a-f]{64}")
_INSIDE = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")


class Session:
    """Somebody who is signed in. It has no repr of its own, for it holds their secret."""

    def __init__(self, person: Person, secret: str, at: int) -> None:
        """Begin at `at` (µs)."""
        self.person = person
        self.secret = secret
        self.began = self.seen = at
        self.notice = ""
        """What the next page is to say of what was done."""

    def lasts(self, now: int) -> bool:
        """Whether it goes on; a clock that was put back ends it."""
        idle, age = now - self.seen, now - self.began
        return -_STEP <= idle < IDLE and age < LONGEST


class Sessions:
    """The sessions of this process, in memory and nowhere else.

    They are kept under a digest of their id, so that how long a search takes tells nothing of it.
    """

    def __init__(self, now: Callable[[], int], random: Callable[[int], bytes]) -> None:
        """Begin with none.

        Args:
            now: microseconds since 1970-01-01 UTC.
            random: that many bytes from a cryptographic generator.
        """
        self._now = now
        self._random = random
        self._open: dict[bytes, Session] = {}
        self._lock = threading.Lock()

    def fresh(self) -> str:
        """An id that nobody has yet."""
        return self._random(_ID_BYTES).hex()

    def begin(self, person: Person, secret: str) -> str:
        """Open a session under a new id, which is returned."""
        id, now = self.fresh(), self._now()
        with self._lock:
            self._sweep(now)
            if len(self._open) >= MOST:
                del self._open[min(self._open, key=lambda name: self._open[name].seen)]
            self._open[_name(id)] = Session(person, secret, now)
        return id

    def find(self, id: str, *, touch: bool = True) -> Session | None:
        """The session of an id, if it goes on; `touch` says that its owner is there."""
        now = self._now()
        with self._lock:
            self._sweep(now)
            found = self._open.get(_name(id))
            if found is not None and touch:
                found.seen = max(found.seen, now)
            return found

    def end(self, id: str) -> None:
        """Forget a session and the secret in it."""
        with self._lock:
            self._open.pop(_name(id), None)

    def _sweep(self, now: int) -> None:
        self._open = {name: it for name, it in self._open.items() if it.lasts(now)}


class Door:
    """Stands before every page (`around`), and has those of signing in and out."""

    def __init__(
        self,
        identify: Callable[[str], Person],
        *,
        now: Callable[[], int],
        random: Callable[[int], bytes],
        alone: bool = True,
    ) -> None:
        """Know nobody yet.

        Args:
            identify: whose secret a text is; raises BadInput or Refused.
            now: microseconds since 1970-01-01 UTC.
            random: that many bytes from a cryptographic generator.
            alone: False where other processes answer at the same address: they would not know
                the sessions of this one, so nobody can sign in.
        """
        self._identify = identify
        self._now = now
        self._alone = alone
        self._sessions = Sessions(now, random)
        self._seal = random(_ID_BYTES)
        self._attempts = {here: Bucket(SECOND / ANOTHER, ATTEMPTS) for here in (True, False)}
        self._lock = threading.Lock()

    def around(self, request: Request, handler: Handler) -> Answer:
        """Let a request through to its handler, or not.

        Raises:
            Forbidden: a form that is not of these pages, or not of this session.
        """
        session = self._session(request, touch=_by_hand(request))
        if request.method == "POST":
            self._check_form(request)
            if session is None and request.path != SIGN_IN:
                return self._expired(request)
        elif session is None and not request.local and request.path != SIGN_IN:
            return Redirect(f"{SIGN_IN}?next={quote(request.path, safe='/')}")
        return handler(request)

    def shared(self, request: Request) -> dict[str, Any]:
        """What every template has of who asks: `person`, `csrf`, and the `notice` to be shown."""
        session = self._session(request, touch=False)
        if session is None:
            return {"person": None, "csrf": "", "notice": ""}
        notice = ""
        if _by_hand(request):
            notice, session.notice = session.notice, ""
        csrf = self._token(_id(request))
        return {"person": session.person.name, "csrf": csrf, "notice": notice}

    def signed_in(self, request: Request) -> Session:
        """The session of a request that `around` has let through with a form.

        Raises:
            Forbidden: it has ended since.
        """
        session = self._session(request, touch=False)
        if session is None:
            raise Forbidden(f"nobody is signed in; sign in at {SIGN_IN}")
        return session

    def ask(self, request: Request) -> Answer:
        """GET: the page that asks for a key."""
        return self._form(request, next=_inside(request.query.get("next", "")))

    def sign_in(self, request: Request) -> Answer:
        """POST: open a session for whose key it is, under a new id."""
        next = _inside(request.form.get("next", ""))
        if not self._may_sign_in(request):
            return self._form(request, next=next, status=403)
        try:
            self._count(request.local)
            secret = request.form.get("key", "").strip()
            person = self._identify(secret)
        except TooMany as error:
            again: Header = (b"retry-after", b"%d" % error.seconds)
            return self._form(request, next=next, status=429, fault=str(error), more=(again,))
        except (BadInput, Refused):
            fault = (
                "This is nobody's key here. Check that all of it was copied: it begins with glp_ "
                "and has 47 characters. Its public half must stand in [people] of greenlight.toml."
            )
            return self._form(request, next=next, status=403, fault=fault)
        self._sessions.end(_id(request))
        id = self._sessions.begin(person, secret)
        return Redirect(next, (_cookie(request, id),))

    def sign_out(self, request: Request) -> Answer:
        """POST: end the session."""
        self._sessions.end(_id(request))
        return Redirect("/", (_cookie(request, None),))

    def _session(self, request: Request, *, touch: bool) -> Session | None:
        id = _id(request)
        return self._sessions.find(id, touch=touch) if id else None

    def _check_form(self, request: Request) -> None:
        """Refuse what no form of ours, shown to this very browser, has sent."""
        site = request.headers.get(b"sec-fetch-site")
        origin = request.headers.get(b"origin")
        if site is not None:
            ours = site in (b"same-origin", b"none")
        else:
            ours = origin is None or _same_host(origin, request.headers.get(b"host", b""))
        token = request.form.get("csrf", "")
        mine = self._token(_id(request))
        if not ours or not hmac.compare_digest(token.encode(), mine.encode()):
            raise Forbidden(
                "this form is not of this session: nothing was done. Go back, load the page anew "
                "(with cookies allowed) and send it again"
            )

    def _token(self, id: str) -> str:
        """What proves that a form was shown to who has this id; without one, what nobody sends."""
        if not id:
            return self._sessions.fresh()
        return hmac.new(self._seal, id.encode(), hashlib.sha256).hexdigest()

    def _form(
        self,
        request: Request,
        *,
        next: str,
        status: int = 200,
        fault: str = "",
        unsent: str = "",
        more: tuple[Header, ...] = (),
    ) -> Page:
        """The page of signing in. Who has no id gets one, so that the form can be told as ours."""
        id, allowed = _id(request), self._may_sign_in(request)
        if allowed and not id:
            id = self._sessions.fresh()
            more = (*more, _cookie(request, id))
        values = {
            "csrf": self._token(id),
            "next": next,
            "fault": fault,
            "unsent": unsent,
            "alone": self._alone,
            "allowed": allowed,
        }
        return Page("sign_in.html", values, status, more)

    def _expired(self, request: Request) -> Page:
        """What was sent by somebody whose session has ended: nothing is lost but the time."""
        fault = "Nothing was done: your session has ended. Sign in again, and send it once more."
        unsent = request.form.get("why", "")
        next = _inside(request.form.get("from", "") or "/")
        return self._form(request, next=next, status=403, fault=fault, unsent=unsent)

    def _may_sign_in(self, request: Request) -> bool:
        """A key may not travel where others read along, nor to one process of several."""
        return self._alone and (request.local or _over_tls(request))

    def _count(self, here: bool) -> None:
        """Count an attempt; others cannot use up those of this machine.

        Raises:
            TooMany: there were too many lately.
        """
        with self._lock:
            wait = self._attempts[here].take(self._now())
        if wait:
            seconds = -(-wait // SECOND)
            raise TooMany(f"Too many attempts to sign in: try again in {seconds} s.", seconds)


def _by_hand(request: Request) -> bool:
    """Whether somebody is there: what a page's script fetches by itself is no sign of that."""
    return request.headers.get(b"sec-fetch-dest", b"document") == b"document"


def _name(id: str) -> bytes:
    return hashlib.sha256(id.encode()).digest()


def _id(request: Request) -> str:
    """The id in the request's cookie; empty where there is none that we could have made."""
    found = request.cookies.get(_cookie_name(request), "")
    return found if _ID.fullmatch(found) else ""


def _cookie_name(request: Request) -> str:
    """With the port in it, for a browser sends a cookie to every port of a host."""
    return f"greenlight-{_host(request.headers.get(b'host', b''))[1] or 'session'}"


def _cookie(request: Request, id: str | None) -> Header:
    """The header that sets the id; or, for None, takes it away."""
    kept = f"{id}" if id is not None else "; Max-Age=0"
    rules = "; Path=/; HttpOnly; SameSite=Strict" + ("; Secure" if _over_tls(request) else "")
    return b"set-cookie", f"{_cookie_name(request)}={kept}{rules}".encode()


def _over_tls(request: Request) -> bool:
    """Whether a proxy says that it got the request over TLS; no page can make a browser say so."""
    return request.headers.get(b"x-forwarded-proto", b"").strip().lower() == b"https"


def _same_host(origin: bytes, host: bytes) -> bool:
    parts = origin.decode("latin-1").partition("://")
    return bool(parts[1]) and _host(parts[2].encode("latin-1")) == _host(host) != ("", None)


def _host(host: bytes) -> tuple[str, int | None]:
    """Name and port of a `Host` header; empty where there is none to be read."""
    try:
        parts = urlsplit("//" + host.decode("latin-1"))
        return parts.hostname or "", parts.port
    except ValueError:
        return "", None


def _inside(path: str) -> str:
    """A path on this site to go on with; whatever leads elsewhere becomes the first page."""
    return path if _INSIDE.fullmatch(path) else "/"
