"""Every setting of the cloud, read once from the environment into one frozen object. No secret has a default.

All problems are told at once (`SettingsError`). `docs/settings.md` lists every name with its default.
"""

import os
import re
import ssl
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cloud.database.address import wrong_with
from cloud.http.addresses import Network, normal_url, parse_networks, parse_senders

YOOKASSA_SENDERS = (
    "185.71.76.0/27,185.71.77.0/27,77.75.153.0/25,77.75.154.128/25,77.75.156.11,77.75.156.35,2a02:5180::/32"
)
"""The networks YooKassa publishes for its notifications (its documentation, 2026-07-04)."""

LEAST_CONNECTIONS = 8
MIN_SECRET = 32
"""Characters; keys are derived from it, so it must not be guessable."""
PUBLIC_KEY = 32
"""Bytes of an Ed25519 public key."""


class SettingsError(ValueError):
    """One or more settings are missing or malformed; the text lists all of them, one a line."""


@dataclass(frozen=True)
class Settings:
    """The cloud's settings. Durations are seconds and may be fractions."""

    secret_key: str = field(repr=False)
    old_secret_keys: tuple[str, ...] = field(default=(), repr=False)
    """Earlier secret keys, still able to read what was encrypted with them."""
    database_url: str = field(default="sqlite:///var/coffee.db", repr=False)
    database_listen_url: str = field(default="", repr=False)
    """Where notices between processes are heard, when `database_url` leads to a pooler that carries none."""
    database_connections: float = 25
    """At most, of each process, to a PostgreSQL server."""
    mqtt_url: str = field(default="mqtt://127.0.0.1:1883", repr=False)
    mqtt_user: str = ""
    mqtt_password: str = field(default="", repr=False)
    mqtt_ca: str = ""
    """PEM file of the authorities to trust for the broker; empty: the usual ones."""
    mqtt_cert: str = ""
    mqtt_key: str = ""
    machines_mqtt_url: str = ""
    """The broker's address for machines, told to those that enrol; empty: `mqtt_url`, without its user."""
    machines_mqtt_ca: str = ""
    """PEM file that they are given with it."""
    release_keys: tuple[str, ...] = ()
    """Public keys that may sign new versions of the agent; told to machines that enrol."""
    broker_rights: str = ""
    """`dynamic-security`: Mosquitto's plugin is told which machines may come in; empty: a person does it."""
    public_url: str = "http://127.0.0.1:8080"
    bind: str = "127.0.0.1:8080"
    oidc_issuer: str = ""
    """The identity provider that vouches for the console's users (docs/console.md); empty: none does."""
    oidc_client_id: str = ""
    oidc_client_secret: str = field(default="", repr=False)
    oidc_trusts_mfa: str = ""
    """`yes`: a user who has shown it several factors is not asked for ours."""
    yookassa_url: str = "https://api.yookassa.ru/v3"
    yookassa_webhook_networks: tuple[Network, ...] | None = None
    yookassa_rate: float = 5.0
    """Calls a second to one shop; YooKassa publishes no limit, so ours is modest."""
    tbank_url: str = "https://securepay.tinkoff.ru/v2"
    tbank_rate: float = 10.0
    """Calls a second to one terminal; no limit is published, and taking or returning money asks first: two calls."""
    tbank_ca_file: str = ""
    """PEM file of the authorities to trust for it; empty: the usual ones."""
    tmetr_url: str = ""
    """The Tmetr API for machines without an agent; empty: there are none."""
    tmetr_token: str = field(default="", repr=False)
    trusted_proxies: tuple[Network, ...] = ()
    order_expiration_s: float = 900
    fast_track_s: float = 300
    make_deadline_s: float = 60
    ack_timeout_s: float = 75
    make_timeout_s: float = 300
    uncertain_grace_s: float = 300
    uncertain_returns_a_day: float = 10
    manual_make_s: float = 1800
    payment_poll_fast_s: float = 2
    payment_poll_slow_s: float = 60
    archive_after_days: float = 400
    """Finished orders that nothing has happened to for so long rest in the archive (docs/operations.md)."""
    return_limit: float = 500
    """Roubles one person returns of one order without a second; `return_day_limit`: in any 24 hours."""
    return_day_limit: float = 3000
    log: str = "text"
    processors: str = "one"
    """`one`: `run` keeps its threads on one processor, the one with most room; `all`: the system decides."""
    metrics_token: str = field(default="", repr=False)
    """A caller that shows it may read `/metrics`; empty: only this machine itself may."""

    telegram_token: str = field(default="", repr=False)
    """The bot that alerts come from (docs/alerts.md); empty: no Telegram."""
    telegram_url: str = "https://api.telegram.org"
    max_token: str = field(default="", repr=False)
    max_url: str = "https://platform-api.max.ru"
    alerts_proxy: str = field(default="", repr=False)
    """The proxy towards messengers, where they cannot be reached directly."""
    smtp_url: str = field(default="", repr=False)
    alerts_from: str = ""
    """The sender of letters."""
    runbook_url: str = ""
    """Where `docs/runbook.md` of this repository can be read; an alert's page in the console links there."""
    watcher_url: str = field(default="", repr=False)
    """Called each minute while all is well, so that somebody outside misses us."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read `COFFEE_...`; raises `SettingsError` naming everything that is wrong."""
        reader = _Reader(os.environ if environ is None else environ)
        problems = reader.problems
        values = {
            "secret_key": reader.text("SECRET_KEY", ""),
            "old_secret_keys": reader.parted("OLD_SECRET_KEYS"),
            "database_url": reader.database(
                "DATABASE_URL", cls.database_url, _DATABASE, "sqlite:///FILE or postgresql+psycopg://..."
            ),
            "database_listen_url": reader.database(
                "DATABASE_LISTEN_URL", "", f"|{_SERVER}", "postgresql+psycopg://..."
            ),
            "mqtt_url": reader.brokers("MQTT_URL", cls.mqtt_url),
            "mqtt_user": reader.text("MQTT_USER", ""),
            "mqtt_password": reader.text("MQTT_PASSWORD", ""),
            "mqtt_ca": reader.file("MQTT_CA", of_authorities=True),
            "mqtt_cert": reader.file("MQTT_CERT"),
            "mqtt_key": reader.file("MQTT_KEY"),
            "machines_mqtt_url": reader.brokers("MACHINES_MQTT_URL", ""),
            "machines_mqtt_ca": reader.file("MACHINES_MQTT_CA"),
            "release_keys": reader.public_keys("RELEASE_KEYS"),
            "broker_rights": reader.matching("BROKER_RIGHTS", "", "|dynamic-security", "dynamic-security"),
            "public_url": reader.web("PUBLIC_URL", cls.public_url),
            "bind": reader.matching("BIND", cls.bind, rf".+:{_PORT}", "HOST:PORT"),
            "oidc_issuer": reader.issuer("OIDC_ISSUER"),
            "oidc_client_id": reader.text("OIDC_CLIENT_ID", ""),
            "oidc_client_secret": reader.text("OIDC_CLIENT_SECRET", ""),
            "oidc_trusts_mfa": reader.matching("OIDC_TRUSTS_MFA", "", "|yes", "yes"),
            "yookassa_url": reader.web("YOOKASSA_URL", cls.yookassa_url),
            "yookassa_webhook_networks": reader.networks("YOOKASSA_WEBHOOK_NETWORKS", YOOKASSA_SENDERS),
            "tbank_ca_file": reader.file("TBANK_CA_FILE"),
            "tbank_url": reader.web("TBANK_URL", cls.tbank_url),
            "tmetr_url": reader.web("TMETR_URL", ""),
            "tmetr_token": reader.matching("TMETR_TOKEN", "", "[!-~]*", "ASCII characters without spaces"),
            "trusted_proxies": reader.networks("TRUSTED_PROXIES", "") or (),
            "metrics_token": reader.matching("METRICS_TOKEN", "", "|[!-~]{16,}", "16 ASCII characters or more"),
            "telegram_token": reader.matching("TELEGRAM_TOKEN", "", r"|\d+:[\w-]+", "NUMBER:TEXT of BotFather"),
            "telegram_url": reader.web("TELEGRAM_URL", cls.telegram_url),
            "max_token": reader.text("MAX_TOKEN", ""),
            "max_url": reader.web("MAX_URL", cls.max_url),
            "alerts_proxy": reader.url("ALERTS_PROXY", "", ("http", "https")),
            "smtp_url": reader.url("SMTP_URL", "", ("smtp", "smtps")),
            "alerts_from": reader.matching("ALERTS_FROM", "", r"|[^@\s<>]+@[^@\s<>]+", "an e-mail address"),
            "runbook_url": reader.matching("RUNBOOK_URL", "", r"|https?://\S+/", "a URL that ends with /"),
            "watcher_url": reader.url("WATCHER_URL", "", ("http", "https")),
            "log": reader.matching("LOG", cls.log, "text|json", "text or json"),
            "processors": reader.matching("PROCESSORS", cls.processors, "one|all", "one or all"),
        } | {name: reader.seconds(name, default) for name, default in _NUMBERS.items()}
        problems += _contradictions(values)
        if problems:
            raise SettingsError("\n".join(problems))
        return cls(**values)  # type: ignore[arg-type]  # the names above are the fields below

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        host, _, port = self.bind.rpartition(":")
        return host.strip("[]"), int(port)


