"""The provider itself: one lock around books, keys and clock; every act of a shop or a buyer goes through here.

Does no I/O. News is handed to `tell` in the order it happened, under the lock; `ring` says something new is due.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from simulator.shell.clock import Clock
from simulator.shell.ids import IdSource
from simulator.yookassa import problems
from simulator.yookassa.behaviour import Behaviour
from simulator.yookassa.books import Books, Event, Line
from simulator.yookassa.fiscal import (
    FiscalReceipt,
    SeparateReceipts,
    carried_by_payments,
    carried_by_refunds,
    check_separate,
    subject_of,
)
from simulator.yookassa.idempotence import IdempotenceTable, KeyDuplicated, KeyEmpty, KeyTooLong
from simulator.yookassa.instruments import CARDS, METHODS, PAYING_CARDS, Cancellation, Instrument
from simulator.yookassa.listing import Page, page_of_payments, page_of_receipts, page_of_refunds
from simulator.yookassa.past import PastPayment, replay
from simulator.yookassa.problems import KEY_PROBLEMS, REFUSALS, Rejected
from simulator.yookassa.refunds import REFUND_FAILURES, Refund, RefundRequest, due_at
from simulator.yookassa.shops import Shop, ShopTable
from simulator.yookassa.state import Payment, Refused, Status
from simulator.yookassa.validation import (
    capture_request,
    check_refund_receipt,
    parse_body,
    payment_request,
    refund_request,
)


@dataclass(frozen=True, slots=True)
class Call:
    """One POST of a shop: its key, and all of it that must be the same when the key is."""

    shop: Shop
    key: str
    path: str
    body: bytes


class Provider:
    """Thread-safe. Its methods raise Rejected with the answer the caller is to get."""

    def __init__(
        self,
        shops: ShopTable,
        books: Books,
        clock: Clock,
        ids: IdSource,
        tell: Callable[[Event, datetime], None],
        ring: Callable[[], None],
    ) -> None:
        self.ids = ids
        self._shops = shops
        self._books = books
        self._behaviour = Behaviour()
        self._keys = IdempotenceTable(books.terms.key_memory)
        self._receipts = SeparateReceipts()
        self._clock = clock
        self._tell = tell
        self._ring = ring
        self._lock = threading.Lock()

    def settle(self) -> datetime | None:
        """Let everything due happen; tell when the next thing is due."""
        with self._opened():
            return self._books.next_due

    @property
    def behaviour(self) -> Behaviour:
        return self._behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        with self._lock:
            self._behaviour = behaviour
            self._books.receipt_outcome = behaviour.receipt_outcome

    def create(self, call: Call) -> Payment:
        def act(now: datetime) -> str:
            request = payment_request(parse_body(call.body), call.shop)
            return self._books.open_payment(self.ids.payment(now), call.shop.id, request, now).id

        with self._opened() as now:
            return self._payment(call.shop, self._once(call, now, act))

    def capture(self, call: Call, payment_id: str) -> Payment:
        def act(now: datetime) -> str:
            payment = self._payment(call.shop, payment_id)
            amount, receipt = capture_request(parse_body(call.body), call.shop, payment.amount)
            return self._books.capture(payment, amount, now, receipt).id

        with self._opened() as now:
            return self._payment(call.shop, self._once(call, now, act))

    def cancel(self, call: Call, payment_id: str) -> Payment:
        def act(now: datetime) -> str:
            parse_body(call.body)
            return self._books.cancel(self._payment(call.shop, payment_id), now).id

        with self._opened() as now:
            return self._payment(call.shop, self._once(call, now, act))

    def refund(self, call: Call) -> Refund:
        def act(now: datetime) -> str:
            body = parse_body(call.body)
            request = refund_request(body)
            payment = self._payment(call.shop, request.payment_id)
            check_refund_receipt(body, call.shop, request.amount, payment.captured)
            return self._open_refund(payment, request, now).id

        with self._opened() as now:
            return self._refund(call.shop, self._once(call, now, act))

    def create_receipt(self, call: Call) -> FiscalReceipt:
        def act(now: datetime) -> str:
            body = parse_body(call.body)
            kind, subject_id = subject_of(body)
            find = self._payment if kind == "payment" else self._refund
            find(call.shop, subject_id)
            check_separate(body, call.shop)
            made = FiscalReceipt(
                id=self.ids.receipt(),
                shop_id=call.shop.id,
                kind=kind,
                subject_id=subject_id,
                status=Status.SUCCEEDED,
                created_at=now,
                said=body,
            )
            return self._receipts.add(made).id

        with self._opened() as now:
            receipt = self._receipts.get(self._once(call, now, act))
            if receipt is None:
                raise self._unknown("receipt")
            return receipt

    def get_payment(self, shop: Shop, payment_id: str) -> Payment:
        with self._opened():
            return self._payment(shop, payment_id)

    def get_refund(self, shop: Shop, refund_id: str) -> Refund:
        with self._opened():
            return self._refund(shop, refund_id)

    def list_payments(self, shop: Shop, query: Mapping[str, str]) -> Page[Payment]:
        with self._opened():
            mine = (payment for payment in self._books.newest_payments() if payment.shop_id == shop.id)
            return page_of_payments(mine, query)

    def list_refunds(self, shop: Shop, query: Mapping[str, str]) -> Page[Refund]:
        with self._opened():
            mine = (refund for refund in self._books.newest_refunds() if refund.shop_id == shop.id)
            return page_of_refunds(mine, query)

    def list_receipts(self, shop: Shop, query: Mapping[str, str]) -> Page[FiscalReceipt]:
        with self._opened():
            mine = (receipt for receipt in self._newest_receipts() if receipt.shop_id == shop.id)
            return page_of_receipts(mine, query)

    def remember(self, past: Iterable[PastPayment]) -> None:
        """Have in the books what happened before, oldest first; nobody is told of it."""
        with self._opened():
            for payment in past:
                replay(self._books, payment)
            self._books.take_news()

    def find(self, payment_id: str) -> Payment:
        """Any shop's payment, for its buyer and for the control API."""
        with self._opened():
            return self._anyones(payment_id)

    def attempt(self, payment_id: str, method: str, pan: str = "") -> Payment:
        """The buyer pays by `method`, with a published test card when it is `bank_card`; the bank may decline."""
        with self._opened() as now:
            payment = self._anyones(payment_id)
            if method not in self._shops[payment.shop_id].methods:
                raise Rejected(problems.invalid_value("method"))
            instrument = self._instrument(method, pan)
            if instrument.card is not None and instrument.card.decline is not None:
                return self._books.decline(
                    payment,
                    instrument,
                    instrument.card.decline,
                    now,
                    final=not self._behaviour.declined_keeps_pending,
                )
            return self._books.pay(payment, self._with_references(instrument), now)

    def refund_in_cabinet(self, payment_id: str, amount: int | None, description: str | None) -> Refund:
        """A person of the shop refunds by hand, past the API; None is all that is left."""
        with self._opened() as now:
            payment = self._anyones(payment_id)
            wanted = payment.refundable if amount is None else amount
            return self._open_refund(
                payment, RefundRequest(payment_id=payment_id, amount=wanted, description=description), now
            )

    def snapshot(self) -> tuple[list[tuple[Payment, list[Line]]], list[Refund], int]:
        """All payments with their histories and all refunds, oldest first, and how many were forgotten."""
        with self._opened():
            payments = [(payment, self._books.history(payment.id)) for payment in self._books.newest_payments()]
            return payments[::-1], list(self._books.newest_refunds())[::-1], self._books.forgotten

    @contextmanager
    def _opened(self) -> Iterator[datetime]:
        with self._lock:
            # Whole milliseconds, as shown: a filter by a time read from an object must find that object.
            now = self._clock()
            now = now.replace(microsecond=now.microsecond // 1000 * 1000)
            self._books.settle(now)
            due = self._books.next_due
            try:
                yield now
            except Refused as refused:
                raise Rejected(REFUSALS[refused.refusal]) from None
            except (KeyEmpty, KeyTooLong, KeyDuplicated) as error:
                raise Rejected(KEY_PROBLEMS[type(error)]) from None
            finally:
                for event in self._books.take_news():
                    self._tell(event, now)
                if self._books.next_due != due:
                    self._ring()

    def _once(self, call: Call, now: datetime, act: Callable[[datetime], str]) -> str:
        """The id `act` returns, or the one it returned when this call was made before."""
        request = call.path.encode() + b"\n" + call.body
        made = self._keys.recall(call.shop.id, call.key, request, now)
        if made is None:
            made = act(now)
            self._keys.remember(call.shop.id, call.key, made)
        return made

    def _newest_receipts(self) -> list[FiscalReceipt]:
        refunds = ((refund, self._books.payment(refund.payment_id)) for refund in self._books.newest_refunds())
        carried = [*carried_by_refunds(refunds), *carried_by_payments(self._books.newest_payments())]
        receipts = [*self._receipts.newest(), *carried]
        return sorted(receipts, key=lambda receipt: receipt.created_at, reverse=True)

    def _open_refund(self, payment: Payment, request: RefundRequest, now: datetime) -> Refund:
        method = METHODS[payment.instrument.method if payment.instrument else "bank_card"]
        delay, failure = self._behaviour.refund_delay, self._behaviour.refund_failure
        refund = Refund(
            id=self.ids.refund(now),
            shop_id=payment.shop_id,
            request=request,
            method=method.type,
            created_at=now,
            due_at=due_at(
                now, None if delay is None else timedelta(seconds=delay), method.refund_at_once, self._books.terms
            ),
            verdict=Cancellation(REFUND_FAILURES[failure], failure) if failure else None,
            rrn=self.ids.digits(12),
            sbp_operation_id=self.ids.sbp_operation(),
        )
        return self._books.open_refund(refund, now)

    def _instrument(self, method: str, pan: str) -> Instrument:
        if method != "bank_card":
            return Instrument(method)
        card = CARDS.get(pan or PAYING_CARDS[0].pan)
        if card is None:
            raise Rejected(problems.invalid_value("card"))
        return Instrument(method, card)

    def _with_references(self, instrument: Instrument) -> Instrument:
        if instrument.method == "sbp":
            return Instrument("sbp", sbp_operation_id=self.ids.sbp_operation())
        if instrument.method == "yoo_money":
            return instrument
        return Instrument(instrument.method, instrument.card, rrn=self.ids.digits(12), auth_code=self.ids.digits(6))

    def _payment(self, shop: Shop, payment_id: str) -> Payment:
        payment = self._books.payment(payment_id)
        if payment is None or payment.shop_id != shop.id:
            raise self._unknown("payment")
        return payment

    def _refund(self, shop: Shop, refund_id: str) -> Refund:
        refund = self._books.refund(refund_id)
        if refund is None or refund.shop_id != shop.id:
            raise self._unknown("refund")
        return refund

    def _anyones(self, payment_id: str) -> Payment:
        payment = self._books.payment(payment_id)
        if payment is None:
            raise self._unknown("payment")
        return payment

    def _unknown(self, kind: str) -> Rejected:
        return Rejected(problems.unknown_object(kind, as_404=self._behaviour.unknown_id_as_404))
