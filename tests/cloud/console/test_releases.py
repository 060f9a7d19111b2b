"""The agent's versions at the console: what is kept, how far a rollout is, and who may begin, hold and end it."""

import pytest
from sqlalchemy import select

from cloud.access.models import JournalRow
from cloud.access.person import EVERYTHING, Scope
from cloud.console.releases.readers import progress
from cloud.courier.device_jobs import DeviceJob, Kind, State
from cloud.database.transaction import Transaction
from cloud.fleet import broker_identities
from cloud.fleet.models import Device, DeviceLive
from cloud.releases import rollouts
from cloud.releases.models import Rollout, RolloutMachine, Step
from cloud.releases.rollouts import Plan
from tests.cloud.console.building import FOREIGN, FOREIGN_DEVICE, OWN, Console, post
from tests.cloud.console.made import a_release
from tests.cloud.worlds import DEVICE, OTHER_DEVICE

AT = "/console/releases"


def page(console: Console, path: str = "") -> str:
    answer = console.client("admin").get(AT + path)
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


def start(console: Console, *waves: str) -> int:
    plan = Plan(a_release(console), waves or ("1", "all"), first=(DEVICE,))
    return int(console.cloud.database.transact(rollouts.start, plan, "anna", console.clock.now).rollout.id)


def machine(console: Console, number: int, device: str, step: Step, code: str = "", words: str = "") -> None:
    def work(tx: Transaction) -> None:
        one = tx.session.get_one(RolloutMachine, (number, device))
        one.state, one.code, one.words = step.value, code, words

    console.cloud.database.transact(work)


def lives(console: Console, device: str, *, online: bool, version: str) -> None:
    def work(tx: Transaction) -> None:
        live = tx.session.get_one(DeviceLive, device)
        live.online, live.agent_version = online, version

    console.cloud.database.transact(work)


def stand(console: Console, number: int, scope: Scope = EVERYTHING) -> dict[str, str]:
    """Machines in the order of the page, and how each stands."""
    with console.cloud.database.read() as session:
        found = progress(session, scope, session.get_one(Rollout, number))
    assert found.total == sum(found.counts.values()) == len(found.machines.items)
    return {one.device_uuid: one.stands for one in found.machines.items}


def last(console: Console) -> tuple[str, str, str, object]:
    with console.cloud.database.read() as session:
        row = session.scalars(select(JournalRow).order_by(JournalRow.id.desc()).limit(1)).one()
        return row.act, row.who, row.why, row.after


def test_where_nothing_is_kept_the_page_says_how_a_version_gets_there(console: Console) -> None:
    shown = page(console)
    assert "coffee-cloud release key" in shown
    assert "coffee-cloud release add coffee-agent-0.2.0.bundle" in shown


def test_a_version_is_brought_out_by_a_form_and_the_journal_says_by_whom(console: Console) -> None:
    path = f"{AT}/versions/{a_release(console)}"
    typed = {"waves": "1, 50%, all", "soak": "600", "first": f"{OTHER_DEVICE}, {DEVICE}"}
    answer = post(console.client("admin"), path, **typed)
    with console.cloud.database.read() as session:
        rollout = session.scalars(select(Rollout)).one()
    assert answer.headers["Location"] == f"{AT}/rollouts/{rollout.id}"
    assert (rollout.waves, rollout.soak_s, rollout.asked_by) == (["1", "50%", "all"], 600, "Admin")
    assert stand(console, rollout.id) == {OTHER_DEVICE: "waits", DEVICE: "later", FOREIGN_DEVICE: "later"}
    told = {"waves": ["1", "50%", "all"], "soak_s": 600, "machines": 3}
    assert last(console) == ("rollout_start", console.ids["admin"], "", told)
    with console.cloud.database.read() as session:
        assert session.query(JournalRow).filter_by(act="rollout_start").count() == 1
    again = post(console.client("admin"), path, **typed)
    assert (again.status_code, "Сначала закончите" in again.text) == (422, True)


@pytest.mark.parametrize("typed", [{"waves": "some"}, {"waves": ""}, {"waves": "all", "first": "m-none"},
                                   {"waves": "all", "of": "west"}])  # fmt: skip
def test_a_plan_that_makes_no_sense_begins_nothing_and_comes_back_as_it_was_typed(
    console: Console, typed: dict[str, str]
) -> None:
    answer = post(console.client("admin"), f"{AT}/versions/{a_release(console)}", **typed)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert typed["waves"] in answer.text
    with console.cloud.database.read() as session:
        assert session.query(Rollout).count() == 0


