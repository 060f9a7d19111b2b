"""Taking a machine, or one drink of it, out of sale and back: by a person, by the breaker, by a good test cup.

What is paid already is not touched here; orders ask `availability` before they let anybody pay.
"""

import logging
from datetime import datetime

from cloud.database.transaction import Transaction
from cloud.fleet import machine_events
from cloud.fleet.models import Closable, Device, Drink
from protocol.messages import Event

BREAKER = "breaker"
"""Named as the closer where no person closed it (`orders/breaker.py`)."""
CLOSED_EVENT, OPENED_EVENT = "closed", "opened"
"""What was done from here, among what machines tell: never a word of theirs."""
WORDS = 255
_HELD = {"key_share": True}
"""New orders of the machine need not wait."""
log = logging.getLogger("cloud.fleet")


class NoSuchThing(LookupError):
    """No machine, or no drink of it, has this name."""


def place_of(device_uuid: str) -> str:
    """The machine's place among what a transaction locks at its end (`Transaction.at_the_end`)."""
    return f"machine {device_uuid}"


def lock(tx: Transaction, device_uuid: str, drink_no: str = "") -> Closable:
    """Lock the machine, or one drink of it: a caller that judges whether to close it sees what others have just closed.

    The machine's row is always held first. Raises `NoSuchThing`.
    """
    device = tx.session.get(Device, device_uuid, with_for_update=_HELD, populate_existing=True)
    if device is None or not drink_no:
        return _known(device, device_uuid)
    drink = tx.session.get(Drink, (device_uuid, drink_no), with_for_update=_HELD, populate_existing=True)
    return _known(drink, f"{device_uuid} {drink_no}")


def told(tx: Transaction, device_uuid: str, drink_no: str) -> dict[str, str | bool]:
    """Whether it is closed, by whom and why; the row held. Raises `NoSuchThing`."""
    thing = lock(tx, device_uuid, drink_no)
    return {"closed": thing.closed_since is not None, "closed_by": thing.closed_by, "closed_why": thing.closed_why}


def close(tx: Transaction, device_uuid: str, drink_no: str, by: str, why: str, now: datetime) -> bool:
    """Sell no more of it from this commit on; `drink_no` "" is the whole machine. False when it was closed already."""
    thing = lock(tx, device_uuid, drink_no)
    if thing.closed_since is not None:
        return False
    thing.closed_since, thing.closed_by, thing.closed_why = now, by[:128], why[:WORDS]
    _tell(tx, device_uuid, CLOSED_EVENT, drink_no, by, why, now)
    return True


def open_again(tx: Transaction, device_uuid: str, drink_no: str, by: str, now: datetime) -> bool:
    """Sell it again; what failed before counts no more. False when it was not closed."""
    thing = lock(tx, device_uuid, drink_no)
    thing.opened_at = now
    if thing.closed_since is None:
        return False
    thing.closed_since, thing.closed_by, thing.closed_why = None, "", ""
    _tell(tx, device_uuid, OPENED_EVENT, drink_no, by, "", now)
    return True


def poured_a_test_cup(tx: Transaction, device_uuid: str, drink_no: str, by: str, now: datetime) -> list[str]:
    """A good cup opens what the breaker closed, drink and machine; what a person closed only a person opens.

    What it has opened: the drink's number, and "" for the machine.
    """
    opened = []
    for name in (drink_no, ""):
        try:
            thing = lock(tx, device_uuid, name)
        except NoSuchThing:  # it was taken off the menu meanwhile
            continue
        if thing.closed_by == BREAKER and open_again(tx, device_uuid, name, by, now):
            opened.append(name)
    return opened


def _known(thing: Closable | None, name: str) -> Closable:
    if thing is None:
        raise NoSuchThing(f"there is no {name}")
    return thing


def _tell(tx: Transaction, device_uuid: str, what: str, drink_no: str, by: str, why: str, now: datetime) -> None:
    told = Event(
        message_id=f"cloud-{what}-{now.timestamp():.6f}-{drink_no}"[:255], at=now, what=what, words=why[:WORDS],
        evidence={"by": by[:128], "drink": drink_no[:128]},
    )  # fmt: skip
    machine_events.keep(tx, device_uuid, told, now)
    facts = {"device": device_uuid, "drink_no": drink_no, "by": by}
    tx.log_after_commit(log.warning, "%s: %s", what, why or "sold again", extra=facts)
