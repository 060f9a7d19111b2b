"""The day before, summed up for each merchant at nine in the morning: also when all is well."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cloud.alerts.channel_settings import once
from cloud.alerts.incident import LIVE
from cloud.alerts.models import Channel, DailySummary, IncidentRow
from cloud.alerts.store import IS_KNOWN
from cloud.alerts.wording import Reader
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet.models import Device, Merchant
from cloud.fleet.zones import zone
from cloud.orders.making import RETURNED
from cloud.orders.models import Movement, Order, Payment
from cloud.orders.sales_days import is_behind
from cloud.orders.sales_tables import MerchantDay, SalesDay
from cloud.orders.states import Status

AT_HOUR = 9
EVERY = timedelta(minutes=5)
MOST_NAMED = 20
GOODWILL = "goodwill"
"""Why the money of a drink that was poured went back: its order has no reason."""
LATE = "money_late"
"""Of money that came when nothing was poured for it any more."""
SECOND = "second_payment"
"""Of money beside the order's own, whose drink was poured and is paid for."""
WRONG = "wrong"
"""Of every payment that did not match its order, whatever differed."""
REASONS = (GOODWILL, LATE, SECOND, WRONG)
"""Beside those that orders have."""


@dataclass(frozen=True)
class Day:
    """One merchant's day. Sums are kopecks."""

    cups: int
    kopecks: int
    returns: int
    """Orders of which money went back, in however many parts."""
    returned: int
    top_reason: str
    silent: Sequence[str]
    """Machines on sale that sold nothing."""


class DailySummaries:
    """The loop that writes them; the lane `notify` sends them."""

    def __init__(self, database: Database, console_url: str) -> None:
        self._database = database
        self._console_url = console_url

    def step(self, now: datetime) -> datetime:
        """Every merchant whose morning it is, once past days are counted. Raises what the database raises."""
        with self._database.read() as session:
            if is_behind(session):
                return now + EVERY
            merchants = session.scalars(select(Merchant)).all()
        for merchant in merchants:
            local = now.astimezone(zone(merchant.zone))
            if local.hour >= AT_HOUR:
                self._database.transact(self._sum_up, merchant, local.date() - timedelta(days=1), now)
        return now + EVERY

    def _sum_up(self, tx: Transaction, merchant: Merchant, day: date, now: datetime) -> None:
        if tx.session.get(DailySummary, (merchant.id, day), with_for_update=True) is not None:
            return
        local = zone(merchant.zone)
        was_there = Channel.created_at < datetime.combine(day + timedelta(days=1), time(), local)
        listening = select(Channel).where(Channel.merchant_id == merchant.id, Channel.summary.is_(True), was_there)
        channels = tx.session.scalars(listening).all()
        if not channels:
            return
        tx.session.add(DailySummary(merchant_id=merchant.id, day=day))
        tx.session.flush()  # of two workers one gets here
        is_now, before = (day_of(tx.session, merchant.id, each, local) for each in (day, day - timedelta(days=7)))
        live = [state.value for state in LIVE]
        troubles = select(func.count()).where(
            IncidentRow.merchant_id == merchant.id, IncidentRow.state.in_(live), IncidentRow.group_id == "",
            IS_KNOWN,
        )  # fmt: skip
        open_ones = tx.session.scalar(troubles) or 0
        for channel in channels:
            reader = Reader(channel.language, local, self._console_url)
            subject = reader.say("summary.subject", day=day.strftime("%d.%m"))
            once(tx, channel, "summary", subject, f"{subject}\n\n{text(is_now, before, open_ones, reader)}", now)


def text(is_now: Day, before: Day, troubles: int, reader: Reader) -> str:
    """What the summary says."""
    lines = [
        reader.say(
            "summary.sales", cups=is_now.cups, money=reader.money(is_now.kopecks), cups_before=before.cups,
            money_before=reader.money(before.kopecks),
        ),
    ]  # fmt: skip
    if is_now.returns:
        money, why = reader.money(is_now.returned), reader.why(is_now.top_reason)
        lines.append(reader.say("summary.returns", returns=is_now.returns, money=money, why=why))
    else:
        lines.append(reader.say("summary.no_returns"))
    if is_now.silent:
        more = "…" if len(is_now.silent) > MOST_NAMED else ""
        lines.append(reader.say("summary.silent", machines=", ".join(is_now.silent[:MOST_NAMED]) + more))
    lines.append(reader.say("summary.troubles", n=troubles) if troubles else reader.say("summary.well"))
    return "\n".join(lines)


def day_of(session: Session, merchant_id: str, day: date, local: ZoneInfo) -> Day:
    """What the merchant's machines sold, as charts and books count it; what went back on that day of `local`."""
    sums = session.get(MerchantDay, (merchant_id, day))
    drinks = sums.figures.drinks.values() if sums is not None else ()
    of_day = (SalesDay.merchant_id == merchant_id, SalesDay.day == day, SalesDay.cups > 0)
    sellers = set(session.scalars(select(SalesDay.device_uuid).where(*of_day)))
    begins, ends = (datetime.combine(each, time(), local) for each in (day, day + timedelta(days=1)))
    ours = (Order.merchant_id == merchant_id, Order.is_test.is_(False))
    back = session.execute(
        select(Order.id, Order.status, Order.reason, Order.goodwill, Movement.amount)
        .join(Payment, Payment.id == Movement.payment_id)
        .join(Order, Order.id == Payment.order_id)
        .where(*ours, Movement.kind.in_(("refunded", "canceled")), Movement.at >= begins, Movement.at < ends)
    ).all()
    why = {row.id: _why(row.status, row.reason, row.goodwill) for row in back}
    selling = select(Device.device_uuid, Device.location).where(
        Device.merchant_id == merchant_id, Device.status == "active"
    )
    silent = sorted(row[1] or row[0] for row in session.execute(selling) if row[0] not in sellers)
    return Day(
        sum(drink.cups for drink in drinks), sum(drink.kopecks for drink in drinks), len(why),
        sum(row.amount for row in back), Counter(why.values()).most_common(1)[0][0] if why else "", silent,
    )  # fmt: skip


def _why(status: str, reason: str, goodwill: bool) -> str:
    """Why money of such an order went back: its own reason where it says so."""
    if goodwill:
        return GOODWILL
    if reason.startswith("wrong_"):
        return WRONG
    if status == Status.MAKE_FAILED or reason == RETURNED:
        return reason or "unknown"
    return LATE if status in {Status.NOT_PAID, Status.FAILED} else SECOND