def test_to_begin_and_to_go_on_one_shows_who_one_is_but_the_brake_is_at_hand(console: Console) -> None:
    client = console.client("admin", confirmed=False)
    assert "/confirm" in client.get(f"{AT}/versions/{a_release(console)}").headers["Location"]
    number = start(console)
    at = f"{AT}/rollouts/{number}"
    for act, where, state in (
        ("pause", at, "paused"), ("resume", "/console/confirm", "paused"), ("stop", at, "stopped"),
        ("resume", "/console/confirm", "stopped"),
    ):  # fmt: skip
        answer = post(client, f"{at}/{act}", why="so")
        assert answer.headers["Location"].partition("?")[0] == where, act
        with console.cloud.database.read() as session:
            assert session.get_one(Rollout, number).state == state
    assert last(console) == ("rollout_stop", console.ids["admin"], "so", {"state": "stopped"})


def test_the_worst_machine_stands_first_with_why(console_on_each: Console) -> None:
    console = console_on_each
    number = start(console, "all")
    machine(console, number, DEVICE, Step.DONE)
    machine(console, number, OTHER_DEVICE, Step.FAILED, "rolled_back", "no broker")
    lives(console, DEVICE, online=True, version="0.2.0")
    assert stand(console, number) == {OTHER_DEVICE: "rolled_back", FOREIGN_DEVICE: "away", DEVICE: "done"}
    shown = page(console, f"/rollouts/{number}")
    assert "агент вернулся к прежней" in shown
    assert shown.index(OTHER_DEVICE) < shown.index(f"/console/machines/{DEVICE}")
    lives(console, DEVICE, online=False, version="0.2.0")
    assert stand(console, number)[DEVICE] == "gone"
    assert stand(console, number, Scope(frozenset({FOREIGN}))) == {FOREIGN_DEVICE: "away"}
    assert DEVICE not in page(console, f"/rollouts/{number}?stands=away")


def test_the_page_says_for_whom_a_rollout_waits(console_on_each: Console) -> None:
    console = console_on_each
    number = start(console)
    lives(console, DEVICE, online=False, version="0.1.0")
    assert "Ждём 1 автомат, который не на связи." in page(console, f"/rollouts/{number}")
    machine(console, number, DEVICE, Step.DONE)
    assert "не дольше суток: 1 обновлённый автомат не на связи" in page(console, f"/rollouts/{number}")
    machine(console, number, DEVICE, Step.SKIPPED, "no_release_key")
    assert "новой версии нет ни у кого" in page(console, f"/rollouts/{number}")
    console.cloud.database.transact(rollouts.pause, number)
    assert "новой версии нет ни у кого" not in page(console, f"/rollouts/{number}")


def test_a_machine_out_of_service_is_neither_lost_nor_waited_for(console_on_each: Console) -> None:
    console = console_on_each
    number = start(console)
    machine(console, number, DEVICE, Step.DONE)

    def close(tx: Transaction) -> None:
        tx.session.get_one(Device, DEVICE).status = "closed"
        broker_identities.revoke(tx, OTHER_DEVICE, console.clock.now)

    console.cloud.database.transact(close)
    lives(console, DEVICE, online=False, version="0.2.0")
    assert stand(console, number) == {FOREIGN_DEVICE: "later", OTHER_DEVICE: "out", DEVICE: "done"}
    assert "выведен из работы" in page(console, f"/rollouts/{number}")


def test_asked_and_updating_are_told_apart_by_the_agents_word(console: Console) -> None:
    number = start(console, "all")

    def ask(tx: Transaction) -> None:
        now = console.clock.now
        for device, state in ((DEVICE, State.STARTED), (OTHER_DEVICE, State.SENT)):
            tx.session.add(
                DeviceJob(id=f"update-{device}", device_uuid=device, kind=Kind.UPDATE.value, wanted={}, asked_by="x",
                          asked_at=now, expires_at=now, state=state.value, code="", words="")
            )  # fmt: skip
            tx.session.flush()
            one = tx.session.get_one(RolloutMachine, (number, device))
            one.state, one.job_id = Step.ASKED.value, f"update-{device}"

    console.cloud.database.transact(ask)
    assert stand(console, number) == {DEVICE: "tries", OTHER_DEVICE: "asked", FOREIGN_DEVICE: "away"}


