"""One look at one day of one shop: the provider's lists against our ledger, both ways. Finds; mends and stores nothing.

A difference is believed only after a second look at both sides: the first two were not taken at the same moment.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cloud.database.database import Database
from cloud.orders import archive
from cloud.orders.commissions import told_of
from cloud.orders.models import Payment
from cloud.payments.facts import Page, PaymentFacts, RefundFacts, RefundStatus, ShopFacts, Unread
from cloud.payments.outcomes import NotOurs, Ok, Outcome, Rejected
from cloud.payments.provider import Provider
from cloud.payments.reconcile import ledger_view
from cloud.payments.reconcile.asking import Asking, HasNoList, NoAnswer
from cloud.payments.reconcile.compare import (
    OUR_MARKS,
    by_refund,
    compare_payment,
    compare_refund,
    is_of_returns,
    missing_there,
    money_of,
    refund_only_here,
    unmatched_payment,
    unreadable_entry,
)
from cloud.payments.reconcile.cups import Comparison
from cloud.payments.reconcile.days import OVERLAP, Day
from cloud.payments.reconcile.kinds import Finding, Kind
from cloud.payments.reconcile.ledger_view import ShopKey, Totals

MAX_FINDINGS = 500
"""Kept of one look; more have one cause, and a person reads none of them."""


@dataclass
class Look:
    """What one look saw."""

    found: dict[str, Finding] = field(default_factory=dict)
    """By fingerprint."""
    asked: bool = True
    """There was somebody to ask: else only our own books were looked at."""
    not_looked_for: set[Kind] = field(default_factory=set)
    """Though all else was: what stands of these kinds may not be taken to be gone."""
    complete: bool = True
    problem: str = ""
    payments_there: int = 0
    refunds_there: int = 0
    taken_there: int = 0
    returned_there: int = 0
    here: Totals = field(default_factory=lambda: Totals(0, 0, 0))
    comparison: Comparison = field(default_factory=Comparison)
    adoptable: dict[str, PaymentFacts] = field(default_factory=dict)
    """By our payment's id: what the provider opened though its answer never came."""
    incomes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By our payment's id: what was captured, and what of it reaches the shop, where we had not heard of that."""

    @property
    def mends(self) -> bool:
        """The provider is being asked again about something."""
        return any(finding.mends for finding in self.found.values())

    @property
    def has_open_return(self) -> bool:
        """The provider has not finished a return."""
        return any(finding.kind is Kind.REFUND_PENDING for finding in self.found.values())

    def note(self, *findings: Finding) -> None:
        """Keep findings; the first of a fingerprint stays."""
        for finding in findings:
            if len(self.found) < MAX_FINDINGS:
                self.found.setdefault(finding.fingerprint, finding)
            else:
                self.found[Kind.TOO_MANY] = Finding(Kind.TOO_MANY, "all", detail=f"more than {MAX_FINDINGS}")

    def unfinished(self, why: str, subject: str) -> None:
        """The day could not be compared to its end."""
        self.complete, self.problem = False, why[:255]
        self.note(Finding(Kind.NO_ANSWER, subject, detail=why[:500]))


