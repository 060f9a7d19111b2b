"""One drink on its way, listened for: what concerns it, what speaks against it, and when the machine must be asked.

Silence for too long, a machine that is ready or busy with something else, a question of the cloud's. Asks nobody.
"""

from agent.clock import Clock
from agent.journal.journal import Journal
from agent.journal.records import Command, CommandState
from agent.machine.capability_rules import Duty
from agent.machine.conversation import Heard
from agent.machine.driver import Driver
from agent.machine.profile import Profile
from protocol.machine import DoneEvent, FailedEvent, Heartbeat, MakeReply, OrderReply, ProgressEvent, StatusReply
from protocol.reasons import MachineState

ASK_AGAIN_S = 2.0
_OF_ORDERS = MakeReply | ProgressEvent | DoneEvent | FailedEvent | OrderReply


def is_about(heard: Heard, order_id: str) -> bool:
    return isinstance(heard, _OF_ORDERS) and heard.order_uuid == order_id


def concerns(heard: Heard, order_id: str, driver: Driver) -> bool:
    """It is about this order, or the machine is no longer the one that was given it."""
    return not driver.is_greeted or is_about(heard, order_id)


class DrinkWatch:
    """From the make, or from the first question about it, to its end."""

    def __init__(self, command: Command, journal: Journal, driver: Driver, profile: Profile, clock: Clock) -> None:
        self._command_id = command.command_id
        self._order_id = command.order_id
        self._max_brew = profile.max_brew(command.drink_no)
        self._requests = journal.requests
        self._driver = driver
        self._timers = profile.timers
        self._clock = clock
        self._told_at = self._asked_at = clock.monotonic()

    def begin_inquiry(self) -> None:
        """The machine is asked about it now."""
        self._asked_at = self._clock.monotonic()
        self._requests.drop_question(self._command_id)

    def hear(self, heard: Heard) -> bool:
        """Note when it was told of; whether this is worth waking up for."""
        if is_about(heard, self._order_id):
            self._told_at = self._clock.monotonic()
        is_wish = self._requests.is_cancel_asked(self._command_id) or self._requests.is_asked_about(self._command_id)
        return is_wish or concerns(heard, self._order_id, self._driver) or self._speaks_against(heard)

    def must_ask(self, heard: Heard | None) -> bool:
        """After so long a silence (None), or because of what was heard."""
        is_question = self._requests.is_asked_about(self._command_id)
        return heard is None or not self._driver.is_greeted or is_question or self._speaks_against(heard)

    def listen_until(self, row: Command) -> float:
        """How long to listen before asking, steady seconds."""
        patience = self._max_brew if row.state is CommandState.BREWING else self._timers.accepted_to_brewing
        if self._driver.must(Duty.CLAIM_NO_SUCCESS) or self._driver.must(Duty.POLL_STATUS):
            patience = min(patience, self._timers.status_poll)
        return max(self._told_at, self._asked_at) + patience

    def is_overdue(self, row: Command) -> bool:
        """It was brewing, and for as long as any drink may take the machine has told nothing of it."""
        is_told = self._driver.is_greeted and self._driver.can("finish") and row.state is CommandState.BREWING
        return is_told and self._clock.monotonic() - self._told_at >= self._max_brew

    def _speaks_against(self, heard: Heard) -> bool:
        """The machine is ready, or busy with something else, while we believe that it brews this."""
        if self._clock.monotonic() - self._asked_at < ASK_AGAIN_S:
            return False
        match heard:
            case ProgressEvent():
                return heard.order_uuid != self._order_id
            case StatusReply(order_uuid=str() as other) if other != self._order_id:
                return True
            case Heartbeat() | StatusReply():
                return heard.state is not MachineState.BREWING
        return False