def test_a_long_list_goes_on_where_it_ended(console_on_each: Console) -> None:
    console = console_on_each
    number = start(console, "1", "all")
    seen: list[str] = []
    after = ""
    for _ in range(3):
        with console.cloud.database.read() as session:
            listed = progress(session, EVERYTHING, session.get_one(Rollout, number), after=after, limit=1).machines
        seen += [one.device_uuid for one in listed.items]
        after = listed.next
    assert (seen, after) == ([DEVICE, OTHER_DEVICE, FOREIGN_DEVICE], "")


def test_the_page_renews_itself_only_when_something_has_changed(console: Console) -> None:
    number = start(console)
    client = console.client("admin")
    shown = page(console, f"/rollouts/{number}")
    path = shown.partition('hx-get="')[2].partition('"')[0].replace("&amp;", "&")
    assert client.get(path).status_code == 204
    machine(console, number, DEVICE, Step.FAILED, "self_test")
    renewed = client.get(path)
    assert (renewed.status_code, "не прошла проверку" in renewed.text) == (200, True)
    console.cloud.database.transact(rollouts.pause, number)
    assert client.get(path).headers["HX-Refresh"] == "true"  # other buttons


def test_going_on_is_with_the_machine_that_failed_or_without_it(console: Console) -> None:
    for again, step in (("yes", "waiting"), ("", "skipped")):
        number = start(console)
        machine(console, number, DEVICE, Step.FAILED, "self_test")
        console.cloud.database.transact(rollouts.stop, "it failed", console.clock.now, number)
        assert 'name="again"' in page(console, f"/rollouts/{number}")
        post(console.client("admin"), f"{AT}/rollouts/{number}/resume", again=again)
        with console.cloud.database.read() as session:
            assert session.get_one(RolloutMachine, (number, DEVICE)).state == step
        console.cloud.database.transact(rollouts.stop, "", console.clock.now, number)


def test_a_button_of_a_page_that_is_out_of_date_turns_no_other_rollout(console: Console) -> None:
    before = start(console)
    console.cloud.database.transact(rollouts.stop, "", console.clock.now, before)
    present = start(console)
    client = console.client("admin")
    answer = post(client, f"{AT}/rollouts/{before}/pause")
    assert "в другом состоянии" in client.get(answer.headers["Location"]).text
    with console.cloud.database.read() as session:
        assert session.get_one(Rollout, present).state == "running"
        assert session.query(JournalRow).filter_by(act="rollout_pause").count() == 0


def test_a_rollout_that_a_machine_has_stopped_is_not_put_back_blindly(console: Console) -> None:
    number = start(console)
    client = console.client("admin")
    post(client, f"{AT}/rollouts/{number}/pause")
    machine(console, number, DEVICE, Step.FAILED, "self_test")
    with console.cloud.database.read() as session:
        entry = session.scalars(select(JournalRow.id).order_by(JournalRow.id.desc()).limit(1)).one()
    post(client, f"/console/journal/{entry}/undo")
    assert "с ними продолжить или без них" in client.get("/console/journal").text
    unconfirmed = post(console.client("admin", confirmed=False), f"/console/journal/{entry}/undo")
    assert "/confirm" in unconfirmed.headers["Location"]
    with console.cloud.database.read() as session:
        assert session.get_one(Rollout, number).state == "paused"


def test_a_rollout_that_a_newer_one_came_after_is_not_put_back(console: Console) -> None:
    number = start(console)
    client = console.client("admin")
    post(client, f"{AT}/rollouts/{number}/stop")
    with console.cloud.database.read() as session:
        entry = session.scalars(select(JournalRow.id).order_by(JournalRow.id.desc()).limit(1)).one()
    console.cloud.database.transact(rollouts.stop, "", console.clock.now, start(console))
    post(client, f"/console/journal/{entry}/undo")
    assert "изменилось ещё раз" in client.get("/console/journal").text
    with console.cloud.database.read() as session:
        assert session.get_one(Rollout, number).state == "stopped"


def test_nobody_of_a_merchant_sees_the_section(console: Console) -> None:
    start(console)
    client = console.client(f"owner@{OWN}")
    assert client.get(AT).status_code == 403
    assert AT not in client.get("/console/now").get_data(as_text=True)
