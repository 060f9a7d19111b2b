"""What the agent remembers about itself through a restart: may it sell, was a journal lost, which faults stand.

One word a key in the journal's file. Decides nothing; a person's decisions are only written down here.
"""

from collections.abc import Callable, Mapping

import msgspec

from agent.clock import Clock
from agent.journal.sqlite_file import SqliteFile
from protocol.messages import Fault
from protocol.reasons import AgentCode

ROOM = 32 * 1024
"""Bytes; a command with its history and reports takes a tenth of it."""
_STOPPED, _LOST_AT, _LOSS_ACCEPTED_AT, _RESUMED_AFTER = "stopped", "lost_at", "loss_accepted_at", "resumed_after"
_FAULTS, _FAULTS_BOOT, _LOCAL_SALE, _DISTRUSTED_UNTIL = "faults", "faults_boot", "local_sale_at", "distrusted_until"
_LOST = (
    "the journal was damaged and put aside; look at it, then: coffee-agent journal --accept-loss here, "
    "or coffee-cloud resume --accept-loss"
)


_RESUME = "coffee-cloud resume, or here coffee-agent journal --resume-selling"


def needs_person(get: Callable[[str], str]) -> str:
    """Why nothing may be sold until a person has decided, or ""; `get` reads a remembered word."""
    if get(_LOST_AT) and not get(_LOSS_ACCEPTED_AT):
        return _LOST
    stopped = get(_STOPPED)
    return f"{stopped}; look at the machine, then: {_RESUME}" if stopped else ""


class SalesBlock:
    """May this machine sell, and what stands in the way."""

    def __init__(self, database: SqliteFile, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        if database.damaged:
            with database.transaction():
                database.put(_LOST_AT, clock.wall().isoformat())
                database.put(_LOSS_ACCEPTED_AT, "")
            database.forget_damage()

    def needs_person(self) -> str:
        """Why nothing may be sold until a person has decided, or ""."""
        return needs_person(self._database.get)

    def shortage(self) -> str:
        """Why there is too little room to begin anything, or ""."""
        missing = self._database.shortage()
        return f"{AgentCode.STORAGE}: {missing}" if missing else ""

    def stop_selling(self, reason: str) -> None:
        """Until a person has looked."""
        self._database.put(_STOPPED, reason)

    @property
    def is_stopped(self) -> bool:
        """By the breaker; a damaged journal or a full disk is another matter."""
        return bool(self._database.get(_STOPPED))

    @property
    def is_lost(self) -> bool:
        """A damaged journal was put aside and nobody has accepted that."""
        return bool(self._database.get(_LOST_AT) and not self._database.get(_LOSS_ACCEPTED_AT))

    @property
    def has_sold_by_itself(self) -> bool:
        """The machine has been seen to sell without us: its counter proves nothing any more."""
        return bool(self._database.get(_LOCAL_SALE))

    def note_local_sale(self) -> None:
        if not self.has_sold_by_itself:
            self._database.put(_LOCAL_SALE, self._clock.wall().isoformat())

    def resume_selling(self) -> None:
        """A person has looked at the machine."""
        with self._database.transaction():
            self._database.put(_STOPPED, "")
            self.begin_anew()

    def begin_anew(self) -> None:
        """What became of the commands until now counts no more, and the counter is believed for those to come."""
        with self._database.transaction() as connection:
            last = connection.execute("SELECT coalesce(max(place), 0) FROM command").fetchone()[0]
            self._database.put(_RESUMED_AFTER, str(last))
            if self.has_sold_by_itself:
                self._database.put(_LOCAL_SALE, "")
                self._database.put(_DISTRUSTED_UNTIL, str(last))

    @property
    def resumed_after(self) -> int:
        """The place of the last command before a person looked, or before the machine was another one."""
        return int(self._database.get(_RESUMED_AFTER) or 0)

    @property
    def distrusted_until(self) -> int:
        """The place of the last command beside which the machine may have sold by itself: no count proves it."""
        return int(self._database.get(_DISTRUSTED_UNTIL) or 0)

    def accept_loss(self) -> None:
        """A person has decided to go on without what the damaged journal knew."""
        self._database.put(_LOSS_ACCEPTED_AT, self._clock.wall().isoformat())

    def prove_writable(self) -> None:
        """Raises `JournalFailed` while there is no room for a command and its reports."""
        self._database.put("room", "x" * ROOM)
        self._database.put("room", "")

    def faults(self) -> dict[str, Fault]:
        """The machine's faults as they were last heard of: a status names them without the drinks they close."""
        text = self._database.get(_FAULTS)
        try:
            known = msgspec.json.decode(text or "[]", type=list[Fault])
        except msgspec.DecodeError:  # an older agent's; the machine will name them again
            known = []
        return {fault.code: fault for fault in known}

    @property
    def faults_boot(self) -> str:
        """The boot of the machine that told of them; "" when an older agent wrote them."""
        return self._database.get(_FAULTS_BOOT)

    def keep_faults(self, faults: Mapping[str, Fault], boot_id: str) -> None:
        text = msgspec.json.encode(list(faults.values())).decode()
        if (text, boot_id) != (self._database.get(_FAULTS) or "[]", self.faults_boot):
            with self._database.transaction():
                self._database.put(_FAULTS, text)
                self._database.put(_FAULTS_BOOT, boot_id)
