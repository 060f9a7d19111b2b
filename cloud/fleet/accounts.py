"""Accounts at providers, those a merchant has left too: which merchant has which, and whose secret can be read at all.

A left account stays until nothing of its money is open (`payments/reconcile/nightly.py` forgets it then).
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import column, inspect, select, table
from sqlalchemy.orm import Session

from cloud.fleet.locked_secrets import LockedSecret
from cloud.fleet.models import AccountTerms, Credential, Device, FormerCredential
from cloud.fleet.vault import SecretUnreadable, Vault

Account = tuple[str, str, str]
"""A merchant, a payment scenario, an account at the provider."""
Known = Credential | FormerCredential
_PAYMENTS = table("payments", column("merchant_id"), column("scenario"))
_DAYS = table("reconciliations", column("merchant_id"), column("scenario"), column("payments_here"))
"""Both only looked at for whether there is one: the fleet stands below the orders and does not import them.

A shop's days tell of its payments long after their orders rest in the archive.
"""
_VERSIONS = tuple(
    select(kind.merchant_id, kind.scenario, kind.account_id, kind.version) for kind in (Credential, FormerCredential)
)
_TERMS = tuple(column.key for column in inspect(Credential).columns if column.key in vars(AccountTerms))


def leave(session: Session, left: Credential) -> None:
    """Keep an account as it is now, before its row names another one."""
    key = (left.merchant_id, left.scenario, left.account_id)
    kept = session.get(FormerCredential, key)
    if kept is None:
        kept = FormerCredential(merchant_id=left.merchant_id, scenario=left.scenario, account_id=left.account_id)
        session.add(kept)
    for name in _TERMS:
        setattr(kept, name, getattr(left, name))


def come_back(session: Session, merchant_id: str, scenario: str, account_id: str) -> None:
    """It is used again, with what it is given now."""
    kept = session.get(FormerCredential, (merchant_id, scenario, account_id))
    if kept is not None:
        session.delete(kept)


class InUse(Exception):
    """Machines sell through the account, or something was paid there, which must stay returnable."""


def remove(session: Session, account: Credential) -> None:
    """Take away an account that nothing was ever paid at and no machine names. Raises `InUse`."""
    its = (account.merchant_id, account.scenario)
    named = select(Device.device_uuid).where(Device.merchant_id == its[0], Device.payment_scenario == its[1])
    paid = select(_PAYMENTS.c.scenario).where(_PAYMENTS.c.merchant_id == its[0], _PAYMENTS.c.scenario == its[1])
    with_some = (_DAYS.c.merchant_id == its[0], _DAYS.c.scenario == its[1], _DAYS.c.payments_here > 0)
    once_paid = select(_DAYS.c.scenario).where(*with_some)
    if any(session.scalar(asked.limit(1)) is not None for asked in (named, paid, once_paid)):
        raise InUse("/".join(its))
    session.delete(account)
    session.flush()


def known(session: Session, *, for_update: bool = False) -> Sequence[Known]:
    """All there are, those in use first."""
    in_use = select(Credential).order_by(Credential.merchant_id, Credential.scenario)
    left = (FormerCredential.merchant_id, FormerCredential.scenario, FormerCredential.account_id)
    former = select(FormerCredential).order_by(*left)
    asked = (in_use.with_for_update(), former.with_for_update()) if for_update else (in_use, former)
    return [account for one in asked for account in session.scalars(one)]


def versions(session: Session) -> dict[Account, int]:
    """Of all there are: it is another where a key or what belongs to it was changed."""
    return {
        (merchant_id, scenario, account_id): version
        for asked in _VERSIONS
        for merchant_id, scenario, account_id, version in session.execute(asked)
    }


def locked_secrets(session: Session) -> Iterable[LockedSecret]:
    """Keys of all accounts, their rows held."""
    for account in known(session, for_update=True):
        left = f", left shop {account.account_id}" if isinstance(account, FormerCredential) else ""
        yield LockedSecret(f"payment {account.scenario} of merchant {account.merchant_id}{left}", account, "secret")


def unreadable(session: Session, vault: Vault) -> frozenset[Account]:
    """Those whose secret none of our keys opens: nobody can be asked about what was paid there."""
    return frozenset(of(account) for account in known(session) if not _opens(vault, account.secret))


def of(account: Known) -> Account:
    """Which account it is."""
    return account.merchant_id, account.scenario, account.account_id


def _opens(vault: Vault, secret: str) -> bool:
    try:
        vault.open(secret)
    except SecretUnreadable:
        return False
    return True
