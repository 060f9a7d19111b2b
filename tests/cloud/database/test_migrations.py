"""Migrations on real SQLite and real PostgreSQL: the same shape as the models, harmless twice, nothing lost."""

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from cloud.cli import main
from cloud.database.database import Database
from cloud.fleet.models import Device, Merchant
from cloud.migrations import migrate
from cloud.orders.models import Movement, Order, OrderChange, Payment
from tests.cloud import migrated
from tests.cloud.worlds import SECRET_KEY

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/coffee.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = Database(url)
    yield opened
    opened.close()


def shape(database: Database) -> dict[str, Any]:
    """All that the database itself says of its tables, in an order that does not depend on how they came about."""
    found = inspect(database.engine)
    return {
        table: {
            "columns": sorted(
                (c["name"], str(c["type"]), c["nullable"], c["default"]) for c in found.get_columns(table)
            ),
            "primary key": found.get_pk_constraint(table),
            "foreign keys": sorted(map(str, found.get_foreign_keys(table))),
            "unique": sorted(map(str, found.get_unique_constraints(table))),
            "checks": sorted((c["name"] or "", c["sqltext"]) for c in found.get_check_constraints(table)),
            "indexes": sorted(spelled(index) for index in found.get_indexes(table)),
        }
        for table in found.get_table_names()
        if table != "alembic_version"
    }


def spelled(index: Any) -> str:
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    return f"{index['name']} {index['column_names']} {index['unique']} {options}"


def rows(connection: Connection, table: str, columns: str = "*") -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(text(f"SELECT {columns} FROM {table}")).mappings()]


def everything(database: Database) -> dict[str, list[dict[str, Any]]]:
    with database.engine.connect() as connection:
        return {table.name: rows(connection, table.name) for table in migrate.TABLES.sorted_tables}


def fill_first_revision(database: Database) -> None:
    """A machine with an order in progress, as revision 0001 stores them."""
    statements = [
        "INSERT INTO merchants (id, name, contact_email) VALUES ('north', 'Север', '')",
        "INSERT INTO devices (device_uuid, merchant_id, location, payment_scenario, control, status, logo_url,"
        " client_info) VALUES ('m-001', 'north', 'Невский 1', 'Yookassa', 'agent', 'active', '', '<b>Привет</b>')",
        "INSERT INTO orders (id, device_uuid, merchant_id, drink_no, drink_name, size, price, is_test,"
        " payment_scenario, status, reason, stage, progress, uncertain, goodwill, version, created_at, expires_at,"
        " language) VALUES ('order-1', 'm-001', 'north', 'americano', 'Американо', 1, 17900, false, 'Yookassa',"
        " 'paid', '', '', 0, false, false, 3, '2026-11-20 09:30:00', '2026-11-20 09:45:00', 'ru')",
        "INSERT INTO order_changes (order_id, version, at, actor, event, status_before, status_after, reason)"
        " VALUES ('order-1', 1, '2026-11-20 09:30:00', 'buyer', 'scanned', '', 'created', '')",
        "INSERT INTO payments (id, order_id, merchant_id, scenario, account_id, capture, status_check, amount, state,"
        " live, confirmation_url, method, cancel_reason, problem, captured, refunded, started_at, checks) VALUES"
        " ('p1', 'order-1', 'north', 'Yookassa', '100500', 'on_dispense', 'polling', 17900, 'held', true, '',"
        " 'bank_card', '', '', 0, 0, '2026-11-20 09:31:00', 0)",
        "INSERT INTO movements (payment_id, order_id, kind, amount, reference, at)"
        " VALUES ('p1', 'order-1', 'held', 17900, '', '2026-11-20 09:32:00')",
    ]
    with database.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def sell_one(database: Database, status: str = "paid", price: int = 17900) -> None:
    def work(tx: Any) -> None:
        tx.session.add(Merchant(id="north", name="Север"))
        tx.session.flush()
        tx.session.add(Device(device_uuid="m-001", merchant_id="north", payment_scenario="Yookassa"))
        tx.session.flush()
        tx.session.add(
            Order(id="order-1", device_uuid="m-001", merchant_id="north", drink_no="americano", drink_name="Американо",
                  size=1, price=price, payment_scenario="Yookassa", status=status, created_at=NOW, expires_at=NOW)
        )  # fmt: skip
        tx.session.flush()
        tx.session.add(OrderChange(order_id="order-1", version=1, at=NOW, actor="buyer", event="scanned",
                                status_before="", status_after="created"))  # fmt: skip
        tx.session.add(Payment(id="p1", order_id="order-1", merchant_id="north", scenario="Yookassa",
                            account_id="100500", capture="on_dispense", status_check="polling",
                            amount=17900, state="held", started_at=NOW))  # fmt: skip
        tx.session.flush()
        tx.session.add(Movement(payment_id="p1", order_id="order-1", kind="held", amount=17900, at=NOW))

    database.transact(work)


