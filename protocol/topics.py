"""Topic names, built and taken apart; the only place that knows them.

`coffee/v1/<device_uuid>/<channel>`. A device's name at the broker is its device_uuid, its rights are its own branch.
"""

from enum import StrEnum
from typing import NamedTuple

from protocol import VERSION
from protocol.errors import Malformed

ROOT = f"coffee/v{VERSION}"
MAX_DEVICE_UUID = 64


class Channel(StrEnum):
    """The five branches of a device."""

    COMMAND = "command"
    """Cloud to device: make, cancel, query, probe. Never retained."""
    RECEIPT = "receipt"
    """Cloud to device: what the cloud has safely, and its time."""
    REPORT = "report"
    """Device to cloud: accepted, progress, outcome, events, answers."""
    PRESENCE = "presence"
    """Device to cloud, retained; the last will says offline."""
    STATE = "state"
    """Device to cloud, retained: the machine as it is now."""


FROM_CLOUD = (Channel.COMMAND, Channel.RECEIPT)
FROM_DEVICE = (Channel.REPORT, Channel.PRESENCE, Channel.STATE)


class Address(NamedTuple):
    """A topic: the device it belongs to, and its channel."""

    device_uuid: str
    channel: Channel


def check_device_uuid(text: str) -> str:
    """The same text if it can be a device's name at a broker and in a topic, else `Malformed`.

    The machine's maker chooses it, so any printable text goes except what MQTT gives a meaning (`/ + #`, leading `$`).
    """
    bad = not text or len(text) > MAX_DEVICE_UUID or not text.isprintable() or text.startswith("$")
    if bad or any(char in "/+# " for char in text):
        raise Malformed(f"not a device_uuid: {text[:80]!r}")
    return text


def topic(device_uuid: str, channel: Channel) -> str:
    """The topic of one device's channel."""
    return f"{ROOT}/{check_device_uuid(device_uuid)}/{channel.value}"


def every(channel: Channel) -> str:
    """The subscription for one channel of all devices."""
    return f"{ROOT}/+/{channel.value}"


def parse(text: str) -> Address:
    """Take a topic apart; `Malformed` when it is none of ours."""
    root, _, rest = text.partition(ROOT + "/")
    device_uuid, _, channel = rest.rpartition("/")
    if root or channel not in {known.value for known in Channel}:
        raise Malformed(f"not a topic of ours: {text[:120]!r}")
    return Address(check_device_uuid(device_uuid), Channel(channel))
