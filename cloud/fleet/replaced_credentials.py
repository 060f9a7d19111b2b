"""Keys that a person has replaced by others: kept locked for a week, so that the change can be taken back unseen.

Nothing is opened, asked or signed with them; only `put back` reads them. What a buyer's money still needs of an account
that was left is `accounts.py`; `operators/retention.py` removes them in time.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, Integer, String, delete, inspect, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from cloud.database.base import Base
from cloud.database.transaction import Transaction
from cloud.fleet.locked_secrets import LockedSecret
from cloud.fleet.models import AccountTerms, Credential

KEPT = timedelta(days=7)
"""Friday's mistake is found on Monday; a key that is still good is not left lying longer."""


class ReplacedCredential(AccountTerms, Base):
    """An account with its keys, as it was at one version."""

    __tablename__ = "replaced_credentials"

    merchant_id: Mapped[str] = mapped_column(ForeignKey("merchants.id"), primary_key=True)
    scenario: Mapped[str] = mapped_column(String(32), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    account_id: Mapped[str] = mapped_column(String(64))
    replaced_at: Mapped[datetime] = mapped_column(index=True)


_KEPT = tuple(column.key for column in inspect(ReplacedCredential).columns if column.key != "replaced_at")


def copy_of(known: Credential, now: datetime) -> ReplacedCredential:
    """As it is now, before it is changed; add it to the session once it was."""
    return ReplacedCredential(replaced_at=now, **{name: getattr(known, name) for name in _KEPT})


def find(session: Session, merchant_id: str, scenario: str, version: int, now: datetime) -> ReplacedCredential | None:
    """What the account was at this version; None once it is not kept any more."""
    kept = session.get(ReplacedCredential, (merchant_id, scenario, version))
    return kept if kept is not None and kept.replaced_at > now - KEPT else None


def forget(tx: Transaction, merchant_id: str, scenario: str) -> None:
    """Those of one account: it is taken away, and another one would begin at version 1 again."""
    its = (ReplacedCredential.merchant_id == merchant_id, ReplacedCredential.scenario == scenario)
    tx.session.execute(delete(ReplacedCredential).where(*its))


def locked_secrets(session: Session) -> Iterable[LockedSecret]:
    """Their keys, their rows held."""
    key = (ReplacedCredential.merchant_id, ReplacedCredential.scenario, ReplacedCredential.version)
    for one in session.scalars(select(ReplacedCredential).order_by(*key).with_for_update()):
        yield LockedSecret(
            f"payment {one.scenario} of merchant {one.merchant_id}, replaced (version {one.version})", one, "secret"
        )