def test_a_migrated_database_is_what_the_models_say(migrated_database: Database) -> None:
    assert migrate.check(migrated_database) == []
    assert migrate.current(migrated_database) == migrate.head()


def test_migrating_gives_the_same_shape_as_creating_the_tables_from_the_models(
    database: Database, url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    migrate.upgrade(database)
    migrated = shape(database)
    if database.is_sqlite:
        created_url = f"sqlite:///{tmp_path}/created.db"
        created = Database(created_url)
        migrate.TABLES.create_all(created.engine)
        from_models = shape(created)
        created.close()
    else:
        with database.engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        migrate.TABLES.create_all(database.engine)
        from_models = shape(database)
    assert migrated == from_models


def test_checks_name_what_is_missing(database: Database) -> None:
    assert "run coffee-cloud migrate" in migrate.check(database)[0]
    migrate.upgrade(database, "0001")
    assert "0001" in migrate.check(database)[0]
    migrate.upgrade(database)
    with database.engine.begin() as connection:
        connection.execute(text("DROP INDEX uq_movements_once"))
        on = "" if database.is_sqlite else " ON movements"
        connection.execute(text(f"DROP TRIGGER movements_no_delete{on}"))
    problems = "\n".join(migrate.check(database))
    assert "uq_movements_once" in problems
    assert "movements does not refuse DELETE" in problems


def test_the_command_says_what_no_revision_brings(tmp_path: Path) -> None:
    """Regression: it said "up to date" of a database on which no program started."""
    url = f"sqlite:///{tmp_path}/coffee.db"
    with migrated.opened(url) as database, database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE alert_channels DROP COLUMN failing_since"))
    told = CliRunner().invoke(main, ["migrate"], env={"COFFEE_DATABASE_URL": url, "COFFEE_SECRET_KEY": SECRET_KEY})
    assert told.exit_code == 1
    assert "failing_since" in told.stderr
    assert "up to date" not in told.output


def test_migrating_again_changes_nothing(migrated_database: Database) -> None:
    sell_one(migrated_database)
    before = shape(migrated_database), everything(migrated_database)
    migrate.upgrade(migrated_database)
    assert (shape(migrated_database), everything(migrated_database)) == before


def test_existing_orders_and_devices_come_through_untouched_and_back(database: Database) -> None:
    migrate.upgrade(database, "0001")
    fill_first_revision(database)
    first = snapshot_of_first(database)

    migrate.upgrade(database)
    assert as_far_as(first, snapshot_of_first(database)) == first
    with database.engine.connect() as connection:
        assert rows(connection, "devices", "client_info_make_failed") == [{"client_info_make_failed": None}]
    assert migrate.check(database) == []

    migrate.downgrade(database, "0001")
    assert snapshot_of_first(database) == first
    migrate.upgrade(database)
    assert as_far_as(first, snapshot_of_first(database)) == first
    assert migrate.check(database) == []


def snapshot_of_first(database: Database) -> dict[str, list[dict[str, Any]]]:
    tables = ("merchants", "devices", "orders", "order_changes", "payments", "movements")
    with database.engine.connect() as connection:
        return {table: rows(connection, table) for table in tables}


Snapshot = dict[str, list[dict[str, Any]]]


def as_far_as(first: Snapshot, snapshot: Snapshot) -> Snapshot:
    """What the first revision knew of these rows."""
    known = {table: first[table][0].keys() for table in first if first[table]}
    return {
        table: [{name: row[name] for name in known[table]} for row in rows_now] for table, rows_now in snapshot.items()
    }


def test_a_column_that_is_there_already_keeps_its_text(database: Database) -> None:
    migrate.upgrade(database, "0001")
    fill_first_revision(database)
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE devices ADD COLUMN client_info_make_failed TEXT"))
        connection.execute(text("UPDATE devices SET client_info_make_failed = 'Звоните'"))
    migrate.upgrade(database)
    with database.read() as session:
        device = session.get(Device, "m-001")
        assert device is not None
        assert device.client_info_make_failed == "Звоните"


def test_make_failed_is_a_status_only_since_the_second_revision(database: Database) -> None:
    migrate.upgrade(database, "0001")
    fill_first_revision(database)
    with pytest.raises(DBAPIError), database.engine.begin() as connection:
        connection.execute(text("UPDATE orders SET status = 'make_failed'"))
    migrate.upgrade(database)
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE orders SET status = 'make_failed'"))


def test_going_back_is_refused_while_an_order_is_make_failed(migrated_database: Database) -> None:
    sell_one(migrated_database, status="make_failed")
    with pytest.raises(RuntimeError, match="make_failed"):
        migrate.downgrade(migrated_database, "0001")
    assert migrate.check(migrated_database) == []


def test_nobody_is_waited_for_to_decide_about_money_that_is_back(migrated_database: Database) -> None:
    sell_one(migrated_database, status="make_failed")
    waits = []
    for state in ("held", "canceled"):
        migrate.downgrade(migrated_database, "0044")
        with migrated_database.engine.begin() as connection:
            connection.execute(text("UPDATE orders SET waits_for_person = true"))
            connection.execute(text("UPDATE payments SET state = :state"), {"state": state})
        migrate.upgrade(migrated_database)
        with migrated_database.engine.connect() as connection:
            waits += [bool(row["waits_for_person"]) for row in rows(connection, "orders", "waits_for_person")]
    assert waits == [True, False]


def test_everything_can_be_undone(database: Database) -> None:
    migrate.upgrade(database)
    migrate.downgrade(database, "base")
    assert shape(database) == {}
    migrate.upgrade(database)
    assert migrate.check(database) == []


def test_history_and_ledger_only_grow(migrated_database: Database) -> None:
    sell_one(migrated_database)
    before = everything(migrated_database)
    for table in ("order_changes", "movements"):
        for change in (f"UPDATE {table} SET order_id = order_id", f"DELETE FROM {table}"):
            with (
                pytest.raises(DBAPIError, match=r"no delete of such a row|only grows"),
                migrated_database.engine.begin() as connection,
            ):
                connection.execute(text(change))
        assert before[table] != []
    assert everything(migrated_database) == before


@pytest.mark.parametrize(("status", "price"), [("brewing", 17900), ("paid", -1)])
def test_nonsense_is_refused_by_the_database_itself(migrated_database: Database, status: str, price: int) -> None:
    with pytest.raises(DBAPIError, match="ck_orders_"):
        sell_one(migrated_database, status, price)


def test_a_second_live_payment_of_an_order_is_refused_by_the_database_itself(migrated_database: Database) -> None:
    sell_one(migrated_database)
    with pytest.raises(DBAPIError), migrated_database.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO payments SELECT 'p2', order_id, merchant_id, scenario, account_id, capture, status_check,"
                " amount, state, live, provider_payment_id, confirmation_url, method, cancel_reason, problem, captured,"
                " refunded, started_at, paid_at, hold_expires_at, next_check_at, checks FROM payments"
            )
        )


def test_a_migration_that_fails_leaves_the_database_as_it_was(database: Database) -> None:
    migrate.upgrade(database, "0001")
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE orders RENAME TO orders_elsewhere"))
    before = shape(database)
    with pytest.raises(Exception, match="orders"):
        migrate.upgrade(database)
    assert shape(database) == before
    assert migrate.current(database) == "0001"


def test_several_processes_may_migrate_at_once(database: Database, url: str) -> None:
    program = """
import sys
from cloud.cli import main
from cloud.database.database import Database
from cloud.migrations.migrate import check, upgrade
database = Database(sys.argv[1])
upgrade(database)
sys.exit("\\n".join(check(database)) or 0)
"""
    started = [
        subprocess.Popen([sys.executable, "-c", program, url], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], errors


def test_every_table_of_the_cloud_is_known_to_the_migrations() -> None:
    sources = [path.read_text() for path in (ROOT / "cloud").rglob("*.py")]
    declared = {name for source in sources for name in re.findall(r'__tablename__ = "(\w+)"', source)}
    assert declared == set(migrate.TABLES.tables)
