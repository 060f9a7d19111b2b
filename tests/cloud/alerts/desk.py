"""Alerts on a real database with simulated messengers: time moves by hand, each step is one look and one sending."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import select

from cloud.access import users
from cloud.access.acts import Role
from cloud.alerts import channel_settings, handling, people
from cloud.alerts.buttons import ButtonSeal
from cloud.alerts.channel_settings import ChannelTerms
from cloud.alerts.channels.http import Http
from cloud.alerts.channels.letters import Letters
from cloud.alerts.channels.max_messenger import MaxMessenger
from cloud.alerts.channels.sender import Address, Letter, Sender
from cloud.alerts.channels.sender import Sending as Outcome
from cloud.alerts.channels.signed_webhook import SignedWebhook
from cloud.alerts.channels.telegram import Telegram
from cloud.alerts.delivery import AlertSender
from cloud.alerts.models import Channel, Delivery, IncidentRow
from cloud.alerts.presses import MaxBot, Presses, TelegramBot
from cloud.alerts.watch import IncidentWatch
from cloud.background.loops import ThreadPool
from cloud.database.transaction import Transaction
from cloud.fleet import presence_history
from cloud.fleet.models import Device, DeviceLive
from simulator.messengers.chats import Message
from simulator.messengers.server import Messengers
from tests.cloud.worlds import SECRET_KEY, World

GROUP = "-100500"


@dataclass
class Desk:
    """A world, its messengers and the alerts between them."""

    world: World
    messengers: Messengers
    owner: str = "w1"
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    pool: ThreadPool = field(default_factory=lambda: ThreadPool("notify", 0))

    def __post_init__(self) -> None:
        clock, plain = self.world.clock, Http()
        bot = Telegram(self.messengers.token, self.messengers.address, plain)
        messenger = MaxMessenger(self.messengers.token, f"{self.messengers.address}/max", plain)
        self.senders: dict[str, Sender] = {
            "telegram": bot,
            "max": messenger,
            "email": Letters(self.messengers.mailbox.url, "alerts@example.org", clock),
            "webhook": SignedWebhook(plain, clock),
        }
        seal, console = ButtonSeal(SECRET_KEY), "https://coffee.example/console"
        self.watch = IncidentWatch(self.world.database, tuple, lambda: f"{next(self.ids):032x}")
        self.alert_sender = AlertSender(
            self.world.database,
            self.senders,
            self.world.vault,
            seal,
            console,
            self.owner,
            self.pool,
            clock,
        )
        self.presses = Presses(self.world.database, TelegramBot(bot), seal, self.owner)
        self.max_presses = Presses(self.world.database, MaxBot(messenger), seal, self.owner)

    def channel(self, kind: str = "telegram", address: str = GROUP, merchant: str = "north", **terms: object) -> str:
        """A new channel; its id."""
        wanted = ChannelTerms(kind, f"{kind} of ours", address, **terms)  # type: ignore[arg-type]
        return self.world.database.transact(
            channel_settings.add, merchant, wanted, self.world.vault, self.world.now
        )[0].id  # fmt: skip

    def write(self, channel_id: str, times: int = 1) -> None:
        """So many messages wait for a channel."""

        def work(tx: Transaction) -> None:
            channel = channel_settings.of_id(tx, channel_id)
            for number in range(times):
                channel_settings.once(tx, channel, "summary", f"Сводка {number}", "Всё хорошо.", self.world.now)

        self.world.database.transact(work)

    def pass_time(self, seconds: float, every: float = 30.0) -> None:
        """Look and send every few seconds, as the loops do, and at the end."""
        until = self.world.now + timedelta(seconds=seconds)
        while self.world.now < until:
            now = self.world.clock.advance(min(every, (until - self.world.now).total_seconds()))
            self.watch.step(now)
            self.alert_sender.step(now)

    def presence(self, device: str, *, online: bool) -> None:
        """A machine comes or goes."""

        def heard(tx: Transaction) -> None:
            live = tx.session.get_one(DeviceLive, device)
            live.online = online
            presence_history.note(tx, [live], self.world.now)

        self.world.database.transact(heard)

    def maintain(self, names: Iterable[str], hours: float) -> None:
        """Anna works on machines for so long."""

        def mute(tx: Transaction) -> None:
            for name in names:
                until = self.world.now + timedelta(hours=hours)
                handling.mute(tx, "north", name, until, "anna", "descaling", self.world.now)

        self.world.database.transact(mute)

    def machines(self, number: int) -> list[str]:
        """So many more machines, online."""
        names = [f"n-{each:03}" for each in range(number)]

        def build(tx: Transaction) -> None:
            for name in names:
                tx.session.add(Device(device_uuid=name, merchant_id="north", payment_scenario="Yookassa"))
            tx.session.flush()
            for name in names:
                tx.session.add(DeviceLive(device_uuid=name, online=True, session_id="s1"))

        self.world.database.transact(build)
        return names

    def messages(self, chat: str = GROUP) -> list[Message]:
        """What arrived in a chat."""
        return self.messengers.messages(chat)

    def incidents(self) -> list[tuple[str, str, str]]:
        """Kind, subject and state of each."""
        asked = select(IncidentRow.kind, IncidentRow.subject, IncidentRow.state).order_by(IncidentRow.kind)
        with self.world.database.read() as session:
            return [(kind, subject, state) for kind, subject, state in session.execute(asked)]

    def deliveries(self) -> list[str]:
        """How each attempt ended."""
        with self.world.database.read() as session:
            return list(session.scalars(select(Delivery.result).order_by(Delivery.id)))

    def broken(self, channel_id: str) -> tuple[datetime | None, str]:
        """Whether a channel is broken, and why."""
        with self.world.database.read() as session:
            channel = session.get_one(Channel, channel_id)
            return channel.broken_since, channel.broken_why


class Acting:
    """A channel that does what a test says."""

    def __init__(self, send: Callable[[Address, Letter], Outcome]) -> None:
        self.send = send

    def change(self, address: Address, ref: str, letter: Letter) -> Outcome:
        return self.send(address, letter)


@contextmanager
def a_desk(world: World) -> Iterator[Desk]:
    """Everything, for one test."""
    with Messengers() as messengers:
        yield Desk(world, messengers)


def annas_code(tx: Transaction, now: datetime) -> str:
    """What Anna of support, new among the users, writes to a bot to link herself."""
    user = users.add(tx, "anna@example.org", "Анна", now)
    users.give_role(tx, user.id, "north", Role.SUPPORT)
    return people.new_code(tx, "person", user.id, now)
