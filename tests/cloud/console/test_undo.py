"""Taking acts back: each act either comes back to the letter, or says why not; what has moved on is not touched."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from cloud.access.acts import Act
from cloud.access.models import JournalRow, Membership, User
from cloud.alerts.models import Channel, Mute, Rule
from cloud.console.journal.undo_table import LEAVES_NOTHING, NOT_UNDOABLE, UNDOERS
from cloud.fleet.models import Credential, Device, Drink, Merchant
from cloud.fleet.replaced_credentials import ReplacedCredential
from cloud.operators.retention import Retention
from cloud.payments.reconcile.models import FoundDifference
from cloud.releases.models import Rollout
from tests.cloud.console.building import FOREIGN, OWN, Console, post
from tests.cloud.console.samples import SAMPLES
from tests.cloud.worlds import DEVICE, SHOP_SECRET

OWNER, MANAGER = f"owner@{OWN}", f"manager@{OWN}"
UNDONE_BY_HAND = {
    "version",
    "opened_at",
    "closed_since",
    "revision",
    "created_at",
    "broken_since",
    "pending_s",
    "closed_at",
    "ended_at",
}
"""What counts or dates changes, and so goes on."""
KEYS = f"/console/settings/{OWN}/keys/Yookassa"
FILE = f"""
[[device]]
device_uuid = "{DEVICE}"
merchant = "{OWN}"
payment_scenario = "Yookassa"
location = "Elsewhere"
[[device.drink]]
drink_no = "mocha"
name = "Mocha"
prices = {{ medium = 21000 }}
[[device]]
device_uuid = "m-new"
merchant = "{OWN}"
payment_scenario = "Yookassa"
[[device.drink]]
drink_no = "tea"
name = "Tea"
prices = {{ small = 9000 }}
"""
COCOA = """[[device.drink]]
drink_no = "cocoa"
name = "Cocoa"
prices = { small = 100 }
"""


def state(console: Console) -> dict[str, list[dict[str, Any]]]:
    """All that people set here, secrets opened."""
    found: dict[str, list[dict[str, Any]]] = {}
    with console.cloud.database.read() as session:
        for model in (Merchant, Device, Drink, Credential, Membership, User, Channel, Rule, Mute, FoundDifference,
                      Rollout):  # fmt: skip
            names = [one.key for one in model.__table__.columns if one.key not in UNDONE_BY_HAND]
            rows = [{name: getattr(row, name) for name in names} for row in session.scalars(select(model))]
            found[model.__tablename__] = rows
    for account in found["credentials"]:
        account["secret"] = console.world.vault.open(account["secret"])
    for one in found["memberships"]:
        del one["id"]
    found["alert_rules"] = [rule for rule in found["alert_rules"] if not rule["enabled"]]
    return {name: sorted(rows, key=repr) for name, rows in found.items()}


def last(console: Console) -> JournalRow:
    with console.cloud.database.read() as session:
        return session.scalars(select(JournalRow).order_by(JournalRow.id.desc())).first()  # type: ignore[return-value]


def undo(console: Console, entry: JournalRow, who: str = OWNER) -> str:
    """What the next page says."""
    client = console.client(who)
    post(client, f"/console/journal/{entry.id}/undo")
    return client.get("/console/journal").get_data(as_text=True)


def keys(console: Console, **changed: str) -> None:
    post(console.client(OWNER), KEYS, **{"account_id": "100500", "capture": "immediate", **changed})


def new_keys(console: Console) -> None:
    keys(console, account_id="200600", secret_key="live_another")


def load(console: Console, text: str = FILE) -> None:
    page = post(console.client(OWNER), f"/console/settings/{OWN}/import", text=text, go="yes", by_hand="take-file")
    assert page.status_code == 200, page.text


def rules(console: Console) -> None:
    post(
        console.client(OWNER), "/console/alerts/rules/save", merchant=OWN, **{"on-offline": "1", "pending-offline": "9"}
    )


def channel(console: Console, path: str, **form: str) -> None:
    terms = {"merchant": OWN, "kind": "email", "name": "night", "address": "night@example.org", **form}
    post(console.client(OWNER), f"/console/alerts/channels/{path}", **terms)


def member(console: Console, path: str, **form: str) -> None:
    with console.cloud.database.read() as session:
        support = Membership.user_id == console.ids[f"support@{OWN}"]
        number = session.scalar(select(Membership.id).where(support))
    post(console.client(OWNER), f"/console/people/{number}/{path}", **form)


def settle(console: Console) -> None:
    number = SAMPLES["difference"](console)
    console.made = state(console)  # type: ignore[attr-defined]  # it was made by the sample, not by the act
    post(console.client(OWNER), f"/console/money/differences/{number}/settle", why="counted by hand")


def by_sample(kind: str, act: Callable[[Console, str], None]) -> Callable[[Console], None]:
    def work(console: Console) -> None:
        name = SAMPLES[kind](console)
        console.made = state(console)  # type: ignore[attr-defined]
        act(console, name)

    return work


def machine(path: str, **form: str) -> Callable[[Console], None]:
    def work(console: Console) -> None:
        post(console.client(OWNER), f"/console/{path}", **form)

    return work


def rollout(act: str) -> Callable[[Console], None]:
    def work(console: Console, number: str) -> None:
        post(console.client("admin"), f"/console/releases/rollouts/{number}/{act}")

    return by_sample("rollout", work)


CLOSE = {"why": "the grinder is loud"}
ACTS: list[tuple[tuple[Act, str], str, Callable[[Console], None]]] = [
    ((Act.EDIT_MERCHANT, "merchant"), "name", machine(f"settings/{OWN}", name="Другой")),
    ((Act.EDIT_MACHINES, "device"), "place", machine(f"settings/machine/{DEVICE}", location="Elsewhere")),
    ((Act.EDIT_MENU, "device"), "text", machine(f"settings/machine/{DEVICE}/text/client_info", client_info="Hello")),
    ((Act.EDIT_MENU, "drink"), "price", machine(f"settings/drink/{DEVICE}/latte", name="Латте", price_medium="199")),
    ((Act.EDIT_MENU, "drink"), "added",
     machine(f"settings/machine/{DEVICE}/drinks", drink_no="mocha", name="Мокко", price_medium="210")),
    ((Act.EDIT_MENU, "drink"), "removed", machine(f"settings/drink/{DEVICE}/latte", remove="yes")),
    ((Act.EDIT_CREDENTIALS, "credential"), "another shop", new_keys),
    ((Act.EDIT_CREDENTIALS, "credential"), "terms only", keys),
    ((Act.EDIT_CREDENTIALS, "credential"), "first keys",
     machine(f"settings/{OWN}/keys/TBank", account_id="T1", secret_key="live_first")),
    ((Act.IMPORT_FLEET, "merchant"), "a file", load),
    ((Act.CLOSE_AND_OPEN, "device"), "closed", machine(f"machines/{DEVICE}/close", **CLOSE)),
    ((Act.CLOSE_AND_OPEN, "drink"), "closed", machine(f"machines/{DEVICE}/close", drink="latte", **CLOSE)),
    ((Act.EDIT_ALERTS, "alert_rules"), "rules", rules),
    ((Act.EDIT_ALERTS, "channel"), "added", lambda console: channel(console, "add")),
    ((Act.EDIT_ALERTS, "channel"), "changed",
     by_sample("channel", lambda console, name: channel(console, f"{name}/save", quiet_begin="22:00",
                                                        quiet_end="07:30"))),
    ((Act.EDIT_ALERTS, "channel"), "removed",
     by_sample("channel", lambda console, name: channel(console, f"{name}/remove"))),
    ((Act.EDIT_ALERTS, "device"), "maintenance", machine("alerts/maintenance", device=DEVICE, hours="8", why="?")),
    ((Act.MANAGE_USERS, "user"), "role", lambda console: member(console, "role", role="viewer")),
    ((Act.MANAGE_USERS, "user"), "role taken", lambda console: member(console, "role", take="yes")),
    ((Act.MANAGE_USERS, "user"), "disabled", lambda console: member(console, "disable")),
    ((Act.SETTLE_DIFFERENCE, "difference"), "settled", settle),
    ((Act.PAUSE_ROLLOUT, "rollout"), "paused", rollout("pause")),
    ((Act.STOP_ROLLOUT, "rollout"), "stopped", rollout("stop")),
]  # fmt: skip


def test_every_act_is_taken_back_or_says_why_not() -> None:
    undoable = {act for act, _ in UNDOERS}
    looking = {act for act in Act if act.startswith("see_")}
    assert set(Act) == undoable | set(NOT_UNDOABLE) | looking | LEAVES_NOTHING
    assert not undoable & NOT_UNDOABLE


def test_every_way_back_is_walked() -> None:
    assert {key for key, _, _ in ACTS} == set(UNDOERS)


@pytest.mark.parametrize("act", [act for _, _, act in ACTS], ids=[f"{key[0]} {key[1]} {name}" for key, name, _ in ACTS])
def test_what_was_comes_back_to_the_letter(console: Console, act: Callable[[Console], None]) -> None:
    before = state(console)
    act(console)
    entry, before = last(console), getattr(console, "made", before)
    assert (entry.act, entry.kind) in {key for key, _, done in ACTS if done is act}
    changed = state(console)
    assert changed != before

    who = "admin" if entry.kind == "rollout" else OWNER
    said = undo(console, entry, who)

    assert last(console).undoes == entry.id, said
    assert state(console) == before
    if entry.act != Act.EDIT_CREDENTIALS or entry.before:
        undo(console, last(console), who)  # and an undoing is an act like any other
        assert state(console) == changed


def test_keys_come_back_unseen_and_only_for_who_has_just_shown_who_he_is(console: Console) -> None:
    new_keys(console)
    entry = last(console)
    with console.cloud.database.read() as session:
        [kept] = session.scalars(select(ReplacedCredential))
        assert SHOP_SECRET not in kept.secret
        assert console.world.vault.open(kept.secret) == SHOP_SECRET
    post(console.client(OWNER, confirmed=False), f"/console/journal/{entry.id}/undo")
    assert last(console).id == entry.id

    assert SHOP_SECRET not in undo(console, entry)

    assert last(console).undoes == entry.id
    assert SHOP_SECRET not in str((last(console).before, last(console).after))
    with console.cloud.database.read() as session:
        assert console.world.vault.open(session.get_one(Credential, (OWN, "Yookassa")).secret) == SHOP_SECRET


def test_keys_are_kept_for_a_week_and_no_longer(console: Console) -> None:
    new_keys(console)
    entry = last(console)
    console.clock.advance(timedelta(days=7).total_seconds() + 1)
    assert f"/console/journal/{entry.id}/undo" not in console.client(OWNER).get("/console/journal").text
    assert post(console.client(OWNER), f"/console/journal/{entry.id}/undo").status_code == 409
    Retention(console.cloud.database).step(console.clock.now)
    with console.cloud.database.read() as session:
        assert session.scalars(select(ReplacedCredential)).all() == []


def test_keys_changed_again_are_not_put_back(console: Console) -> None:
    """The very same words, another secret."""
    new_keys(console)
    entry = last(console)
    keys(console, account_id="200600", secret_key="live_third")
    assert "version" in undo(console, entry)
    assert last(console).undoes is None


def test_first_keys_that_a_machine_sells_with_stay(console: Console) -> None:
    machine(f"settings/{OWN}/keys/TBank", account_id="T1", secret_key="live_first")(console)
    entry = last(console)
    load(console, FILE.replace('payment_scenario = "Yookassa"', 'payment_scenario = "TBank"'))
    assert f"{OWN}/TBank" in undo(console, entry)
    assert last(console).undoes is None


@pytest.mark.parametrize("moved", ["field", "drink", "machine in use"])
def test_a_file_is_taken_back_whole_or_not_at_all(console: Console, moved: str) -> None:
    load(console)
    entry = last(console)
    if moved == "field":
        machine(f"settings/machine/{DEVICE}", location="Third place")(console)
    elif moved == "drink":
        machine(f"settings/machine/{DEVICE}/drinks", drink_no="latte", name="Латте", price_medium="200")(console)
    else:
        machine("enrolment/m-new")(console)
    before = state(console)

    said = undo(console, entry)

    named = {"field": f"device {DEVICE}", "drink": f"drink {DEVICE}/latte", "machine in use": "m-new"}[moved]
    assert named in said
    assert state(console) == before


def test_a_drink_that_was_closed_comes_back_closed(console: Console) -> None:
    machine(f"machines/{DEVICE}/close", drink="latte", **CLOSE)(console)
    machine(f"settings/drink/{DEVICE}/latte", remove="yes")(console)
    undo(console, last(console))
    with console.cloud.database.read() as session:
        assert session.get_one(Drink, (DEVICE, "latte")).closed_why == CLOSE["why"]


def test_what_was_put_back_is_not_taken_by_the_file_in_silence(console: Console) -> None:
    load(console)
    undo(console, last(console))
    page = post(console.client(OWNER), f"/console/settings/{OWN}/import", text=FILE)
    assert "by hand" in page.text


def load_with_a_drink_less(console: Console) -> None:
    """An entry of a file is the merchant's, and names no machine."""
    load(console, FILE.replace('[[device]]\ndevice_uuid = "m-new"', f'{COCOA}[[device]]\ndevice_uuid = "m-new"'))
    load(console)


