"""M5: mail by SMTP, to a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenlight.adapters.notifiers.email import EmailNotifier
from greenlight.ports.notifier import NotDelivered
from tests.contracts.notices import NOTICE, PASSWORD
from tests.contracts.receiving import mailbox, mailer

pytestmark = pytest.mark.usefixtures("direct")


class TestEmail:
    """M5: SMTP."""

    def test_a_mail_over_starttls_by_who_logged_in(self, certificate: Path) -> None:
        with mailbox(certificate) as box:
            mailer(certificate, box.port).send(NOTICE)
            [(to, mail)] = box.mails
        assert to == ("ana@acme.example", "ben@acme.example")
        assert box.encrypted == [True] and box.users == [("ops", PASSWORD)]
        assert mail["Subject"] == f"[greenlight] {NOTICE.title}"
        assert mail["From"] == "greenlight@acme.example"
        assert mail["Date"] == "Fri, 15 Jan 2027 08:00:00 +0000"
        assert mail["Message-ID"] == f"<{NOTICE.id.replace(':', '-')}@acme.example>"
        assert mail["Auto-Submitted"] == "auto-generated"

    def test_tls_from_the_start(self, certificate: Path) -> None:
        with mailbox(certificate, tls=True) as box:
            mailer(certificate, box.port, security="tls").send(NOTICE)
        assert box.encrypted == [True]

    def test_without_tls_where_that_is_meant(self, certificate: Path) -> None:
        with mailbox(certificate) as box:
            notifier = mailer(certificate, box.port, security="none", user=None, password=None)
            notifier.send(NOTICE)
        assert box.encrypted == [False] and box.users == []

    def test_nothing_is_told_to_who_offers_no_tls(self, certificate: Path) -> None:
        """Whoever takes STARTTLS out of the offer does not get the password."""
        with mailbox(certificate) as box:
            box.starttls = False
            with pytest.raises(NotDelivered, match="no STARTTLS") as caught:
                mailer(certificate, box.port).send(NOTICE)
        assert caught.value.retry and box.users == [] and box.mails == []

    def test_a_certificate_that_nobody_vouches_for(self, certificate: Path) -> None:
        with mailbox(certificate) as box:
            notifier = EmailNotifier(
                "ops", host="127.0.0.1", port=box.port, sender="a@b.example", to=["c@d.example"]
            )
            with pytest.raises(NotDelivered, match="certificate verify failed") as caught:
                notifier.send(NOTICE)
        assert caught.value.retry and box.mails == []

    @pytest.mark.parametrize(
        ("command", "answer", "retry", "says"),
        [
            ("CONNECT", "554 go away", True, "554"),
            ("AUTH", "535 no", True, r"refuses user or password \(535\)"),
            ("MAIL", "550 no", True, r"from this sender \(550\)"),
            ("RCPT", "550 unknown", False, r"none of the addresses \(550\)"),
            ("RCPT", "450 greylisted", True, r"none of the addresses \(450\)"),
            ("DATA", "552 too large", False, r"not take this mail \(552\)"),
            ("DATA", "451 later", True, r"not take this mail \(451\)"),
            ("END", "554 spam", False, r"not take this mail \(554\)"),
        ],
    )
    def test_refusals(
        self, certificate: Path, command: str, answer: str, retry: bool, says: str
    ) -> None:
        with mailbox(certificate) as box:
            box.refuse[command] = answer
            with pytest.raises(NotDelivered, match=says) as caught:
                mailer(certificate, box.port).send(NOTICE)
        assert caught.value.retry is retry

    def test_one_address_of_two_is_a_delivery_with_a_warning(
        self, certificate: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with mailbox(certificate) as box:
            box.refuse["RCPT TO:<ben@"] = "550 unknown"
            mailer(certificate, box.port).send(NOTICE)
            [(to, _)] = box.mails
        assert to == ("ana@acme.example",)
        assert "for 1 of 2 addresses (550)" in caplog.text

    def test_what_was_taken_over_is_delivered_whatever_comes_after(self, certificate: Path) -> None:
        """Else the same mail would go out for a day."""
        with mailbox(certificate) as box:
            box.refuse["QUIT"] = "421 in a hurry"
            mailer(certificate, box.port).send(NOTICE)
        assert len(box.mails) == 1

    def test_a_password_that_smtp_cannot_take(self, certificate: Path) -> None:
        with mailbox(certificate) as box, pytest.raises(NotDelivered, match="ASCII") as caught:
            mailer(certificate, box.port, password="schlüssel").check()
        assert caught.value.retry and box.users == []

    def test_a_check_sends_nothing(self, certificate: Path) -> None:
        with mailbox(certificate) as box:
            mailer(certificate, box.port).check()
            assert box.users == [("ops", PASSWORD)]
            box.refuse["AUTH"] = "535 no"
            with pytest.raises(NotDelivered):
                mailer(certificate, box.port).check()
        assert box.mails == []
