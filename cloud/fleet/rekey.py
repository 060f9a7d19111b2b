"""`coffee-cloud rekey`: brings every stored secret under the present COFFEE_SECRET_KEY, so that an old one can go.

No secret changes and no worker needs to know: what is stored under either key reads the same.
"""

from dataclasses import dataclass

from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet import accounts, broker_identities
from cloud.fleet.models import FormerCredential
from cloud.fleet.vault import SecretUnreadable, Vault


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
        return "\n".join(lines)


def rekey(database: Database, vault: Vault) -> Rekeyed:
    """Lock everything anew that needs it, in one transaction. What no key reads is named and left as it is."""
    return database.transact(_rekey, vault)


def _rekey(tx: Transaction, vault: Vault) -> Rekeyed:
    anew, already, unreadable = broker_identities.rotate(tx, vault)
    for credential in accounts.known(tx.session, for_update=True):
        left = f", left shop {credential.account_id}" if isinstance(credential, FormerCredential) else ""
        name = f"payment {credential.scenario} of merchant {credential.merchant_id}{left}"
        if vault.is_present(credential.secret):
            already.append(name)
            continue
        try:
            credential.secret = vault.rotate(credential.secret)
            anew.append(name)
        except SecretUnreadable:
            unreadable.append(name)
    return Rekeyed(tuple(anew), tuple(already), tuple(unreadable))
