"""Mark the payment a notification names, and have the provider asked about it at once."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import String, and_, bindparam, case, null, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from cloud.database.base import UtcDateTime
from cloud.database.database import Database
from cloud.database.plain_rows import plain, table_of
from cloud.database.transaction import Dispatchers, Transaction
from cloud.orders import archive
from cloud.orders.models import Payment
from cloud.payments.models import StoredNotification
from cloud.payments.notification import Notification
from cloud.payments.stale_answer import MAX_URGENT
from cloud.payments.status_poller import LEASE_S, NEWS, StatusPoller

_payment, _notification = table_of(Payment), table_of(StoredNotification)
_signer = bindparam("signer", type_=String())
_is_named = and_(
    _payment.c.provider_payment_id == bindparam("named"), or_(_signer == "", _payment.c.account_id == _signer)
)
_is_urgent = _payment.c.times_told < MAX_URGENT
_mark_told = (
    update(_payment)
    .values(
        next_check_at=bindparam("ask_at", type_=UtcDateTime()),
        told_at=case((_is_urgent, bindparam("now", type_=UtcDateTime())), else_=null()),
        times_told=case((_is_urgent, _payment.c.times_told + 1), else_=_payment.c.times_told),
    )
    .returning(*_payment.c)
)
_MARK_TOLD = _mark_told.where(_is_named)
# A lock on the payment's row is not waited for: no limit of ours travels with a statement that commits itself.
_free = select(_payment.c.id).where(_is_named).with_for_update(skip_locked=True).cte("free")
_columns = [column for column in _notification.c if column is not _notification.c.id]
_row = select(*[bindparam(f"kept_{column.key}", type_=column.type) for column in _columns]).select_from(_free)
_kept = insert(_notification).from_select(_columns, _row).on_conflict_do_nothing().returning(_notification.c.id)
_STORE_AND_MARK = _mark_told.where(_payment.c.id.in_(select(_free.c.id)), select(_kept.cte("kept").c.id).exists())


def ask_at_once(tx: Transaction, notification: Notification, now: datetime) -> Payment | None:
    """Have the provider asked at once about the payment that a notification names.

    None when no payment of ours has this id; a signed one names payments of its own account only.
    """
    asker = _asker(tx.dispatchers)
    wanted = _wanted(notification, asker, now)
    found = tx.connection.execute(_MARK_TOLD, wanted).first()
    if found is None:
        archive.bring_back_payments(tx, [notification.provider_payment_id])  # or another process has meanwhile
        found = tx.connection.execute(_MARK_TOLD, wanted).first()
    if found is None:
        return None
    payment = plain(Payment, found)
    if asker is not None and not asker.ask(tx, payment, is_read_back=notification.is_read_back):
        asker = None
        tx.connection.execute(update(_payment).where(_payment.c.id == payment.id).values(next_check_at=now))
    if asker is None:
        tx.notify(NEWS)
    return payment


def store_and_mark(
    database: Database, notification: Notification, row: Mapping[str, object], now: datetime
) -> tuple[Payment, Callable[[], None]] | None:
    """Store a notification and mark its payment in one statement, which commits itself.

    Return the payment, and the call that has it asked about. Do nothing and return None for a repeat, where no payment
    has this id or another transaction holds it, and without PostgreSQL.
    """
    if database.engine.dialect.name != "postgresql":  # the worlds' SQLite is no `is_sqlite`
        return None
    asker = _asker(database.dispatchers)
    kept = {f"kept_{name}": value for name, value in row.items()}
    found = database.execute_autocommit(_STORE_AND_MARK, _wanted(notification, asker, now) | kept)
    if not found:
        return None
    payment = plain(Payment, found[0])
    return payment, partial(asker.ask_after, payment) if asker is not None else partial(database.notify, {NEWS})


def _asker(dispatchers: Dispatchers) -> StatusPoller | None:
    """The status poller of this very process, if it has room."""
    asker: StatusPoller | None = dispatchers.get(StatusPoller)
    return asker if asker is not None and asker.has_room else None


def _wanted(notification: Notification, asker: StatusPoller | None, now: datetime) -> dict[str, object]:
    lease = timedelta(seconds=LEASE_S if asker is not None else 0.0)
    signer = notification.account_id if notification.is_signed else ""
    return {"named": notification.provider_payment_id, "signer": signer, "now": now, "ask_at": now + lease}
