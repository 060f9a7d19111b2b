"""What is counted of machines' messages: how long each waited for us, those that made no sense or came too fast."""

from cloud.metrics.counts import Counter, Histogram
from protocol.messages import Message

_QUEUES = (("reports",), ("presence",))
WAIT_SECONDS = Histogram(
    "coffee_machine_message_wait_seconds",
    "From a report's arrival at a worker to its commit, by its kind; presence and state are not among them.",
    ("kind",),
    (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60),
)
SENSELESS = Counter(
    "coffee_machine_messages_senseless_total",
    "Messages that could not be read or taken in, or were more than is kept, and were dropped, by their queue.",
    ("queue",),
    known=_QUEUES,
)
TOO_FAST = Counter(
    "coffee_machine_messages_too_fast_total",
    "Messages that a machine said faster than any agent does, by the queue they came through: reports are dropped "
    "unread, of presence and state the newest is kept.",
    ("queue",),
    known=_QUEUES,
)


def kind_of(message: Message) -> str:
    """The word of the wire contract."""
    return type(message).__name__.lower()
