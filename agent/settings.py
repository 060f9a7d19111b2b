"""The agent's settings, from the environment and a `.env` file; all problems are told at once."""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from agent import ed25519, log
from protocol.errors import Malformed
from protocol.topics import check_device_uuid

PREFIX = "COFFEE_AGENT_"
DEFAULT_STATE_DIR = "/var/lib/coffee-agent"
DEFAULT_PROFILE = "companion-v1"
_DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}


class BadSettings(Exception):
    """Every problem found, one a line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is, and our account there."""

    host: str
    port: int
    tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything one agent needs to know before it starts."""

    device_uuid: str
    broker: BrokerAddress
    serial: str
    profile: str
    """Name of a shipped profile, or the path of a TOML file."""
    state_dir: Path
    other_brokers: tuple[BrokerAddress, ...] = ()
    """More addresses of the broker; each is tried in turn."""
    release_keys: tuple[bytes, ...] = ()
    """Public keys of the signers of new versions; none: it does not update itself."""
    cloud_ca_file: str | None = None
    """The authority of the cloud's web site, unless it is a public one; new versions come from there."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """Raises `BadSettings` naming every variable that is missing or wrong."""
        problems: list[str] = []
        device_uuid = _required(env, "DEVICE_UUID", "the device's name", problems)
        if device_uuid:
            try:
                check_device_uuid(device_uuid)
            except Malformed as error:
                problems.append(f"{PREFIX}DEVICE_UUID: {error}")
        brokers = _brokers(env, device_uuid, problems)
        serial = _required(env, "SERIAL", "a device path or a pyserial URL", problems)
        problems += _folder_problems(env)
        cloud_ca_file = _file(env, "CLOUD_CA", problems)
        problems += log.problems(env)
        keys = _release_keys(env, problems)
        if problems or not brokers:
            raise BadSettings(problems)
        return cls(
            device_uuid=device_uuid,
            broker=brokers[0],
            other_brokers=tuple(brokers[1:]),
            serial=serial,
            profile=env.get(f"{PREFIX}PROFILE") or DEFAULT_PROFILE,
            state_dir=_state_dir(env),
            release_keys=keys,
            cloud_ca_file=cloud_ca_file,
        )


def _release_keys(env: Mapping[str, str], problems: list[str]) -> tuple[bytes, ...]:
    """Ed25519 public keys in base64, parted by commas: while a key is changed there are two."""
    found = []
    for text in filter(None, (part.strip() for part in env.get(f"{PREFIX}RELEASE_KEY", "").split(","))):
        try:
            key = b64decode(text, validate=True)
        except ValueError:
            key = b""
        if len(key) != ed25519.KEY:
            problems.append(f"{PREFIX}RELEASE_KEY: not 32 bytes in base64")
        found.append(key)
    return tuple(found)


def state_dir(env: Mapping[str, str]) -> Path:
    """Where the journal lives; all that `status` and `journal` need. Raises `BadSettings` for what is no folder."""
    if problems := _folder_problems(env):
        raise BadSettings(problems)
    return _state_dir(env)


def _state_dir(env: Mapping[str, str]) -> Path:
    return Path(env.get(f"{PREFIX}STATE_DIR") or DEFAULT_STATE_DIR)


def _folder_problems(env: Mapping[str, str]) -> list[str]:
    """A folder that is not there yet is made; a file in its place, or on the way to it, is nobody's to remove."""
    wanted = _state_dir(env).absolute()
    found = next((path for path in (wanted, *wanted.parents) if path.exists()), wanted)
    return [f"{PREFIX}STATE_DIR: {found} is a file, not a folder"] if found.is_file() else []


def environment(real: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The real environment over what a `.env` in `folder` says. Raises `BadSettings` when that cannot be read."""
    return {**_dotenv(folder / ".env"), **real}


def _dotenv(path: Path) -> dict[str, str]:
    """`NAME=value` lines; `export`, comments, blank lines and one pair of quotes are understood, nothing else."""
    return dict(filter(None, map(setting_in, _text_of(path).splitlines())))


def setting_in(line: str) -> tuple[str, str] | None:
    """The name and the value that a line of such a file sets; None when it sets nothing."""
    name, equals, value = line.strip().removeprefix("export ").partition("=")
    if not equals or name.startswith("#"):
        return None
    value = value.strip()
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return name.strip(), value


def _text_of(path: Path) -> str:
    """UTF-8, with or without the mark that Windows sets before it; nothing when there is no file."""
    try:
        return path.read_text(encoding="utf-8-sig") if path.is_file() else ""
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise BadSettings([f"{path} is not UTF-8 (line {line}): save it as UTF-8"]) from None
    except OSError as error:
        raise BadSettings([f"{path} cannot be read: {error.strerror}"]) from None


def _required(env: Mapping[str, str], name: str, meaning: str, problems: list[str]) -> str:
    value = env.get(PREFIX + name, "").strip()
    if not value:
        problems.append(f"{PREFIX}{name} is not set: {meaning}")
    return value


def _brokers(env: Mapping[str, str], device_uuid: str, problems: list[str]) -> list[BrokerAddress]:
    urls = _required(env, "MQTT_URL", "mqtt://host:1883 or mqtts://host:8883", problems)
    if not urls:
        return []
    files = {name: _file(env, f"MQTT_{name}", problems) for name in ("CA", "CERT", "KEY")}
    if (files["CERT"] is None) != (files["KEY"] is None):
        problems.append(f"{PREFIX}MQTT_CERT and {PREFIX}MQTT_KEY go together")
    found = [_broker(env, url.strip(), device_uuid, files, problems) for url in urls.split(",")]
    return [address for address in found if address is not None]


def _broker(
    env: Mapping[str, str], url: str, device_uuid: str, files: Mapping[str, str | None], problems: list[str]
) -> BrokerAddress | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        problems.append(f"{PREFIX}MQTT_URL has a bad port")
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.path.strip("/"):
        problems.append(f"{PREFIX}MQTT_URL must look like mqtt://host:port or mqtts://host:port")
        return None
    password = env.get(f"{PREFIX}MQTT_PASSWORD") or (unquote(parts.password) if parts.password else None)
    user = env.get(f"{PREFIX}MQTT_USER") or (unquote(parts.username) if parts.username else None)
    return BrokerAddress(
        host=parts.hostname,
        port=port or _DEFAULT_PORTS[parts.scheme],
        tls=parts.scheme == "mqtts",
        user=user or (device_uuid if password else None),
        password=password,
        ca_file=files["CA"],
        cert_file=files["CERT"],
        key_file=files["KEY"],
    )


def _file(env: Mapping[str, str], name: str, problems: list[str]) -> str | None:
    path = env.get(PREFIX + name)
    if not path:
        return None
    if not Path(path).is_file():
        problems.append(f"{PREFIX}{name}: there is no file {path}")
    return path