_PORT = r"(6553[0-5]|655[0-2]\d|65[0-4]\d\d|6[0-4]\d{3}|[1-5]\d{4}|\d{1,4})"
_SERVER = r"postgres(ql|ql\+psycopg)?://.*"
_DATABASE = rf"sqlite(\+pysqlite)?:///(?!:memory:).+|{_SERVER}"
"""A SQLite database in memory would be another one for every process."""
_NUMBERS: dict[str, float] = {f.name: f.default for f in fields(Settings) if isinstance(f.default, int | float)}


def _contradictions(values: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with settings that can each be read."""
    if len(str(values["secret_key"])) < MIN_SECRET:
        yield f"COFFEE_SECRET_KEY must be any secret text of {MIN_SECRET} characters or more"
    if "," in str(values["secret_key"]):
        yield "COFFEE_SECRET_KEY must be without commas, which part COFFEE_OLD_SECRET_KEYS"
    if 0 < values["ack_timeout_s"] <= values["make_deadline_s"]:
        yield "COFFEE_ACK_TIMEOUT_S must exceed COFFEE_MAKE_DEADLINE_S"
    if values["smtp_url"] and not values["alerts_from"]:
        yield "COFFEE_ALERTS_FROM must say whom letters come from (COFFEE_SMTP_URL is set)"
    if values["database_connections"] < LEAST_CONNECTIONS:
        yield f"COFFEE_DATABASE_CONNECTIONS must be {LEAST_CONNECTIONS} or more"
    if values["oidc_issuer"] and not (values["oidc_client_id"] and values["oidc_client_secret"]):
        yield "COFFEE_OIDC_CLIENT_ID and COFFEE_OIDC_CLIENT_SECRET go with COFFEE_OIDC_ISSUER"
    if bool(values["mqtt_cert"]) != bool(values["mqtt_key"]):
        yield "COFFEE_MQTT_CERT and COFFEE_MQTT_KEY go together"


class _Reader:
    """Reads one variable at a time and remembers what was wrong with it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.problems: list[str] = []

    def text(self, name: str, default: str) -> str:
        return self.environ.get(f"COFFEE_{name}", "").strip() or default

    def matching(self, name: str, default: str, pattern: str, wanted: str) -> str:
        text = self.text(name, default)
        if not re.fullmatch(pattern, text):
            self.problems.append(f"COFFEE_{name} must be {wanted}")
        return text

    def database(self, name: str, default: str, pattern: str, wanted: str) -> str:
        text = self.matching(name, default, pattern, wanted)
        if text and re.fullmatch(pattern, text) and (wrong := wrong_with(text)):
            self.problems.append(f"COFFEE_{name} {wrong}")
        return text

    def parted(self, name: str) -> tuple[str, ...]:
        """What stands between commas."""
        return tuple(filter(None, (each.strip() for each in self.text(name, "").split(","))))

    def url(self, name: str, default: str, schemes: tuple[str, ...]) -> str:
        text = self.text(name, default)
        if not text:
            return text
        try:
            parts = urlsplit(text)
            good = parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            good = False
        if not good:
            self.problems.append(
                f"COFFEE_{name} must be a URL beginning with {' or '.join(s + '://' for s in schemes)}"
            )
        return text

    def brokers(self, name: str, default: str) -> str:
        """Addresses parted by commas."""
        text = self.text(name, default)
        if text and not all(_is_broker(url.strip()) for url in text.split(",")):
            self.problems.append(f"COFFEE_{name} must be URLs beginning with mqtt:// or mqtts://, parted by commas")
        return text

    def public_keys(self, name: str) -> tuple[str, ...]:
        """Parted by commas. An agent that is told anything else does not start."""
        keys = self.parted(name)
        if not all(map(_is_public_key, keys)):
            self.problems.append(f"COFFEE_{name} must be Ed25519 public keys in base64, parted by commas")
        return keys

    def file(self, name: str, *, of_authorities: bool = False) -> str:
        path = self.text(name, "")
        try:
            if path:
                Path(path).open("rb").close()
            if path and of_authorities:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except ssl.SSLError:
            self.problems.append(f"COFFEE_{name}: {path} holds no certificate in PEM")
        except (FileNotFoundError, NotADirectoryError):
            self.problems.append(f"COFFEE_{name}: there is no file {path}")
        except OSError as error:
            self.problems.append(f"COFFEE_{name}: {path} cannot be read: {error.strerror}")
        return path

    def web(self, name: str, default: str) -> str:
        """Where paths are added to: in its normal form, without a slash at the end."""
        text = self.text(name, default)
        try:
            url = normal_url(text) if text else ""
            if "?" not in url and "#" not in url:
                return url.rstrip("/")
        except ValueError:
            pass
        self.problems.append(f"COFFEE_{name} must be a URL beginning with http:// or https://, without a user, ? or #")
        return text

    def issuer(self, name: str) -> str:
        """An identity provider: as it writes itself, with TLS but on this machine."""
        text = self.text(name, "")
        if text and not re.fullmatch(r"https://[^\s?#@]+|http://(localhost|127\.0\.0\.1)(:\d+)?(/[^\s?#@]*)?", text):
            self.problems.append(f"COFFEE_{name} must be the issuer's URL as it writes it, beginning with https://")
        elif text and find_spec("authlib") is None:
            self.problems.append(f"COFFEE_{name} needs the extra `oidc`: pip install -r requirements/oidc.txt")
        return text

    def seconds(self, field_name: str, default: float) -> float:
        name = field_name.upper()
        text = self.text(name, str(default))
        try:
            value = float(text)
        except ValueError:
            value = -1
        if not 0 < value < 10**8:
            self.problems.append(f"COFFEE_{name} must be a number above 0, not {text[:40]!r}")
        return value

    def networks(self, name: str, default: str) -> tuple[Network, ...] | None:
        try:
            return parse_senders(self.text(name, default)) if default else parse_networks(self.text(name, default))
        except ValueError as error:
            self.problems.append(f"COFFEE_{name}: {error}")
            return ()


def _is_broker(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"mqtt", "mqtts"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_public_key(text: str) -> bool:
    try:
        return len(b64decode(text, validate=True)) == PUBLIC_KEY
    except ValueError:
        return False


def read_dotenv(folder: Path, environ: dict[str, str]) -> None:
    """Add to `environ` what a `.env` file in `folder` sets and the environment does not. Raises `SettingsError`."""
    for line in _text_of(folder / ".env").splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name.strip()):
            environ.setdefault(name.strip(), _unquoted(value.strip()))


def _unquoted(value: str) -> str:
    """Without the one pair of quotes around it, as the agent reads its file."""
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"" else value


def read_credentials(environ: dict[str, str]) -> None:
    """Add what systemd hands over as credentials (`LoadCredential`), one file a setting. Raises `SettingsError`."""
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    for file in sorted(Path(folder).glob("COFFEE_*")) if folder else ():
        environ.setdefault(file.name, _text_of(file).strip())


def _text_of(path: Path) -> str:
    """UTF-8, with or without the mark that Windows sets before it; nothing when there is no file."""
    try:
        return path.read_text(encoding="utf-8-sig") if path.is_file() else ""
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SettingsError(f"{path} is not UTF-8 (line {line}): save it as UTF-8") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
