"""E-mail over SMTP. A repeat has the same Message-ID, so mail programs show one letter."""

import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

from cloud.alerts.channels.http import AGAIN_S
from cloud.alerts.channels.sender import Address, Delivered, Letter, NotNow, Refused, Sending, Unknown, Why
from cloud.background.loops import Clock

WITHIN_S = 15.0
_WRONG_ADDRESS = frozenset({550, 551, 553, 554})
_LOGIN_REFUSED = frozenset({530, 534, 535, 538})


@dataclass(frozen=True)
class Letters:
    """One SMTP server: `smtp://user:password@host:587` (STARTTLS where it is offered), `smtps://` (TLS at once)."""

    url: str = field(repr=False)
    sender: str
    now: Clock

    def send(self, address: Address, letter: Letter) -> Sending:
        """Send a letter."""
        try:
            server = self._connect()
        except smtplib.SMTPResponseException as error:
            return _not_now(error.smtp_code)
        except (OSError, smtplib.SMTPException) as error:
            return NotNow(AGAIN_S, type(error).__name__)
        with server:
            return _handed_over(server, self._message(address, letter), letter.key)

    def change(self, address: Address, ref: str, letter: Letter) -> Sending:
        """Letters cannot be changed: send another."""
        return self.send(address, letter)

    def _connect(self) -> smtplib.SMTP:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        secure = ssl.create_default_context()
        if parts.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=WITHIN_S, context=secure)
        else:
            server = smtplib.SMTP(host, parts.port or 587, timeout=WITHIN_S)
        try:
            server.ehlo()
            if parts.scheme == "smtp" and server.has_extn("starttls"):
                server.starttls(context=secure)
                server.ehlo()
            if parts.username:
                if not isinstance(server.sock, ssl.SSLSocket):
                    raise smtplib.SMTPNotSupportedError("no TLS: a password is not said in the open")
                server.login(unquote(parts.username), unquote(parts.password or ""))
        except (OSError, smtplib.SMTPException):
            server.close()
            raise
        return server

    def _message(self, address: Address, letter: Letter) -> EmailMessage:
        message = EmailMessage()
        message["From"], message["To"] = self.sender, address.to
        message["Subject"] = " ".join(letter.subject.split())
        message["Date"] = format_datetime(self.now())
        message["Message-ID"] = f"<{letter.key}@{self.sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.text + ("" if letter.link in letter.text else f"\n\n{letter.link}") + "\n")
        return message


def _handed_over(server: smtplib.SMTP, message: EmailMessage, key: str) -> Sending:
    try:
        server.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        code = next(iter(error.recipients.values()))[0]
        return Refused(Why.ADDRESS_REFUSED) if code in _WRONG_ADDRESS else _not_now(code)
    except smtplib.SMTPResponseException as error:
        return _not_now(error.smtp_code)
    except (OSError, smtplib.SMTPException) as error:
        return Unknown(type(error).__name__)  # it may have been taken before the line broke
    return Delivered(key)


def _not_now(code: int) -> NotNow:
    """User and password are ours and changed with a restart: no mailbox is to blame, so none is refused."""
    return NotNow(AGAIN_S, Why.LOGIN_REFUSED if code in _LOGIN_REFUSED else f"SMTP {code}")
