"""How much a client may make the broker keep. A development broker: generous, but never without end."""

from dataclasses import dataclass
from enum import Enum, auto


class Sharing(Enum):
    """Shared subscriptions: known, not known as CONNACK says, or refused without having been announced."""

    KNOWN = auto()
    UNKNOWN = auto()
    UNANNOUNCED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Each bounds something a peer can grow."""

    packet_bytes: int = 1 << 20
    """Ours are below 10 KB; a test of a large payload sends 300 KB."""
    queued_messages: int = 10_000
    """Per session. Ten times Mosquitto's default: a burst in a test must not vanish silently."""
    unacknowledged: int = 20
    """Messages under way to one client, as Mosquitto's default, so that a client stuck there is stuck here."""
    subscriptions: int = 1_000
    """Per session."""
    connections: int = 1_000
    """Below the usual 1 024 file descriptors of a process."""
    sessions: int = 10_000
    """Connected or not."""
    retained_messages: int = 10_000
    unread_bytes: int = 1 << 20
    """Written but not read by the client; above it the client gets nothing more and is not read either."""
    topic_aliases: int = 16
    """Per connection."""
    receive_maximum: int | None = None
    """Messages a client may have under way to us at once."""
    mqtt5: bool = True
    sharing: Sharing = Sharing.KNOWN
    """Like the version, less than usual to play a poorer broker."""
    silence_before_connect_s: float = 10.0
    """How long a connection may take to introduce itself."""
