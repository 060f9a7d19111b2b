"""People of the merchant: who decides what nobody else may, and who has the day's books compared when all is done."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError

from cloud.database.transaction import Transaction
from cloud.fleet import closing
from cloud.fleet.apply import apply
from cloud.fleet.models import Drink
from cloud.orders import operator_actions
from cloud.orders.at_risk import unsettled
from cloud.orders.locked_order import UnknownOrder
from cloud.orders.making import NotPourable
from cloud.orders.operator_actions import NotReturnable, NotWaiting
from cloud.orders.pour_again import pour_again
from cloud.payments.reconcile.days import Day
from cloud.payments.reconcile.kinds import Kind
from cloud.payments.reconcile.models import FoundDifference, State
from cloud.payments.reconcile.reconciler import Reconciler
from tests.simulation import fleet
from tests.simulation.scheduler import NoAnswer, Process

if TYPE_CHECKING:
    from tests.simulation.cloud_process import CloudProcess
    from tests.simulation.world import World

LOOKS_S = (60.0, 400.0)
AT_REST = (State.EXPLAINED.value, State.CLOSED.value)
MOST_LOOKS = 3
ME = "operator@example.org"
CAPTURES, STATUS_CHECKS = ("on_dispense", "immediate"), ("polling", "webhook", "none")
PRICES = (15900, fleet.PRICE, 19900, None)
"""None: the drink is off the menu."""
_CLOSED = """
    SELECT device_uuid, '' FROM devices WHERE closed_since IS NOT NULL
    UNION ALL SELECT device_uuid, drink_no FROM drinks WHERE closed_since IS NOT NULL
"""


class Operator:
    """Comes round now and then: returns the money of orders that wait for a person, opens what closed by itself."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._process = Process("operator")
        self._random = Random(f"{world.seed}/operator")
        self.gave_back: set[str] = set()
        """Orders whose money a person wanted to go back."""
        self.kept: set[str] = set()
        """Orders whose money a person wanted to stay."""

    def begin(self) -> None:
        self._world.scheduler.spawn(self._process, self._work)

    def _work(self) -> None:
        while True:
            self._world.scheduler.sleep(self._random.uniform(*LOOKS_S))
            rows = self._world.disk.look.execute("SELECT id FROM orders WHERE waits_for_person ORDER BY id")
            for order_id in [row["id"] for row in rows]:
                self._give_back(order_id, "nobody knows")
            for device_uuid, drink_no in self._world.disk.look.execute(_CLOSED).fetchall():
                self._act(f"opens {device_uuid} {drink_no}", "", closing.open_again, device_uuid, drink_no, ME)

    def decide(self, random: Random) -> None:
        """Decide about some order, whatever it is doing, or close what made it: what may not be is refused."""
        world = self._world
        orders = world.disk.look.execute("SELECT id, device_uuid, drink_no FROM orders ORDER BY id").fetchall()
        if not orders:
            return
        order_id, device, drink_no = random.choice(orders)
        part, why = random.choice(("", drink_no)), "a wish"
        acts = [
            partial(self._give_back, order_id, why),
            partial(self._keep_if_poured, device, order_id, why),
            partial(self._act, "pours again", order_id, pour_again, order_id, ME, why, world.rules),
            partial(self._act, f"closes {device} {part}", "", closing.close, device, part, ME, why),
        ]
        world.scheduler.spawn(self._process, random.choice(acts))

    def change_price(self, random: Random) -> None:
        """Put another price on the menu, or take the drink off it."""
        device, price = random.choice(self._world.mix.devices), random.choice(PRICES)

        def change(tx: Transaction, _now: datetime) -> None:
            tx.session.get_one(Drink, (device, "americano")).price_medium = price

        words = f"changes the price at {device} to {price}"
        self._world.scheduler.spawn(self._process, lambda: self._act(words, "", change))

    def _give_back(self, order_id: str, why: str) -> None:
        self.gave_back.add(order_id)
        self._act("returns the money", order_id, operator_actions.give_back, order_id, None, ME, why)

    def _keep_if_poured(self, device: str, order_id: str, why: str) -> None:
        """Look into the machine, and say what is there."""
        if self._world.machine_of(device).full_cups(order_id) == 1:
            self.kept.add(order_id)
            self._act("keeps the money", order_id, operator_actions.keep_money, order_id, ME, why)

    def _act(self, words: str, order_id: str, work: Callable[..., object], *facts: object) -> None:
        web = self._world.a_web()
        if web is None:
            return
        self._world.timeline.add("operator", words, order_id)
        try:
            self._world.scheduler.ask(web.process, lambda: web.database.transact(work, *facts, web.clock()))
        except (NoAnswer, NotReturnable, NotWaiting, NotPourable, UnknownOrder, OperationalError) as error:
            self._world.timeline.add("operator", f"is told: {error}", order_id)


