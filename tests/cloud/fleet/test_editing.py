"""Editing by hand: by the file's rules, overtaken edits refused; the file never takes a hand's edit back in silence."""

import pytest
from sqlalchemy import select

from cloud.fleet import editing
from cloud.fleet.apply import Did, apply
from cloud.fleet.editing import NotTaken, Overtaken, Thing
from cloud.fleet.file_and_hand import ByHand
from cloud.fleet.fleet_export import export
from cloud.fleet.fleet_file import FleetFileError, read_fleet
from cloud.fleet.hand_edits import HandEdit
from cloud.fleet.models import Device, Drink
from tests.cloud.worlds import DEVICE, World

MACHINE, LATTE = Thing("device", DEVICE), Thing("drink", f"{DEVICE}/latte")
FILE = f"""
[[merchant]]
id = "north"
name = "ООО Север"
[[device]]
device_uuid = "{DEVICE}"
merchant = "north"
payment_scenario = "Yookassa"
location = "Hall"
[[device.drink]]
drink_no = "latte"
name = "Латте"
prices = {{ medium = 17900 }}
"""


def edit(world: World, thing: Thing, **wanted: object) -> editing.Changed:
    return world.database.transact(editing.change, thing, wanted, "Ann", world.now)


def taken(world: World, by_hand: ByHand = ByHand.REFUSE, text: str = FILE) -> list[str]:
    report = apply(world.database, world.vault, text, {}, by_hand=by_hand)
    return [entry.name for entry in report.entries if entry.did not in {Did.SAME, Did.NOT_IN_FILE}]


def location(world: World) -> str:
    with world.database.read() as session:
        return session.get_one(Device, DEVICE).location


@pytest.mark.any_database
def test_an_edit_tells_what_was_before_and_keeps_to_the_files_rules(world: World) -> None:
    changed = edit(world, LATTE, name="Латте", price_medium=19900)
    assert (changed.before, changed.after) == ({"price_medium": 17900}, {"price_medium": 19900})
    with pytest.raises(NotTaken) as refused:
        edit(world, LATTE, price_medium=5, price_small=None, drink_no="other")
    assert refused.value.problems.keys() == {"price_medium", "drink_no"}
    with pytest.raises(NotTaken, match="one size"):
        edit(world, LATTE, price_medium=None)
    with pytest.raises(NotTaken, match="time zone"):
        edit(world, MACHINE, zone="Europe/Nowhere")
    assert edit(world, MACHINE, zone="Asia/Omsk").after == {"zone": "Asia/Omsk"}


def test_what_somebody_else_has_changed_meanwhile_is_not_written_over(world: World) -> None:
    with world.database.read() as session:
        seen = editing.state_of(session, MACHINE)
    edit(world, MACHINE, location="Second floor")

    with pytest.raises(Overtaken):
        world.database.transact(editing.change, MACHINE, {"location": "Third"}, "Bob", world.now, seen)
    world.database.transact(editing.change, MACHINE, {"serial_no": "A-1"}, "Bob", world.now, seen)
    assert location(world) == "Second floor"


@pytest.mark.any_database
def test_the_file_is_refused_where_a_hand_said_otherwise_until_somebody_chooses(world: World) -> None:
    taken(world)
    edit(world, MACHINE, location="Second floor")

    with pytest.raises(FleetFileError, match=r"location: the console has 'Second floor' .by hand, Ann"):
        taken(world)
    assert taken(world, ByHand.KEEP_CONSOLE) == []
    assert location(world) == "Second floor"
    with pytest.raises(FleetFileError):
        taken(world)
    assert taken(world, ByHand.TAKE_FILE) == [f"device {DEVICE}"]
    assert location(world) == "Hall"
    assert taken(world) == []


@pytest.mark.any_database
def test_a_file_that_says_the_same_ends_the_difference(world: World) -> None:
    taken(world)
    edit(world, MACHINE, location="Second floor")
    assert taken(world, text=FILE.replace("Hall", "Second floor")) == []
    with world.database.read() as session:
        assert session.scalars(select(HandEdit)).all() == []


def test_a_drink_added_or_removed_by_hand_is_named_too(world: World) -> None:
    taken(world)
    mocha = {"name": "Мокко", "price_large": 21000}
    world.database.transact(editing.add_drink, DEVICE, "mocha", mocha, "Ann", world.now)
    world.database.transact(editing.remove_drink, LATTE, "Ann", world.now)

    with pytest.raises(FleetFileError, match="added drink mocha") as refused:
        taken(world)
    assert "has removed latte" in str(refused.value)
    assert taken(world, ByHand.KEEP_CONSOLE) == []
    assert taken(world, ByHand.TAKE_FILE) == [f"drink latte of device {DEVICE}", f"drink mocha of device {DEVICE}"]
    with world.database.read() as session:
        sold = session.scalars(select(Drink.drink_no).where(Drink.device_uuid == DEVICE)).all()
    assert sold == ["latte"]


def test_what_is_exported_changes_nothing_when_it_is_applied(world: World) -> None:
    taken(world)
    edit(world, MACHINE, client_info='<b>Привет</b> "там"\nстрока', zone="Asia/Omsk", serial_no="SN\\7")
    with world.database.read() as session:
        text = export(session, ["north"])
    assert "test_secret" not in text
    report = apply(world.database, world.vault, text, {"SECRET_YOOKASSA_NORTH": "test_secret"})
    assert [entry for entry in report.entries if entry.did not in {Did.SAME, Did.NOT_IN_FILE}] == []


def test_what_is_exported_names_a_variable_that_an_environment_may_have(world: World) -> None:
    shop = 'id = "my.shop-2"\nname = "x"\n[merchant.payment.Yookassa]\naccount_id = "1"\nsecret_key = "env:KEY"\n'
    apply(world.database, world.vault, f"[[merchant]]\n{shop}", {"KEY": "test_secret"})
    with world.database.read() as session:
        assert 'secret_key = "env:SECRET_YOOKASSA_MY_SHOP_2"' in export(session, ["my.shop-2"])


@pytest.mark.any_database
def test_a_file_from_elsewhere_reads_no_secret_of_this_host(world: World) -> None:
    asks = FILE + '\n[[merchant]]\nid = "x"\nname = "x"\n[merchant.payment.Yookassa]\nsecret_key = "file:/etc/passwd"\n'
    file = read_fleet(asks, {}, with_accounts=False)
    file.refuse_if_wrong()
    assert file.accounts == []
