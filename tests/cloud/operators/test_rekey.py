"""Changing the secret key: what is stored is locked anew, by name, and an old key can then be taken away."""

import pytest
from click.testing import CliRunner
from sqlalchemy import inspect, select

from cloud.access import users
from cloud.alerts import channel_settings
from cloud.alerts.channel_settings import ChannelTerms
from cloud.cli import main
from cloud.database.base import Base
from cloud.database.transaction import Transaction
from cloud.fleet import broker_identities, replaced_credentials
from cloud.fleet.models import Credential, FormerCredential
from cloud.fleet.vault import SecretUnreadable, Vault
from cloud.operators.rekey import SOURCES, Rekeyed, rekey
from tests.cloud.worlds import DEVICE, SECRET_KEY, SHOP_SECRET, World

NEW = "a new secret text of more than thirty-two characters"
NAME = "payment Yookassa of merchant north"


def stored(world: World) -> dict[str, str]:
    with world.database.read() as session:
        return {credential.scenario: credential.secret for credential in session.scalars(select(Credential))}


def test_everything_stored_is_locked_with_the_present_key_and_reads_the_same(world: World) -> None:
    assert rekey(world.database, Vault(NEW, (SECRET_KEY,))) == Rekeyed(locked_anew=(NAME,))
    assert Vault(NEW).open(stored(world)["Yookassa"]) == SHOP_SECRET
    with pytest.raises(SecretUnreadable):
        Vault(SECRET_KEY).open(stored(world)["Yookassa"])


def test_every_package_that_keeps_a_secret_lists_it(world: World) -> None:
    """Regression: second factors and signing secrets stayed under the old key, and went with it."""
    vault, hook = Vault(SECRET_KEY), ChannelTerms("webhook", "ours", "https://merchant.example/hook")

    def keep(tx: Transaction) -> None:
        users.add(tx, "anna@example.org", "Anna", world.now).totp = vault.lock("totp")
        channel_settings.add(tx, "north", hook, vault, world.now)
        lost = FormerCredential(merchant_id="north", scenario="TBank", account_id="1", secret=vault.lock("left"))
        tx.session.add(lost)
        was = tx.session.get_one(Credential, ("north", "Yookassa"))
        tx.session.add(replaced_credentials.copy_of(was, world.now))
        broker_identities.give(tx, DEVICE, vault, world.now)

    world.database.transact(keep)
    rekey(world.database, Vault(NEW, (SECRET_KEY,)))
    told = world.database.transact(lambda tx: [secret for secrets_of in SOURCES for secret in secrets_of(tx.session)])
    assert all(Vault(NEW).is_present(secret.locked) for secret in told)
    kept = {(inspect(type(secret.row)).local_table.name, secret.column) for secret in told}
    columns = {(table.name, column.name) for table in Base.metadata.tables.values() for column in table.columns}
    hashed = {("users", "password")}
    assert kept == {one for one in columns if one[1] in {"secret", "password", "totp"}} - hashed


def test_doing_it_twice_changes_nothing(world: World) -> None:
    vault = Vault(NEW, (SECRET_KEY,))
    rekey(world.database, vault)
    before = stored(world)
    assert rekey(world.database, vault) == Rekeyed(already=(NAME,))
    assert stored(world) == before


def test_what_no_key_reads_is_named_and_left_as_it_is(world: World) -> None:
    def add(tx: Transaction) -> None:
        lost = Vault("a key that nobody remembers any longer").lock("x")
        tx.session.add(Credential(merchant_id="north", scenario="TBank", account_id="1", secret=lost))

    world.database.transact(add)
    before = stored(world)
    done = rekey(world.database, Vault(NEW, (SECRET_KEY,)))
    assert (done.locked_anew, done.unreadable) == ((NAME,), ("payment TBank of merchant north",))
    assert stored(world)["TBank"] == before["TBank"]


def command(world: World, key: str, old: str = "") -> tuple[int, str]:
    url = world.database.url.render_as_string(hide_password=False)
    environ = {"COFFEE_SECRET_KEY": key, "COFFEE_OLD_SECRET_KEYS": old, "COFFEE_DATABASE_URL": url}
    result = CliRunner().invoke(main, ["rekey"], env=environ)
    return result.exit_code, result.output


def test_the_command_says_what_it_did_and_when_the_old_key_may_go(world: World) -> None:
    code, said = command(world, NEW, SECRET_KEY)
    assert code == 0
    assert f"locked anew      {NAME}" in said
    assert "needs no old key any more" in said
    code, said = command(world, NEW)
    assert code == 0
    assert said.startswith("0 locked anew, 1 were under the present key already, 0 cannot be read")


def test_the_command_fails_while_something_cannot_be_read(world: World) -> None:
    code, said = command(world, NEW)
    assert code == 1
    assert f"cannot be read   {NAME}" in said
    assert "COFFEE_OLD_SECRET_KEYS" in said