class Keeper:
    """Keeps the merchants' accounts: moves one to another shop and back, or rotates a key at the provider."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._process = Process("keeper")
        self._newest: dict[str, str] = {}
        """The account that each merchant's newest file names, once there is a newer one than the world began with."""

    @property
    def is_at_work(self) -> bool:
        """Whether our key may be the old one."""
        return bool(self._process.tasks)

    def move(self, merchant: str) -> None:
        """To the merchant's other shop, whatever is open at this one."""
        ours, others = fleet.accounts_of(merchant)
        self._begin(merchant, others if self._account(merchant) == ours else ours, 0.0)

    def rotate(self, merchant: str, after_s: float) -> None:
        """The provider's key; for so long ours is the old one."""
        account = self._account(merchant)
        if not self.is_at_work:
            self._world.provider.rotate(account)
            self._begin(merchant, account, after_s)

    def reconfigure(self, merchant: str, random: Random) -> None:
        """Take the merchant's money at another moment, and learn of it in another way."""
        capture, status_check = random.choice(CAPTURES), random.choice(STATUS_CHECKS)
        self._begin(merchant, self._account(merchant), 0.0, capture=capture, status_check=status_check)

    def apply_again(self) -> None:
        """Apply the newest files once more: the database may have forgotten them."""
        self._world.scheduler.spawn(self._process, self._apply_again)

    def _apply_again(self) -> None:
        """Also the account that was left: its key may be another than when the database was backed up."""
        for merchant, account in self._newest.items():
            ours, others = fleet.accounts_of(merchant)
            self._apply(merchant, others if account == ours else ours, 0.0)
            self._apply(merchant, account, 0.0)

    def _account(self, merchant: str) -> str:
        found = self._world.disk.look.execute("SELECT account_id FROM credentials WHERE merchant_id = ?", (merchant,))
        return str(found.fetchone()["account_id"])

    def _begin(self, merchant: str, account: str, after_s: float, **settings: str) -> None:
        if not self.is_at_work:
            self._newest[merchant] = account
            self._world.scheduler.spawn(self._process, lambda: self._apply(merchant, account, after_s, **settings))

    def _apply(self, merchant: str, account: str, after_s: float, **settings: str) -> None:
        world = self._world
        world.scheduler.sleep(after_s)
        text = fleet.account_file(merchant, account, world.provider.secret_of(account), **settings)
        while (web := world.a_web()) is None or not self._is_applied(web, text):
            world.scheduler.sleep(5.0)
        world.timeline.add("keeper", f"{merchant} uses shop {account}")

    def _is_applied(self, web: "CloudProcess", text: str) -> bool:
        def work() -> object:
            return apply(web.database, self._world.vault, text, {}, unsettled_at=unsettled)

        try:
            self._world.scheduler.ask(web.process, work)
        except (NoAnswer, OperationalError):
            return False
        return True


class Bookkeeper:
    """Has the provider's lists and our books compared, as the workers do each night: the net under what nobody told us.

    Brought forward to when all is at rest: a world that lives on till three at night tells nothing more.
    """

    def __init__(self, world: "World") -> None:
        self.is_done = False
        """The last comparison found nothing that nobody can explain."""
        self._world = world
        self._is_at_work = False
        self._looks = 0

    def compare(self) -> None:
        """Once more, unless it is going on. What the first look lets mend, the second must not find again."""
        web = self._world.a_web()
        if self._is_at_work or web is None:
            return
        self._is_at_work = True
        self._looks += 1
        self._world.timeline.add("bookkeeper", "compares the day's books")
        self._world.scheduler.spawn(web.process, lambda: self._look(web), at_end=self._rest)

    def _look(self, web: "CloudProcess") -> None:
        world, cloud = self._world, web.cloud
        reconciler = Reconciler(cloud.database, cloud.clients, cloud.clock, world.scheduler.sleep)
        day = Day.of(world.scheduler.true_time)
        open_ = []
        for key in reconciler.keys(day):
            report = reconciler.reconcile(key, day)
            unexplained = [one for one in report.findings if one.state not in AT_REST and not self._is_known(one)]
            open_ += [f"{one.kind} {one.order_id} {one.detail}" for one in unexplained]
        for words in open_:
            world.timeline.add("bookkeeper", f"finds: {words}")
        self.is_done = not open_
        if open_ and (self._looks >= MOST_LOOKS or not self._is_for_the_night()):
            world.promises.break_(4, f"the books do not agree: {'; '.join(open_)}")
            self.is_done = True

    def _is_known(self, one: FoundDifference) -> bool:
        """A person let the hold go while the drink was being made: the night says so, and there is nothing to mend."""
        payments = self._world.provider.payments_of(one.order_id)
        return one.kind == Kind.POURED_NOT_PAID and any(
            payment.released and payment.id in self._world.provider.by_hand_at for payment in payments
        )

    def _is_for_the_night(self) -> bool:
        """A person moved money past us, and the notification of it was lost, or the answer that it led to was older."""
        struck = {name.partition("#")[0] for name in self._world.faults.struck}
        is_unheard = bool({"webhook.lost", "provider.stale"} & struck)
        return is_unheard and any(name.startswith("storm.cabinet") for name in struck)

    def _rest(self) -> None:
        self._is_at_work = False