OF_MACHINES = [(f"{key[0]} {name}", act) for key, name, act in ACTS if key[1] in {"device", "drink"}]
OF_MACHINES.append((f"{Act.IMPORT_FLEET} a drink less", load_with_a_drink_less))


@pytest.mark.parametrize("act", [act for _, act in OF_MACHINES], ids=[name for name, _ in OF_MACHINES])
def test_a_former_owner_takes_nothing_back_on_a_machine_that_is_anothers_now(
    console: Console, act: Callable[[Console], None]
) -> None:
    act(console)
    entry = last(console)
    handover = update(Device).where(Device.device_uuid == DEVICE).values(merchant_id=FOREIGN)
    console.cloud.database.transact(lambda tx: tx.connection.execute(handover))
    before = state(console)

    said = undo(console, entry)

    assert "автомат теперь у другой компании" in said
    assert state(console) == before
    assert last(console).id == entry.id


def test_a_machine_that_another_has_made_meanwhile_is_not_made_again(console: Console) -> None:
    load(console)
    undo(console, last(console))
    entry = last(console)
    assert entry.after is not None
    assert entry.after["device m-new"] == {}
    anothers = Device(device_uuid="m-new", merchant_id=FOREIGN, payment_scenario="Yookassa")
    console.cloud.database.transact(lambda tx: tx.session.add(anothers))
    before = state(console)

    assert "автомат теперь у другой компании" in undo(console, entry)

    assert state(console) == before


