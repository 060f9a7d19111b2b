"""`apply` on a real, migrated database: idempotent, all or nothing, and telling what it did."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select, text

from cloud.cli import main
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet import custom_account, device_condition, file_fields, presence_history
from cloud.fleet.apply import Did, FleetFileError, Report, apply, format_report
from cloud.fleet.models import Credential, Device, DeviceLive, Drink, Merchant
from cloud.fleet.presence_history import Presence
from cloud.fleet.vault import Vault
from cloud.migrations import migrate
from cloud.orders import archive
from cloud.orders.models import Order
from protocol import messages
from tests.cloud.fleet.fleet_texts import AMERICANO, DEVICE, ENVIRON, FLEET, LATTE, MERCHANT, line_of, with_line
from tests.cloud.worlds import SECRET_KEY

ROOT = Path(__file__).parents[3]
VAULT = Vault("a secret key of the tests, long enough")
NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
SOUTH = """
[[merchant]]
id = "south"
name = "Юг"
[merchant.payment.Yookassa]
account_id = "200600"
secret_key = "env:NORTH_YOOKASSA_KEY"
"""


@pytest.fixture
def database(migrated_database: Database) -> Database:
    return migrated_database


def put(database: Database, source: str | Path, dry_run: bool = False) -> Report:
    return apply(database, VAULT, source, ENVIRON, dry_run)


def did(report: Report) -> dict[str, tuple[Did, tuple[str, ...]]]:
    return {entry.name: (entry.did, entry.keys) for entry in report.entries}


def everything(database: Database) -> dict[str, list[Any]]:
    with database.engine.connect() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(select(table)))) for table in migrate.TABLES.sorted_tables
        }


def order(database: Database) -> None:
    def work(tx: Transaction) -> None:
        tx.session.add(
            Order(id="o1", device_uuid="m-001", merchant_id="north", drink_no="latte", drink_name="Латте", size=1,
                  price=21900, payment_scenario="Yookassa", created_at=NOW, expires_at=NOW)
        )  # fmt: skip

    database.transact(work)


def test_the_example_sells_as_it_stands_and_prices_are_told_as_buyers_read_them(database: Database) -> None:
    """Regression: an operator who took kopecks for roubles sold at 1.49, and nothing showed it."""
    report = put(database, ROOT / "deploy/fleet.toml.example")
    assert report.warnings == ()
    assert "created    drink americano of device m-001 (149.00, 179.00 roubles)" in format_report(report)
    again = put(database, ROOT / "deploy/fleet.toml.example")
    assert {entry.did for entry in again.entries} == {Did.SAME}
    assert "roubles" not in format_report(again)


def test_every_key_is_written_down() -> None:
    page = (ROOT / "docs/fleet-file.md").read_text()
    tables = (file_fields.MERCHANT, file_fields.ACCOUNT, file_fields.DEVICE, file_fields.DRINK, custom_account.FIELDS)
    missing = [key for table in tables for key in table if f"`{key}`" not in page]
    assert missing == []


@pytest.mark.parametrize(
    "broker", [{"COFFEE_MQTT_USER": "m-001"}, {"COFFEE_MQTT_URL": "mqtt://m-001:secret@one,mqtt://other:secret@two"}]
)
def test_no_machine_is_called_as_the_cloud_is_at_the_broker(
    migrated_sqlite: Database, tmp_path: Path, broker: dict[str, str]
) -> None:
    """Regression: revoking it took the whole cloud off the broker."""
    file = tmp_path / "fleet.toml"
    file.write_text(FLEET, encoding="utf-8")
    environ = {"COFFEE_SECRET_KEY": SECRET_KEY, "COFFEE_DATABASE_URL": str(migrated_sqlite.url)} | ENVIRON | broker
    told = CliRunner().invoke(main, ["apply", str(file)], env=environ)
    words = 'device.device_uuid: must not be "m-001": that is the cloud\'s own name at the broker'
    assert (told.exit_code, words in told.output) == (1, True), told.output


@pytest.mark.any_database
def test_an_empty_database_gets_all_of_the_file(database: Database) -> None:
    report = put(database, FLEET)
    assert {entry.did for entry in report.entries} == {Did.CREATED}
    with database.read() as session:
        merchant, device = session.get(Merchant, "north"), session.get(Device, "m-001")
        assert merchant is not None
        assert (merchant.name, merchant.contact_email) == ("ООО Север", "ops@example.org")
        assert device is not None
        assert (device.merchant_id, device.status, device.control) == ("north", "active", "agent")
        assert "tel:+78120000000" in (device.client_info_make_failed or "")
        assert device.client_info_paid is None
        latte = session.get(Drink, ("m-001", "latte"))
        assert latte is not None
        assert [latte.price(size) for size in range(3)] == [None, 21900, None]
        assert session.get(DeviceLive, "m-001") is not None
        credential = session.get(Credential, ("north", "Yookassa"))
        assert credential is not None
        assert credential.version == 1
        assert VAULT.open(credential.secret) == ENVIRON["NORTH_YOOKASSA_KEY"]
        assert ENVIRON["NORTH_YOOKASSA_KEY"] not in credential.secret


@pytest.mark.any_database
def test_the_same_again_changes_nothing(database: Database) -> None:
    put(database, FLEET)
    before = everything(database)
    report = put(database, FLEET)
    assert {entry.did for entry in report.entries} == {Did.SAME}
    assert everything(database) == before


@pytest.mark.any_database
def test_a_dry_run_tells_the_same_and_writes_nothing(database: Database, tmp_path: Path) -> None:
    before = everything(database)
    looked = put(database, FLEET, dry_run=True)
    assert everything(database) == before
    path = tmp_path / "fleet.toml"
    path.write_text(FLEET, encoding="utf-8")
    assert put(database, path).entries == looked.entries
    assert "nothing was changed" in format_report(looked)


def test_only_what_differs_is_changed_and_told(database: Database) -> None:
    put(database, FLEET)
    changed = FLEET
    for old, new in [("Невский 1,", "Невский 2,"), ('"active"', '"closed"'), ("small = 14900", "small = 15900")]:
        changed = with_line(changed, old, new)
    report = did(put(database, changed))
    assert report["device m-001"] == (Did.CHANGED, ("location", "status"))
    assert report["drink americano of device m-001"] == (Did.CHANGED, ("prices.small",))
    assert report["drink latte of device m-001"] == (Did.SAME, ())
    assert report["merchant north"] == (Did.SAME, ())
    assert report["payment Yookassa of merchant north"] == (Did.SAME, ())


def test_a_key_that_is_not_written_is_left_alone_and_an_empty_one_is_cleared(database: Database) -> None:
    put(database, FLEET)
    put(database, with_line(FLEET, "client_info_make_failed", "# client_info_make_failed"))
    with database.read() as session:
        device = session.get(Device, "m-001")
        assert device is not None
        assert device.client_info_make_failed is not None
    cleared = with_line(FLEET, "client_info_make_failed = ", 'client_info_make_failed = "" # ')
    cleared = with_line(cleared, "valid_until = 2030-12-31", 'valid_until = ""')
    assert did(put(database, cleared))["device m-001"] == (Did.CHANGED, ("client_info_make_failed",))
    with database.read() as session:
        device, merchant = session.get(Device, "m-001"), session.get(Merchant, "north")
        assert device is not None
        assert device.client_info_make_failed is None
        assert merchant is not None
        assert merchant.valid_until is None


def test_a_size_no_longer_listed_is_no_longer_sold(database: Database) -> None:
    put(database, FLEET)
    put(database, with_line(FLEET, "small = 14900, ", ""))
    with database.read() as session:
        americano = session.get(Drink, ("m-001", "americano"))
        assert americano is not None
        assert americano.price(0) is None


@pytest.mark.any_database
def test_a_drink_no_longer_listed_is_removed_from_sale_and_orders_keep_it(database: Database) -> None:
    put(database, FLEET)
    order(database)
    report = did(put(database, MERCHANT + DEVICE + AMERICANO))
    assert report["drink latte of device m-001"] == (Did.REMOVED, ())
    with database.read() as session:
        assert session.get(Drink, ("m-001", "latte")) is None
        kept = session.get(Order, "o1")
        assert kept is not None
        assert kept.drink_name == "Латте"


def test_drinks_are_shown_in_the_order_of_the_file(database: Database) -> None:
    put(database, FLEET)
    put(database, MERCHANT + DEVICE + LATTE + AMERICANO)
    with database.read() as session:
        assert session.scalars(select(Drink.drink_no).order_by(Drink.position)).all() == ["latte", "americano"]


@pytest.mark.any_database
def test_what_is_not_in_the_file_is_left_alone_and_told(database: Database) -> None:
    put(database, FLEET)
    report = put(database, SOUTH)
    assert did(report)["device m-001"] == (Did.NOT_IN_FILE, ())
    assert did(report)["merchant north"] == (Did.NOT_IN_FILE, ())
    assert did(report)["payment Yookassa of merchant north"] == (Did.NOT_IN_FILE, ())
    with database.read() as session:
        assert len(session.scalars(select(Drink)).all()) == 2
    assert "left alone device m-001 (not in the file)" in format_report(report)


@pytest.mark.any_database
def test_a_device_may_be_added_to_a_merchant_the_database_knows(database: Database) -> None:
    put(database, MERCHANT)
    assert did(put(database, DEVICE))["device m-001"] == (Did.CREATED, ())


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("100500", "100501", "account_id"),
        ("on_dispense", "immediate", "capture"),
        ('"polling"', '"webhook"', "status_check"),
        ("env:NORTH_YOOKASSA_KEY", "live_new-secret", "secret_key"),
    ],
)
def test_a_changed_account_gets_a_new_version(database: Database, old: str, new: str, key: str) -> None:
    put(database, FLEET)
    report = put(database, with_line(FLEET, old, new))
    assert did(report)["payment Yookassa of merchant north"] == (Did.CHANGED, (key,))
    assert "live_" not in format_report(report)
    with database.read() as session:
        credential = session.get(Credential, ("north", "Yookassa"))
        assert credential is not None
        assert credential.version == 2


def test_leaving_a_shop_is_warned_about(database: Database) -> None:
    put(database, FLEET)
    [warning] = put(database, with_line(FLEET, "100500", "100501")).warnings
    assert "100500" in warning
    assert warning.startswith(f"line {line_of(FLEET, '100500')}, ")


@pytest.mark.any_database
def test_a_secret_no_key_can_read_any_more_is_stored_again(database: Database) -> None:
    apply(database, Vault("a key that was lost, long enough too"), FLEET, ENVIRON)
    report = put(database, FLEET)
    assert did(report)["payment Yookassa of merchant north"] == (Did.CHANGED, ("secret_key",))
    with database.read() as session:
        credential = session.get(Credential, ("north", "Yookassa"))
        assert credential is not None
        assert VAULT.open(credential.secret) == ENVIRON["NORTH_YOOKASSA_KEY"]


def test_one_mistake_refuses_the_whole_file(database: Database) -> None:
    put(database, FLEET)
    before = everything(database)
    wrong = with_line(FLEET, "Невский 1", "Невский 2") + SOUTH + with_line(DEVICE, '"m-001"', '"m 002"')
    with pytest.raises(FleetFileError):
        put(database, wrong)
    assert everything(database) == before


def test_mistakes_of_the_file_and_against_the_database_are_told_together(database: Database) -> None:
    put(database, FLEET)
    text = (
        with_line(DEVICE, '"north"', '"nobody"')
        + '\n[[merchant]]\nid = "east"\nname = "Восток"\n'
        + with_line(with_line(DEVICE, '"north"', '"east"'), '"m-001"', '"m-002"')
        + with_line(AMERICANO, "14900", "-1")
    )
    with pytest.raises(FleetFileError) as refused:
        put(database, text)
    assert [problem.split(": ", 1)[1] for problem in refused.value.problems] == [
        'there is no merchant "nobody", here or in the database',
        'merchant "east" has no [merchant.payment.Yookassa]',
        "must be a whole number of kopecks from 100 to 35000000, not -1",
    ]


@pytest.mark.any_database
def test_a_machine_that_has_sold_cannot_change_hands(database: Database) -> None:
    put(database, FLEET)
    moved = SOUTH + with_line(DEVICE, '"north"', '"south"') + AMERICANO
    order(database)
    with pytest.raises(FleetFileError, match='has orders of merchant "north"'):
        put(database, moved)
    database.transact(archive.put_away, ["o1"], NOW)
    with pytest.raises(FleetFileError, match='has orders of merchant "north"'):
        put(database, moved)


def test_a_machine_that_has_sold_nothing_may_change_hands(database: Database) -> None:
    put(database, FLEET)
    moved = SOUTH + with_line(DEVICE, '"north"', '"south"') + AMERICANO
    assert did(put(database, moved))["device m-001"] == (Did.CHANGED, ("merchant",))


def test_a_device_made_elsewhere_gets_its_live_row_too(database: Database) -> None:
    put(database, FLEET)
    with database.engine.begin() as connection:
        connection.execute(text("DELETE FROM device_live"))
    put(database, SOUTH)
    with database.read() as session:
        assert session.get(DeviceLive, "m-001") is not None


@pytest.mark.any_database
def test_who_drives_a_machine_now_begins_with_nothing_the_other_said(database: Database) -> None:
    """Regression: two agents had stopped it, and stopped it for ever once it had none."""
    put(database, FLEET)

    def heard(tx: Transaction) -> None:
        live = tx.session.get_one(DeviceLive, "m-001")
        live.online, live.session_id, live.state, live.two_agents_since = True, "s-1", {"selling": False}, NOW
        presence_history.note(tx, [live], NOW)

    database.transact(heard)
    put(database, FLEET)
    with database.read() as session:
        assert session.get_one(DeviceLive, "m-001").two_agents_since == NOW, "nothing changed"
    put(database, with_line(FLEET, 'control = "agent"', 'control = "tmetr-api"'))
    with database.read() as session:
        live = session.get_one(DeviceLive, "m-001")
        assert (live.online, live.session_id, live.state, live.two_agents_since) == (False, "", None, None)
        assert presence_history.current_spells(session, ["m-001"])["m-001"].state is Presence.OFFLINE, "alerts read it"


@pytest.mark.any_database
def test_of_two_agents_the_one_that_is_left_after_a_change_over_and_back_is_one(database: Database) -> None:
    """Regression: it was told from sessions of before, and the machine was stopped again."""
    put(database, FLEET)

    def heard(session_id: str, connection: int) -> bool:
        said = messages.Presence(online=True, session_id=session_id, connection=connection)

        def note(tx: Transaction) -> bool:
            live = tx.session.get_one(DeviceLive, "m-001")
            device_condition.note_presence(tx, live, said, NOW)
            return live.two_agents_since is not None

        return database.transact(note)

    assert [heard("s-1", 1), heard("s-2", 1), heard("s-1", 2), heard("s-2", 2)] == [False, False, True, True]
    put(database, with_line(FLEET, 'control = "agent"', 'control = "tmetr-api"'))
    put(database, FLEET)
    assert not heard("s-1", 3)


@pytest.mark.any_database
def test_the_report_counts_what_was_done(database: Database) -> None:
    put(database, FLEET)
    changed = with_line(MERCHANT + DEVICE + AMERICANO, "Невский 1,", "Невский 2,")
    lines = format_report(put(database, changed)).splitlines()
    assert "changed    device m-001: location" in lines
    assert "removed    drink latte of device m-001" in lines
    assert lines[-1] == "0 created, 1 changed, 1 removed, 3 left alone"
