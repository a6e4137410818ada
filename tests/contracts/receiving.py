"""Real receivers of notifications, each on a thread of its own: HTTP, and mail by SMTP."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.server
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from greenlight.adapters.notifiers.email import EmailNotifier
from tests.contracts.notices import PASSWORD


class Post(NamedTuple):
    """What was posted."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class Hook:
    """Takes what is posted. `answers` are given in turn, then 200: (status, headers, body)."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.posts: list[Post] = []
        self.answers: list[tuple[int, Mapping[str, str], bytes]] = []
        self.before: Callable[[], object] = lambda: None
        """Called once a request is there, before it is answered."""

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Give this answer to the next request that has none yet."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, named, body))


@contextmanager
def hook() -> Iterator[Hook]:
    """A receiver of webhooks."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found.posts.append(Post(self.path, dict(self.headers.items()), body))
            found.before()
            status, headers, text = found.answers.pop(0) if found.answers else (200, {}, b"ok")
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(text)))
            with contextlib.suppress(OSError):  # who asked may be dead
                self.end_headers()
                self.wfile.write(text)

        def do_GET(self) -> None:
            found.posts.append(Post(f"GET {self.path}", {}, b""))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Hook(f"http://127.0.0.1:{server.server_port}/hooks/T0/B0")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


class Mailbox:
    """Takes mail. `refuse` maps the beginning of a command to the answer that it gets."""

    def __init__(self) -> None:
        self.port = 0
        self.mails: list[tuple[tuple[str, ...], EmailMessage]] = []
        """Receivers and mail."""
        self.users: list[tuple[str, str]] = []
        """Who logged in, and with which password."""
        self.encrypted: list[bool] = []
        """Whether each mail came over TLS."""
        self.refuse: dict[str, str] = {}
        self.starttls = True
        """Whether it offers STARTTLS."""


class _Session:
    """One connection to a mailbox."""

    def __init__(
        self,
        box: Mailbox,
        tls: ssl.SSLContext,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        encrypted: bool,
    ) -> None:
        self.box, self.tls, self.reader, self.writer = box, tls, reader, writer
        self.encrypted = encrypted
        self.to: list[str] = []

    async def say(self, line: str) -> None:
        self.writer.write(line.encode() + b"\r\n")
        await self.writer.drain()

    async def run(self) -> None:
        await self.say(self.box.refuse.get("CONNECT", "220 mail.test ESMTP"))
        while line := await self.reader.readline():
            said = line.decode().strip()
            refuse, upper = self.box.refuse.items(), said.upper()
            answers = [text for word, text in refuse if upper.startswith(word.upper())]
            if answers:
                await self.say(answers[0])
            elif not await self.obey(said):
                break
        self.writer.close()

    async def obey(self, said: str) -> bool:
        """Carry out a command; whether the session goes on."""
        match said.split(maxsplit=2)[0].upper():
            case "EHLO":
                offers = ["mail.test", "AUTH PLAIN", "8BITMIME"]
                if self.box.starttls and not self.encrypted:
                    offers.append("STARTTLS")
                for offer in offers[:-1]:
                    await self.say(f"250-{offer}")
                await self.say(f"250 {offers[-1]}")
            case "STARTTLS":
                await self.say("220 go on")
                await self.writer.start_tls(self.tls)
                self.encrypted = True
            case "AUTH":
                _, user, password = base64.b64decode(said.split()[2]).decode().split("\0")
                self.box.users.append((user, password))
                await self.say("235 welcome")
            case "MAIL":
                self.to = []
                await self.say("250 ok")
            case "RCPT":
                self.to.append(said.partition("<")[2].rstrip(">"))
                await self.say("250 ok")
            case "DATA":
                await self.say("354 go on")
                text = await self.reader.readuntil(b"\r\n.\r\n")
                self.box.encrypted.append(self.encrypted)
                mail = message_from_bytes(text[:-3], policy=policy.default)
                assert isinstance(mail, EmailMessage)
                self.box.mails.append((tuple(self.to), mail))
                await self.say(self.box.refuse.get("END", "250 taken"))
            case "QUIT":
                await self.say("221 bye")
                return False
            case _:
                await self.say("250 ok")
        return True


@contextmanager
def mailbox(certificate: Path, *, tls: bool = False) -> Iterator[Mailbox]:
    """A server for mail, with TLS from the start or from STARTTLS on.

    Args:
        certificate: its key and its certificate (`make_certificate`).
        tls: from the start.
    """
    box, ready = Mailbox(), threading.Event()
    trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trusted.load_cert_chain(certificate)
    stop: list[Callable[[], object]] = []

    async def serve() -> None:
        sessions: set[asyncio.Task[Any]] = set()

        async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            sessions.add(task)
            try:
                await _Session(box, trusted, reader, writer, tls).run()
            except (OSError, asyncio.IncompleteReadError):
                writer.close()
            finally:
                sessions.discard(task)

        server = await asyncio.start_server(
            session, "127.0.0.1", 0, ssl=trusted if tls else None, ssl_handshake_timeout=None
        )
        box.port = server.sockets[0].getsockname()[1]
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(ended.set))
        ready.set()
        await ended.wait()
        server.close()
        if sessions:  # whoever is still connected is about to leave
            await asyncio.wait(sessions, timeout=10)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield box
    finally:
        stop[0]()
        thread.join()


def make_certificate(file: Path) -> Path:
    """A key and a certificate of its own for 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=9000))
        .not_valid_after(now + timedelta(days=9000))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


def mailer(certificate: Path, port: int, **options: Any) -> EmailNotifier:
    options = {"user": "ops", "password": PASSWORD, **options}
    return EmailNotifier(
        "ops",
        host="127.0.0.1",
        port=port,
        sender="greenlight@acme.example",
        to=["ana@acme.example", "ben@acme.example"],
        tls=ssl.create_default_context(cafile=certificate),
        **options,
    )
