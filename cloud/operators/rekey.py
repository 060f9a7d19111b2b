"""`coffee-cloud rekey`: brings every stored secret under the present COFFEE_SECRET_KEY, so that an old one can go.

No secret changes and no worker needs to know: what is stored under either key reads the same.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from cloud.access import second_factor
from cloud.alerts import channel_settings
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet import accounts, broker_identities, replaced_credentials
from cloud.fleet.locked_secrets import LockedSecret
from cloud.fleet.vault import SecretUnreadable, Vault

SOURCES: tuple[Callable[[Session], Iterable[LockedSecret]], ...] = (
    broker_identities.locked_secrets, accounts.locked_secrets, second_factor.locked_secrets,
    channel_settings.locked_secrets, replaced_credentials.locked_secrets,
)  # fmt: skip
"""Each lists the secrets its package keeps, and locks their rows until the end."""


@dataclass(frozen=True)
class Rekeyed:
    """What became of each stored secret; names, never values."""

    locked_anew: tuple[str, ...] = ()
    already: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    def words(self) -> str:
        """For a person."""
        lines = [f"locked anew      {name}" for name in self.locked_anew]
        lines += [f"cannot be read   {name}" for name in self.unreadable]
        lines.append(
            f"{len(self.locked_anew)} locked anew, {len(self.already)} were under the present key already, "
            f"{len(self.unreadable)} cannot be read with any key"
        )
        if self.unreadable:
            lines.append("List the key that locked them in COFFEE_OLD_SECRET_KEYS, or `apply` their secrets again.")
        else:
            lines.append("Everything stored is under COFFEE_SECRET_KEY: the database needs no old key any more.")
            lines.append("Only to verify seals of the journal and evidence files of before is it still wanted.")
        return "\n".join(lines)


def rekey(database: Database, vault: Vault) -> Rekeyed:
    """Lock everything anew that needs it, in one transaction. What no key reads is named and left as it is."""
    return database.transact(_rekey, vault)


def _rekey(tx: Transaction, vault: Vault) -> Rekeyed:
    anew, already, unreadable = list[str](), list[str](), list[str]()
    for secret in (one for secrets_of in SOURCES for one in secrets_of(tx.session)):
        if vault.is_present(secret.locked):
            already.append(secret.name)
            continue
        try:
            secret.store(vault.rotate(secret.locked))
            anew.append(secret.name)
        except SecretUnreadable:
            unreadable.append(secret.name)
    return Rekeyed(tuple(anew), tuple(already), tuple(unreadable))