def test_a_drink_does_not_come_back_without_its_machine(console: Console) -> None:
    load(console, FILE + COCOA)
    whole = last(console)
    load(console)
    entry = last(console)
    undo(console, entry)
    undo(console, whole)
    before = state(console)

    assert "изменилось ещё раз — m-new" in undo(console, entry)

    assert state(console) == before


def test_a_technician_of_some_machines_reads_his_own_acts_and_takes_one_back(console: Console) -> None:
    """Regression: every technician that a console invites is one, and had no journal."""
    his, foreign = f"technician@{OWN}", {"drink": "latte", "why": "not for his eyes"}
    post(console.client(OWNER), f"/console/machines/{DEVICE}/close", **foreign)
    before = state(console)
    post(console.client(his), f"/console/machines/{DEVICE}/close", why="the grinder is loud")
    entry = last(console)
    shown = console.client(his).get("/console/journal").text
    assert "the grinder is loud" in shown
    assert foreign["why"] not in shown

    undo(console, entry, his)

    assert (last(console).undoes, state(console)) == (entry.id, before)


def test_who_may_not_act_may_not_take_back(console: Console) -> None:
    new_keys(console)
    entry = last(console)
    assert post(console.client(MANAGER), f"/console/journal/{entry.id}/undo").status_code == 403
    assert last(console).id == entry.id
