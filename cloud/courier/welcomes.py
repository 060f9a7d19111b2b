"""Answers to hellos, many at once: the time, how to spread, rival sessions of a name, and what became of drinks.

An agent that has just connected may have lost what it was sent, and may know what we do not.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import partial

from msgspec import UNSET
from sqlalchemy import func, select

from cloud.background.loops import Clock
from cloud.courier.broker import BrokerLink, NotConnected
from cloud.courier.device_jobs import cups_waited_for
from cloud.database.database import Database
from cloud.fleet import device_condition, sessions
from cloud.fleet.models import Control, Device
from cloud.orders import carriers, making
from cloud.orders.locked_order import order_key
from cloud.orders.models import MakeCommand
from protocol.messages import GREETING, MAX_BATCH, Event, Message, Query, Welcome, encode
from protocol.topics import Channel, topic

TAKES = [str(Event.__struct_config__.tag)]
"""Kinds of reports that older clouds did not know; a device keeps them until it hears that they are taken."""
COUNTED_EVERY = timedelta(seconds=60)
QUICK_S, QUICK = 10.0, 100
"""Up to so many seconds, so many machines come back in each; of a larger fleet more, so that it does not take long."""
CROWDED, LONGEST_SPREAD_S = 250, 60.0
log = logging.getLogger("cloud.courier")

RECEIPT_EXPIRY_S = 60
"""An answer that finds nobody is not needed: the device repeats, and gets another."""


def spread_s(machines: int) -> float:
    """Over how many seconds a fleet does what all of it would do at once."""
    return round(min(max(min(machines / QUICK, QUICK_S), machines / CROWDED), LONGEST_SPREAD_S), 1)


def tell(link: BrokerLink, device_uuid: str, message: Message, channel: Channel = Channel.RECEIPT) -> None:
    """Answer a device, if it can be reached: it will ask again."""
    try:
        link.publish(topic(device_uuid, channel), encode(message), RECEIPT_EXPIRY_S)
    except NotConnected:
        log.info("not told, the device will ask again", extra={"device": device_uuid})


class Welcomes:
    """One per process; answers over `link`."""

    def __init__(self, database: Database, link: BrokerLink, clock: Clock) -> None:
        self._database = database
        self._link = link
        self._clock = clock
        self._spread_s = 0.0
        self._counted_at: datetime | None = None

    @property
    def can_be_told(self) -> bool:
        """There is a connection to tell devices over."""
        return self._link.connected

    def answer(self, hellos: Sequence[tuple[str, str]], present: Collection[str]) -> None:
        """Each is a device and the id of its hello; those that said it just now are `present`."""
        if not hellos:
            return
        now, devices = self._clock(), {device for device, _ in hellos}
        with self._database.read() as session:
            rivals = sessions.rivals(session, devices)
            unheard_of = carriers.unheard_of(session, devices, now, MAX_BATCH * len(devices))
            drinks = carriers.waited_for(session, devices, now)
            cups = cups_waited_for(session, devices, now)
            unseen = device_condition.long_unseen(session, present, now)
        if unseen:
            self._database.transact(device_condition.note_seen, unseen, now)
        for device, hello_id in hellos:
            theirs = [*drinks.get(device, []), *cups.get(device, [])][-MAX_BATCH:]
            self._welcome(device, hello_id, rivals.get(device, ""), self._spread_of_fleet(now), theirs)
        self._find_out(unheard_of, now)

    def greet(self, device_uuids: Collection[str], *, all_at_once: bool) -> None:
        """Have them say hello: theirs may have found nobody. `all_at_once`: the whole fleet hears it now."""
        now = self._clock()
        for device in device_uuids:
            self._welcome(device, GREETING, "", self._spread_of_fleet(now) if all_at_once else None)

    def _welcome(
        self, device_uuid: str, hello_id: str, rival: str, spread: float | None, waited_for: list[str] | None = None
    ) -> None:
        said = Welcome(
            hello_id=hello_id, cloud_time=self._clock(), takes=TAKES, rival_session=rival or UNSET,
            spread_s=UNSET if spread is None else spread, waited_for=UNSET if waited_for is None else waited_for,
        )  # fmt: skip
        tell(self._link, device_uuid, said)

    def _find_out(self, commands: Sequence[MakeCommand], now: datetime) -> None:
        """What can still be begun is sent again, for a question would have it refused; the rest is asked about."""
        asked: dict[str, list[MakeCommand]] = defaultdict(list)
        for command in commands:
            if making.is_undelivered(command, now):
                again = partial(making.send_again, order_id=command.order_id, command_id=command.id, now=now)
                self._database.transact(again, key=order_key(command.order_id))
            else:
                asked[command.device_uuid].append(command)
        for device, theirs in asked.items():
            question = Query(commands=[making.asked_about(one) for one in theirs[:MAX_BATCH]])
            tell(self._link, device, question, Channel.COMMAND)
            log.info("asked what became of %d commands", len(question.commands), extra={"device": device})

    def _spread_of_fleet(self, now: datetime) -> float:
        if self._counted_at is None or not self._counted_at <= now < self._counted_at + COUNTED_EVERY:
            with self._database.read() as session:
                machines = session.scalar(
                    select(func.count()).select_from(Device).where(Device.control == Control.AGENT.value)
                )
            self._spread_s, self._counted_at = spread_s(machines or 0), now
        return self._spread_s
