"""Why something on a wire could not be understood. Each answers: wait, drop, or answer `unsupported`?"""


class WireError(Exception):
    """What arrived makes no sense to us; it is counted, logged and dropped, never believed in part."""


class Malformed(WireError):
    """Broken by its sender: not JSON, a missing field, a value out of range. Drop it."""


class TooLarge(Malformed):
    """Longer than any honest peer sends. Drop it unread."""


class UnknownKind(WireError):
    """Well-formed, of a kind we do not know: a newer peer. Answer `unsupported` where an answer exists."""

    def __init__(self, kind: str, reference: str = "") -> None:
        super().__init__(f"unknown kind {kind!r}")
        self.kind = kind
        self.reference = reference


class UnknownVersion(WireError):
    """Well-formed, of a version we do not speak."""