class ShopDay:
    """Looks once. `provider` None: we no longer have the shop's key, so only our ledger can be looked at."""

    def __init__(
        self, database: Database, provider: Provider | None, shop: ShopKey, day: Day, asking: Asking, now: datetime
    ) -> None:
        self._database = database
        self._provider = provider
        self._shop = shop
        self._day = day
        self._asking = asking
        self._now = now
        self._seen: set[str] = set()
        """Our payments the provider's list has, by id."""
        self._seen_refunds: set[str] = set()
        self._by_sum: set[str] = set()
        """Our payments of which another sum went back there, by id: all their returns are compared with it."""
        self._strangers = 0
        self._has_list = True
        self._me: Outcome[ShopFacts] | None = None
        self.look = Look()

    def see(self) -> Look:
        """Everything there is to find."""
        ledger_view.bring_back_day(self._database, self._shop, self._day, self._now)
        if self._provider is not None:
            self._compare(self._provider)
        with self._database.read() as session:
            self.look.note(*ledger_view.poured_without_money(session, self._shop, self._day))
            can_be_asked = self._provider is not None
            self.look.note(*ledger_view.unsettled_money(session, self._shop, self._now, can_be_asked=can_be_asked))
            self.look.here = ledger_view.totals(session, self._shop, self._day)
        self.look.asked = self._provider is not None
        if not self.look.asked and self.look.here.payments:
            self.look.problem = "no key of this shop"
            self.look.note(Finding(Kind.SHOP_GONE, f"{self._day.date}", detail=f"{self.look.here.payments} payments"))
        return self.look

    def _compare(self, provider: Provider) -> None:
        self._me = self._asking.one(provider.me)
        try:
            self._their_payments(provider)
            self._their_refunds(provider)
        except HasNoList:
            self._has_list = False
            self.look.note(Finding(Kind.NO_LIST, f"{self._day.date}"))
            self.look.problem = "no list"
        except NoAnswer as error:
            self.look.unfinished(str(error), f"{self._day.date}")
            return
        self._our_payments(provider)
        self._our_returns(provider)
        if self._strangers:
            words = f"{self._strangers} payments or refunds on {self._day.date}"
            self.look.note(Finding(Kind.NOT_OUR_METADATA, f"{self._day.date}", there=self._strangers, detail=words))

    # What the provider tells

    def _their_payments(self, provider: Provider) -> None:
        since, until = self._day.start - OVERLAP, self._day.end + OVERLAP
        for page in self._asking.pages(lambda cursor: provider.list_payments(since, until, cursor)):
            self._unreadable(page.unreadable)
            self._database.transact(ledger_view.bring_back, page.items, self._now)
            with self._database.read() as session:
                by_id, by_mark = ledger_view.known(session, page.items)
                told = told_of(session, [ours.id for ours in by_id.values()])
            for facts in page.items:
                ours = by_id.get(facts.provider_payment_id)
                if ours is not None:
                    self._seen.add(ours.id)
                    if ours.id not in told:
                        self._income(facts, ours)
                attempt = by_mark.get(facts.metadata.get("payment", ""))
                if self._day.holds(facts.created_at) and not self._is_of_another(ours or attempt):
                    self._their_payment(provider, facts, ours, attempt)

    def _income(self, facts: PaymentFacts, ours: Payment) -> None:
        if facts.income is not None and self._shop.has(ours) and facts.captured == ours.captured > 0:
            self.look.incomes[ours.id] = ours.captured, facts.income

    def _is_of_another(self, ours: Payment | None) -> bool:
        """Several merchants may sell at one shop, and one by two scenarios: each takes its own from the lists."""
        return ours is not None and ours.account_id == self._shop.account_id and not self._shop.has(ours)

    def _their_payment(
        self, provider: Provider, facts: PaymentFacts, ours: Payment | None, attempt: Payment | None
    ) -> None:
        if ours is None and not self._note_unmatched(facts, attempt):
            self._strangers += 1
            return
        self.look.payments_there += 1
        self.look.taken_there += facts.captured
        if ours is not None and self._differ(facts, ours):
            self._look_again(provider, facts, ours)

    def _note_unmatched(self, facts: PaymentFacts, attempt: Payment | None) -> bool:
        """Tell of a payment whose id our ledger lacks; false where it has no marks of ours: it is another seller's."""
        finding = unmatched_payment(facts, attempt)
        if finding is None:
            return False
        if finding.kind is Kind.LOST_AND_FOUND and attempt is not None:
            self.look.adoptable[attempt.id] = facts
        self.look.note(finding)
        return True

    def _their_refunds(self, provider: Provider) -> None:
        since, until = self._day.start - OVERLAP, self._day.end + OVERLAP
        for page in self._asking.pages(lambda cursor: provider.list_refunds(None, since, until, cursor)):
            self._unreadable(page.unreadable)
            self._seen_refunds.update(refund.provider_refund_id for refund in page.items if _is_done(refund))
            self._compare_refunds(provider, [told for told in page.items if self._day.holds(told.created_at)])

    def _compare_refunds(self, provider: Provider, told: Sequence[RefundFacts]) -> None:
        self._database.transact(archive.bring_back_payments, {one.provider_payment_id for one in told}, self._now)
        with self._database.read() as session:
            payments = ledger_view.of_provider(session, [refund.provider_payment_id for refund in told])
            booked = ledger_view.booked_returns(session, [payment.id for payment in payments.values()])
        for refund in told:
            payment = payments.get(refund.provider_payment_id)
            if self._is_of_another(payment):
                continue
            if payment is None and not self._note_strange_refund(provider, refund):
                continue
            self.look.refunds_there += 1
            self.look.returned_there += refund.amount if _is_done(refund) else 0
            if payment is None:
                continue
            ours = booked.get((payment.id, refund.provider_refund_id))
            finding = compare_refund(refund, payment, ours, self._now)
            if finding and (finding.kind is Kind.REFUND_PENDING or payment.id not in self._by_sum):
                self.look.note(finding)

    def _note_strange_refund(self, provider: Provider, refund: RefundFacts) -> bool:
        """Of a payment our ledger does not have: ours by its marks, or another seller's? True where it is ours."""
        match self._asking.one(lambda: provider.fetch(refund.provider_payment_id)):
            case Ok(facts) if facts.metadata.keys() >= OUR_MARKS:
                self.look.note(
                    Finding(
                        Kind.UNKNOWN_PAYMENT, refund.provider_payment_id, facts.metadata["order_id"][:255],
                        facts.metadata["payment"][:64], refund.provider_payment_id, there=money_of(facts),
                        detail=f"refunded {refund.amount} there", excused=money_of(facts) == 0,
                    )
                )  # fmt: skip
                return True
            case Ok() | NotOurs():
                self._strangers += 1
            case outcome:
                self._unanswered(outcome, f"payment {refund.provider_payment_id} of a refund")
        return False

    def _unreadable(self, entries: Sequence[Unread]) -> None:
        """An entry whose sum has vanished, say, is told with the payment it is about, and the sum our ledger has."""
        if not entries:
            return
        with self._database.read() as session:
            ours = ledger_view.of_provider(session, [entry.provider_payment_id for entry in entries])
        for entry in entries:
            if not self._is_of_another(payment := ours.get(entry.provider_payment_id)):
                self.look.note(unreadable_entry(entry, payment, f"{self._day.date}"))

    # What our ledger tells

    def _our_payments(self, provider: Provider) -> None:
        """What the list does not have is asked for by its id: a list may lag, and has edges."""
        for batch in ledger_view.payments_begun(self._database, self._shop, self._day):
            for payment in batch:
                if payment.id not in self._seen:
                    self._ask_about(provider, payment)

    def _ask_about(self, provider: Provider, payment: Payment) -> None:
        match self._asking.one(lambda: provider.fetch(payment.provider_payment_id or "")):
            case Ok(facts):
                if self._differ(facts, payment):
                    self._look_again(provider, facts, payment)
            case NotOurs():
                self.look.note(missing_there(payment))
            case outcome:
                self._unanswered(outcome, f"payment {payment.provider_payment_id} of order {payment.order_id}")

    def _our_returns(self, provider: Provider) -> None:
        for batch in ledger_view.returns_booked(self._database, self._shop, self._day):
            for movement, payment in batch:
                refund_id = movement.reference
                if refund_id in self._seen_refunds or payment.id in self._by_sum:
                    continue
                if self._is_made(provider, payment, refund_id) is False:
                    self.look.note(refund_only_here(payment, refund_id, movement.amount))

    def _is_made(self, provider: Provider, payment: Payment, refund_id: str) -> bool | None:
        """Whether money went back by this return; None when nobody says so.

        Where there is no list, a return's name may be the merchant's own: only its payment tells of it.
        """
        told: Outcome[Page[RefundFacts]] | Outcome[RefundFacts] | None
        if self._has_list:
            told = self._asking.one(lambda: provider.fetch_refund(refund_id))
        else:
            told = self._asking.one(lambda: provider.list_refunds(payment.provider_payment_id or ""))
        match told:
            case Ok(Page(items=refunds)):
                return any(refund.provider_refund_id == refund_id and _is_done(refund) for refund in refunds)
            case Ok(RefundFacts() as refund):
                return _is_done(refund)
            case NotOurs():
                return False
            case outcome:
                self._unanswered(outcome, f"return {refund_id} of order {payment.order_id}")
                return None

    # Looking twice

    def _differ(self, facts: PaymentFacts, payment: Payment) -> list[Finding]:
        if isinstance(self._me, Ok):
            return compare_payment(facts, payment, self._me.value.test)
        if facts.test is not None and not isinstance(self._me, Rejected | NotOurs):
            self.look.not_looked_for.add(Kind.TEST_FLAG)
        return compare_payment(facts, payment)

    def _look_again(self, provider: Provider, facts: PaymentFacts, payment: Payment) -> None:
        told: Outcome[PaymentFacts] | None = self._asking.one(lambda: provider.fetch(facts.provider_payment_id))
        with self._database.read() as session:
            ours = session.get(Payment, payment.id) or payment
            booked = ledger_view.booked_returns(session, [payment.id])
        found = self._differ(told.value if isinstance(told, Ok) else facts, ours)
        if any(is_of_returns(finding) for finding in found):
            self._by_sum.add(payment.id)
            returns = self._asking.one(lambda: provider.list_refunds(facts.provider_payment_id))
            if isinstance(returns, Ok):
                here = {refund_id: amount for (_, refund_id), amount in booked.items()}
                found = by_refund(found, returns.value.items, ours, here, self._now)
            else:
                self._unanswered(returns, f"returns of order {ours.order_id}")
        self.look.note(*found)

    def _unanswered(self, outcome: Outcome[object] | None, about: str) -> None:
        """What was asked is not known, so nothing may be taken to be gone."""
        if outcome is None:
            self.look.found[Kind.TOO_MANY] = Finding(Kind.TOO_MANY, "all", detail="more to ask than can be asked")
        else:
            self.look.unfinished(f"{about}: {type(outcome).__name__}", f"{self._day.date}")


def _is_done(refund: RefundFacts) -> bool:
    return refund.status is RefundStatus.SUCCEEDED
