"""E-mail by SMTP, over TLS from the start or from STARTTLS on."""

from __future__ import annotations

import contextlib
import logging
import smtplib
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Literal

from greenlight.core.notices import Notice, plain
from greenlight.core.records import SECOND
from greenlight.ports.notifier import NotDelivered

log = logging.getLogger(__name__)

Security = Literal["starttls", "tls", "none"]

PATIENCE = 5.0
"""Seconds without a sign of life."""


class EmailNotifier:
    """Implements `ports.notifier.Notifier`."""

    def __init__(
        self,
        name: str,
        *,
        host: str,
        port: int,
        sender: str,
        to: Sequence[str],
        security: Security = "starttls",
        user: str | None = None,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
        patience: float = PATIENCE,
    ) -> None:
        """Prepare; nothing is connected.

        Args:
            name: of the channel.
            host: the server that takes mail.
            port: its port.
            sender: the address that it comes from.
            to: the addresses that get it.
            security: `starttls`, `tls` from the start, or `none`.
            user: who logs in; None: nobody does.
            password: of the user.
            tls: whose certificates are trusted; by default those that this machine trusts.
            patience: seconds without a sign of life.
        """
        self.name = name
        self._host, self._port = host, port
        self._sender, self._to = sender, tuple(to)
        self._security = security
        self._user, self._password = user, password
        self._tls = tls
        self._patience = patience

    def send(self, notice: Notice) -> None:
        """See `ports.notifier.Notifier.send`. It has arrived once the server has taken it over for
        anybody; what it then cannot deliver comes back to the sender."""
        mail = self._mail(notice)
        with self._session() as server:
            refused = server.send_message(mail, self._sender, self._to)
        if refused:
            codes = ", ".join(str(code) for code, _ in refused.values())
            log.warning(
                "notify.%s: the server took %s for %d of %d addresses (%s)",
                self.name,
                notice.id,
                len(self._to) - len(refused),
                len(self._to),
                codes,
            )

    def check(self) -> None:
        """Connect, prove who it is, and leave; nothing is sent.

        Raises:
            NotDelivered: that does not work.
        """
        with self._session():
            pass

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        try:
            server = self._connected()
            try:
                if self._security == "starttls":
                    server.starttls(context=self._trusted())
                if self._user is not None:
                    server.login(self._user, self._password or "")
                yield server
            except BaseException:
                server.close()
                raise
        except smtplib.SMTPException as error:
            # A connection that fails half-way is told of as if the server had closed it.
            broken = error.__context__ if isinstance(error.__context__, OSError) else None
            raise (self._broken(broken) if broken else _failure(error)) from None
        except UnicodeEncodeError:
            problem = "user or password has a letter that is not ASCII, which SMTP cannot take"
            raise NotDelivered(problem, retry=True) from None
        except OSError as error:
            raise self._broken(error) from None
        # What was taken over stays so, whatever the server thinks of a farewell.
        with contextlib.suppress(smtplib.SMTPException, OSError):
            server.quit()

    def _connected(self) -> smtplib.SMTP:
        # The name that is said in HELO; by default smtplib asks the network for it, which may last.
        own = socket.gethostname()
        if self._security == "tls":
            return smtplib.SMTP_SSL(
                self._host, self._port, own, timeout=self._patience, context=self._trusted()
            )
        return smtplib.SMTP(self._host, self._port, own, timeout=self._patience)

    def _broken(self, error: OSError) -> NotDelivered:
        if isinstance(error, TimeoutError):
            return NotDelivered(f"no answer within {self._patience:g} s", retry=True)
        reason = error.strerror or type(error).__name__
        return NotDelivered(f"no connection: {reason}", retry=True)

    def _trusted(self) -> ssl.SSLContext:
        return self._tls or ssl.create_default_context()

    def _mail(self, notice: Notice) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = f"[greenlight] {notice.title}"
        mail["From"] = self._sender
        mail["To"] = ", ".join(self._to)
        mail["Date"] = format_datetime(datetime.fromtimestamp(notice.at // SECOND, tz=UTC))
        # The same message has the same name, by which a mail client drops repeats.
        domain = self._sender.rpartition("@")[2].strip("> ")
        mail["Message-ID"] = f"<{notice.id.replace(':', '-')}@{domain}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(plain(notice) + "\n")
        return mail


def _failure(error: smtplib.SMTPException) -> NotDelivered:
    """What a server's refusal means; what it says is shown by its code alone."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        said = f"the server refuses user or password ({error.smtp_code})"
        return NotDelivered(said, retry=True)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = sorted({code for code, _ in error.recipients.values()})
        said = f"the server takes mail for none of the addresses ({', '.join(map(str, codes))})"
        return NotDelivered(said, retry=any(code < 500 for code in codes))
    if isinstance(error, smtplib.SMTPDataError):
        said = f"the server does not take this mail ({error.smtp_code})"
        return NotDelivered(said, retry=error.smtp_code < 500)
    if isinstance(error, smtplib.SMTPSenderRefused):
        said = f"the server takes no mail from this sender ({error.smtp_code})"
        return NotDelivered(said, retry=True)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return NotDelivered("the server offers no STARTTLS or no login", retry=True)
    if isinstance(error, smtplib.SMTPResponseException):
        return NotDelivered(f"the server answers {error.smtp_code}", retry=True)
    return NotDelivered(f"the server broke off ({type(error).__name__})", retry=True)
