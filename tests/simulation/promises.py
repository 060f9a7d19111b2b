"""The ten promises as checks: at each commit, when a drink begins, and of every order at the end of the world.

Told by who cannot be wrong: the machine's own cups, the provider's own books. Numbers are those of docs/promises.md.
"""

import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from cloud.orders.at_risk import each_at_risk
from cloud.orders.pour_again import FREE
from cloud.orders.states import FINAL, Event, Status, next_state
from protocol.reasons import Result
from tests.simulation.fleet import A_PART, accounts_of
from tests.simulation.mixes import FORGETFUL_BROKER
from tests.simulation.waits import CLOCK_SLACK_S, Waits

if TYPE_CHECKING:
    from simulator.yookassa.state import Payment
    from tests.simulation.world import World

SEEN_WITHIN_S = 5.0
"""By then a payment is seen whose notification came, where nothing hinders: however many pages are open."""
HINDERS = frozenset(
    {"cloud crashes", "provider", "webhooks", "disks", "accounts", "clocks", "outages", "years", "set back"}
    | {"slow provider", "pauses", "database outages", "people", "restores"}
)
"""Families that may delay news, or the question they lead to."""
HEARD_WITHIN_S = 60.0
"""By then we know of money that a person gave back past us."""
ON_ITS_WAY_S = 1.0
"""A command that was being sent when we heard of that is not stopped."""
_SIGN = {"captured": 1, "refunded": -1}
_LEDGER = "sum(CASE kind WHEN 'captured' THEN amount WHEN 'refunded' THEN -amount ELSE 0 END)"
_NEVER = {
    (1, "two make commands live at once"):
        "SELECT order_id FROM make_commands WHERE live GROUP BY order_id HAVING count(*) > 1",
    (4, "our ledger has more, or less, than the price or nothing, and no parts given back explain it"):
        f"SELECT order_id FROM movements JOIN orders ON orders.id = order_id GROUP BY payment_id HAVING {_LEDGER} "
        f"NOT IN (0, price) AND ({_LEDGER} - price) % {A_PART} <> 0",
    (6, "successful before the machine, or a person who saw the cup, said done"):
        "SELECT id FROM orders WHERE status = 'successful' AND NOT EXISTS "
        "(SELECT 1 FROM make_commands WHERE order_id = orders.id AND result = 'done') AND NOT EXISTS "
        "(SELECT 1 FROM order_changes WHERE order_id = orders.id AND event = 'seen_poured')",
}  # fmt: skip
"""What no commit may leave behind, and the orders it would be true of."""
_UNPAID = """
SELECT orders.id FROM orders JOIN payments ON payments.order_id = orders.id WHERE orders.paid_at IS NOT NULL
GROUP BY orders.id HAVING sum(payments.state = 'held' OR payments.captured > payments.refunded) = 0
"""
_RETURNS_TAKEN = """
SELECT provider_payment_id FROM outbox JOIN payments ON payments.id = subject
WHERE task IN ('cancel', 'refund') AND attempts > undone
"""
_SURE_OF_NOTHING = """
SELECT id, reason FROM orders WHERE status = 'make_failed' AND NOT uncertain
AND (reason LIKE 'rejected:%' OR reason = 'expired' OR reason LIKE 'failed:never_%')
"""
_DONE = "SELECT order_id FROM make_commands WHERE result = 'done'"
_COMMANDS = "SELECT id, order_id, issued_at, deadline_at FROM make_commands"
_NEVER_ANY = " UNION ALL ".join(f"SELECT {number}, '{what}', * FROM ({sql})" for (number, what), sql in _NEVER.items())
_NOBODY_HEARD = frozenset({"no_ack", "not_sent", "rejected:never_received"})
"""Reasons no order may end with where nothing worse happens than that a broker forgets."""
_CERTAINLY_NOTHING = ("rejected:", "expired", "failed:never_")


