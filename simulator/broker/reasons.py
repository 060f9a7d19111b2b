"""Why the broker says no: MQTT 5 reason codes, their MQTT 3.1.1 forms, and the one error a peer can cause."""

from enum import IntEnum


class Reason(IntEnum):
    """MQTT 5 section 2.4, as far as this broker sends or understands them."""

    SUCCESS = 0x00
    DISCONNECT_WITH_WILL = 0x04
    NO_MATCHING_SUBSCRIBERS = 0x10
    NO_SUBSCRIPTION_EXISTED = 0x11
    UNSPECIFIED = 0x80
    MALFORMED = 0x81
    PROTOCOL_ERROR = 0x82
    UNSUPPORTED_VERSION = 0x84
    CLIENT_ID_NOT_VALID = 0x85
    BAD_USER_OR_PASSWORD = 0x86
    NOT_AUTHORIZED = 0x87
    SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    TAKEN_OVER = 0x8E
    FILTER_INVALID = 0x8F
    TOPIC_INVALID = 0x90
    PACKET_ID_NOT_FOUND = 0x92
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    QUOTA_EXCEEDED = 0x97
    ADMINISTRATIVE_ACTION = 0x98
    NO_SHARED_SUBSCRIPTIONS = 0x9E


FAILED = 0x80
"""Reason codes from here on mean failure; MQTT 3.1.1 says only this in a SUBACK."""

_CONNACK_3_1_1 = {
    Reason.SUCCESS: 0,
    Reason.UNSUPPORTED_VERSION: 1,
    Reason.CLIENT_ID_NOT_VALID: 2,
    Reason.QUOTA_EXCEEDED: 3,
    Reason.BAD_USER_OR_PASSWORD: 4,
    Reason.NOT_AUTHORIZED: 5,
}


def connack_code(reason: Reason, version: int) -> int:
    """What a CONNACK of this protocol version carries for `reason` (3.1.1 knows six codes)."""
    return int(reason) if version == 5 else _CONNACK_3_1_1.get(reason, 3)


class Violation(Exception):
    """The peer sent what the protocol forbids; its connection ends with `reason`."""

    def __init__(self, reason: Reason, what: str) -> None:
        super().__init__(what)
        self.reason = reason