@dataclass(frozen=True)
class Broken:
    """One promise that did not hold. `number` 0: not one of the ten, and yet never right."""

    number: int
    what: str
    order_id: str = ""

    def __str__(self) -> str:
        return f"promise {self.number} broken: {self.what}" + (f" [{self.order_id}]" if self.order_id else "")


class Promises:
    """Collects what is broken; each is told once."""

    def __init__(self, world: "World") -> None:
        self.broken: list[Broken] = []
        self.waits = Waits(world)
        self._world = world
        self._begun: dict[str, int] = {}
        self._commands_seen: set[str] = set()
        self._commanded: dict[str, tuple[float, float]] = {}
        """Of each order's newest command: when it was given and when it ended, true seconds, whatever its dates say."""
        self._unpaid_since: dict[str, float] = {}
        """Orders with money that is all back by our own books, since when."""
        self._returns_taken: set[str] = set()
        """Payments whose return somebody had taken in hand at the last commit: who died of it may have sent it."""
        self._forgotten_done: set[str] = set()
        """Orders whose machine's "done" we had heard, before our books were put back."""
        self._poured_before_a_return: dict[str, bool] = {}
        """Orders that became successful: whether we had not asked for any of their money to go back by then."""

    def break_(self, number: int, what: str, order_id: str = "") -> None:
        told = Broken(number, what, order_id)
        if told not in self.broken:
            self.broken.append(told)
            self._world.timeline.add("PROMISE", str(told), order_id)

    def books_go_back(self) -> None:
        """What our own books say is forgotten in a moment: a backup is put in their place."""
        self._forgotten_done |= {row[0] for row in self._world.disk.look.execute(_DONE)}
        self._unpaid_since.clear()
        self._returns_taken.clear()

    # While the world lives

    def committed(self) -> None:
        """After each commit of the cloud: what may not be true for a moment."""
        for number, what, order_id in self._world.disk.look.execute(_NEVER_ANY):
            self.break_(number, what, order_id)
        self.waits.committed()
        self._see_new_commands()
        self._see_successful()
        if self._world.provider.by_hand_at:
            for (order_id,) in self._world.disk.look.execute(_UNPAID):
                self._unpaid_since.setdefault(order_id, self._world.scheduler.now)
        if self._begun and not self._world.machine_may_lie:
            for order_id, reason in self._world.disk.look.execute(_SURE_OF_NOTHING):
                if order_id in self._begun and not self._world.nobody_remembers(order_id):
                    self.break_(6, f"{reason} for certain, and its drink had begun", order_id)

    def _see_new_commands(self) -> None:
        now = self._world.scheduler.now
        for row in self._world.disk.look.execute(_COMMANDS).fetchall():
            if row["id"] in self._commands_seen:
                continue
            life = datetime.fromisoformat(row["deadline_at"]) - datetime.fromisoformat(row["issued_at"])
            self._commanded[row["order_id"]] = now, now + life.total_seconds()
            self._commands_seen.add(row["id"])

    def _see_successful(self) -> None:
        provider = self._world.provider
        for (order_id,) in self._world.disk.look.execute("SELECT id FROM orders WHERE status = 'successful'"):
            if order_id not in self._poured_before_a_return:
                ours = {payment.id for payment in provider.payments_of(order_id)}
                self._poured_before_a_return[order_id] = not ours & (provider.asked_back | self._returns_taken)
        self._returns_taken = {row[0] for row in self._world.disk.look.execute(_RETURNS_TAKEN)}

    def message_goes_out(self, payload: bytes) -> None:
        """Somebody gives the broker a message."""
        if not self._unpaid_since:
            return
        told = json.loads(payload)
        since = self._unpaid_since.get(told.get("order_id", ""), self._world.scheduler.now)
        late = self._world.scheduler.now - since
        if told.get("kind") == "make" and late > ON_ITS_WAY_S:
            self.break_(5, f"a command goes out {late:.0f} s after we knew that its money is back", told["order_id"])

    def drink_begins(self, device: str, order_id: str) -> None:
        """The machine starts to move."""
        self._begun[order_id] = self._begun.get(order_id, 0) + 1
        if self._begun[order_id] > 1 and not self._world.nobody_remembers(order_id):
            self.break_(1, f"a drink of this order begins for the {self._begun[order_id]}. time", order_id)
        self._check_deadline(order_id)
        payments = self._world.provider.payments_of(order_id)
        is_there = self._is_free(order_id) or any(
            payment.held or payment.captured - payment.refunded - self._going(payment) for payment in payments
        )
        if not is_there and not self._taken_back_after_the_command(order_id, payments):
            self.break_(5, "a drink begins and no money is there", order_id)

    def _is_free(self, order_id: str) -> bool:
        """Whether a person had it poured once more."""
        found = self._world.disk.look.execute("SELECT opened_by FROM orders WHERE id = ?", (order_id,)).fetchone()
        return found is not None and found["opened_by"] == FREE

    def _going(self, payment: "Payment") -> int:
        """Kopecks on their way back by our own doing; the provider's word on a payment has only what has arrived."""
        return 0 if payment.id in self._world.provider.by_hand_at else payment.refunding

    def _taken_back_after_the_command(self, order_id: str, payments: "list[Payment]") -> bool:
        """A person of the shop gave it back while the command was on its way: nobody can win that race."""
        world = self._world
        issued, _ = self._commanded.get(order_id, (world.scheduler.now, 0.0))
        since_command = world.scheduler.now - issued
        by_hand = [at for payment in payments if (at := world.provider.by_hand_at.get(payment.id)) is not None]
        return any(world.scheduler.now - at < since_command + HEARD_WITHIN_S for at in by_hand)

    def _check_deadline(self, order_id: str) -> None:
        world = self._world
        if order_id not in self._commanded:
            self.break_(5, "a drink begins and no command was given", order_id)
            return
        _, deadline = self._commanded[order_id]
        slack = CLOCK_SLACK_S + 2 * world.mix.cloud_skew
        late = world.scheduler.now - deadline
        if late > slack:
            self.break_(2, f"a drink begins {late:.1f} s after its deadline", order_id)

    # At the end

    def check_all(self) -> None:
        """Every order, every book."""
        for order in self._world.disk.look.execute("SELECT * FROM orders ORDER BY id").fetchall():
            self._check_order(order)
        self._check_rest()

    def _check_order(self, order: sqlite3.Row) -> None:
        order_id = order["id"]
        world = self._world
        look = world.disk.look
        payments = world.provider.payments_of(order_id)
        machine = world.machine_of(order["device_uuid"])
        full, touched = machine.full_cups(order_id), machine.touched_cups(order_id)
        kept = sum(payment.captured - payment.refunded for payment in payments)
        good = order["status"] == Status.SUCCESSFUL
        if touched > 1 and not world.nobody_remembers(order_id):
            self.break_(1, f"{touched} cups of one order", order_id)
        if order["status"] not in {status.value for status in FINAL}:
            self.break_(3, f"still {order['status']}", order_id)
        if order["due_at"] or order["return_after"] or order["waits_for_person"]:
            self.break_(3, f"{order['status']} and still waiting", order_id)
        if any(payment.held or payment.refunding for payment in payments):
            self.break_(3, "money is still held or on its way", order_id)
        self._check_money(order, payments, kept)
        if good != (full == 1):
            self._check_truth(order, full)
        certain = order["reason"].startswith(_CERTAINLY_NOTHING) and not order["uncertain"]
        is_known = not world.machine_may_lie and not world.nobody_remembers(order_id)
        if order["status"] == Status.MAKE_FAILED and certain and touched and is_known:
            self.break_(6, f"make_failed for {order['reason']}, and something was poured", order_id)
        if order["reason"] in _NOBODY_HEARD and world.mix.families == (FORGETFUL_BROKER,):
            self.break_(0, f"{order['reason']}, and all that happened is that a broker forgot", order_id)
        self._check_history(order)
        live = look.execute("SELECT count(*) FROM make_commands WHERE order_id = ? AND live", (order_id,)).fetchone()
        if live[0]:
            self.break_(3, "a make command is still live", order_id)

    def _check_money(self, order: sqlite3.Row, payments: "list[Payment]", kept: int) -> None:
        order_id, price = order["id"], order["price"]
        wanted = price if order["status"] == Status.SUCCESSFUL and not order["goodwill"] else 0
        parts = sum(part.amount for payment in payments for part in self._world.provider.parts_by_hand(payment.id))
        if kept != wanted and not (parts and kept in {0, price - parts}):
            self.break_(4, f"{order['status']}: the merchant keeps {kept}, should keep {wanted}", order_id)
        if order["goodwill"] and not self._may_be_goodwill(order_id, payments):
            self.break_(4, "goodwill, and nobody had asked for the money of a poured drink to go back", order_id)
        rows = self._world.disk.look.execute("SELECT kind, amount FROM movements WHERE order_id = ?", (order_id,))
        ledger = sum(_SIGN.get(row["kind"], 0) * row["amount"] for row in rows)
        if ledger != kept:
            self.break_(4, f"the ledger says {ledger}, the provider keeps {kept}", order_id)
        if kept and order["status"] in {Status.FAILED, Status.NOT_PAID}:
            self.break_(7, f"{order['status']}, and the money of late news is kept", order_id)
        self._check_seen_in_time(order_id)
        for payment in payments:
            self._check_heard(payment, order_id)
            provider = self._world.provider
            refunds = len(provider.refunds_of(payment.id)) - len(provider.parts_by_hand(payment.id))
            returns = refunds + (1 if payment.released else 0)
            if returns > 1:
                self.break_(4, f"returned {returns} times", order_id)
            if payment.shop_id not in accounts_of(order["merchant_id"]):
                self.break_(9, f"paid at the shop {payment.shop_id}", order_id)

    def _may_be_goodwill(self, order_id: str, payments: "list[Payment]") -> bool:
        """The return went out before anybody knew of the drink, or a person gave the money back."""
        provider = self._world.provider
        by_hand = any(one.id in provider.by_hand_at or provider.parts_by_hand(one.id) for one in payments)
        return (
            by_hand
            or order_id in self._world.operator.gave_back
            or not self._poured_before_a_return.get(order_id, True)
        )

    def _check_seen_in_time(self, order_id: str) -> None:
        paid_at = self._world.paid_at.get(order_id)
        if paid_at is None or HINDERS & set(self._world.mix.families):
            return
        seen = "SELECT min(paid_at) AS at FROM payments WHERE order_id = ?"
        seen_at = self._world.disk.look.execute(seen, (order_id,)).fetchone()["at"]
        if seen_at is not None:
            late = (datetime.fromisoformat(seen_at).replace(tzinfo=UTC) - paid_at).total_seconds()
            if late > SEEN_WITHIN_S:
                self.break_(3, f"paid, and seen only {late:.1f} s later", order_id)

    def _check_heard(self, payment: "Payment", order_id: str) -> None:
        """What ever came to the provider came into our books, however late its news was."""
        ours = self._world.disk.look.execute(
            "SELECT state FROM payments WHERE provider_payment_id = ?", (payment.id,)
        ).fetchone()
        state = "" if ours is None else ours["state"]
        if payment.captured and state != "captured":
            self.break_(7, f"money came, and our books call its payment {state or 'unknown'}", order_id)
        elif payment.authorized and not payment.captured and state != "canceled":
            self.break_(7, f"a hold was let go, and our books call its payment {state or 'unknown'}", order_id)

    def _check_truth(self, order: sqlite3.Row, full: int) -> None:
        """The order says otherwise than the cup: only right where nobody could know better."""
        order_id, world = order["id"], self._world
        agent = world.agent_of(order["device_uuid"])
        verdicts = [row.verdict for row in agent.journal.of_order(order_id) if row.verdict is not None]
        knew = any(verdict.result is Result.DONE for verdict in verdicts)
        if order["status"] == Status.SUCCESSFUL:
            is_journal_whole = agent.folder_exchanged_at is None  # else the word may have gone with the folder
            if not knew and is_journal_whole:
                self.break_(6, "successful without the machine's word", order_id)
            elif not world.machine_may_lie:
                in_between = world.machine_of(order["device_uuid"]).service_runs
                words = ", after free, test or cleaning runs" if in_between else ""
                self.break_(10 if in_between else 6, f"successful, and the cup is not full{words}", order_id)
        elif self._need_not_be_asked(order_id):
            return
        elif knew:
            self.break_(8, f"poured, the agent knows it, and the order is {order['status']}", order_id)
        elif not order["uncertain"] and not world.machine_may_lie and not world.nobody_remembers(order_id):
            self.break_(6, f"a full cup, and the order is {order['status']} ({order['reason']}) for certain", order_id)

    def _need_not_be_asked(self, order_id: str) -> bool:
        """A restore forgot the machine's "done", which it tells once, and of the money a person has decided."""
        world = self._world
        by_hand = any(one.id in world.provider.by_hand_at for one in world.provider.payments_of(order_id))
        return order_id in self._forgotten_done and (by_hand or order_id in world.operator.kept)

    def _check_history(self, order: sqlite3.Row) -> None:
        rows = self._world.disk.look.execute(
            "SELECT status_before, status_after, event FROM order_changes WHERE order_id = ? ORDER BY id",
            (order["id"],),
        ).fetchall()
        if any(before["status_after"] != after["status_before"] for before, after in pairwise(rows)):
            self.break_(3, "the history has a gap", order["id"])
        if not rows or rows[-1]["status_after"] != order["status"]:
            self.break_(3, "the history does not end where the order is", order["id"])
        for row in rows:
            if row["status_before"] not in {"", row["status_after"]}:
                wanted = next_state(Status(row["status_before"]), Event(row["event"]))
                if wanted != row["status_after"]:
                    self.break_(3, f"{row['status_before']} → {row['status_after']} by {row['event']}", order["id"])

    def _check_rest(self) -> None:
        world, look = self._world, self._world.disk.look
        with world.look_closely() as session:
            for money in each_at_risk(session, world.scheduler.true_time):
                self.break_(3, f"{money.kopecks} kopecks at risk, next: {money.action}", money.order_id)
        for row in look.execute("SELECT * FROM outbox WHERE settled_at IS NULL AND lane = 'provider'"):
            self.break_(3, f"{row['task']} is still promised: {row['last_error']}", row["order_id"])
        for row in look.execute("SELECT * FROM outbox WHERE verdict = 'lost'"):
            self.break_(3, f"{row['task']}: its outcome was never learnt", row["order_id"])
        known = {row["id"] for row in look.execute("SELECT id FROM orders")}
        for payment in world.provider.payments():
            if (payment.authorized or payment.captured) and payment.request.metadata.get("order_id") not in known:
                self.break_(7, f"money of an order nobody knows: {payment.id}")
        for agent in world.agents:
            self._check_books_agree(agent.device)

    def _check_books_agree(self, device: str) -> None:
        """What the agent finally knows of a command, the cloud knows, too."""
        world = self._world
        agent = world.agent_of(device)
        for row in world.disk.look.execute("SELECT * FROM make_commands WHERE device_uuid = ?", (device,)).fetchall():
            command = agent.journal.get(row["id"])
            if command is None or command.verdict is None:
                continue
            if row["result"] is None and self._need_not_be_asked(row["order_id"]):
                continue
            said = command.verdict.result.value
            is_its_own = agent.folder_exchanged_at is None or said == Result.DONE
            if row["result"] != said and is_its_own:
                self.break_(8, f"the agent's last word is {said}, the cloud's {row['result']}", row["order_id"])
            evidence = json.loads(row["evidence"] or "null")
            if evidence is None:
                self.break_(8, "an outcome without its evidence", row["order_id"])
