"""What the watch makes of what it sees, over time and by the merchants' rules."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from cloud.access.person import Scope
from cloud.alerts import handling, money_conditions
from cloud.alerts.certificates import CertificateCheck
from cloud.alerts.incident import Condition
from cloud.alerts.kinds import PLATFORM, Kind
from cloud.alerts.models import IncidentRow, Rule
from cloud.alerts.watch import IncidentWatch
from cloud.console.now.readers import troubles
from cloud.database.transaction import Transaction
from cloud.fleet.models import Device, DeviceLive, Merchant
from tests.cloud.alerts.desk import Desk
from tests.cloud.worlds import DEVICE

SOUTHS = "s-001"


def _found_south(tx: Transaction) -> None:
    tx.session.add(Merchant(id="south", name="ООО Юг"))
    tx.session.flush()
    tx.session.add(Device(device_uuid=SOUTHS, merchant_id="south", payment_scenario="Yookassa"))
    tx.session.flush()
    tx.session.add(DeviceLive(device_uuid=SOUTHS, online=True, session_id="s1"))


def _rule(desk: Desk, kind: str, *, enabled: bool = True, pending_s: float | None = None) -> None:
    rule = Rule(merchant_id="north", kind=kind, enabled=enabled, pending_s=pending_s)
    desk.world.database.transact(lambda tx: tx.session.merge(rule))


def _ten_go(desk: Desk) -> list[str]:
    names = desk.machines(10)
    for name in names:
        desk.presence(name, online=False)
    return names


def test_after_a_blip_the_same_machine_and_all_others_are_still_told_of(desk: Desk) -> None:
    """Regression: the row of a blip that was over refused the next incident, and with it all of all merchants."""
    desk.world.database.transact(_found_south)
    desk.channel()
    desk.channel(address="-2", merchant="south")
    desk.presence(DEVICE, online=False)
    desk.pass_time(60)
    desk.presence(DEVICE, online=True)
    desk.pass_time(40 * 60)
    assert desk.incidents() == []
    desk.presence(DEVICE, online=False)
    desk.presence(SOUTHS, online=False)
    desk.pass_time(200)
    assert [len(desk.messages(chat)) for chat in ("-100500", "-2")] == [1, 1]
    assert desk.incidents() == [("offline", DEVICE, "open"), ("offline", SOUTHS, "open")]


def test_a_row_that_was_left_behind_does_not_stand_in_the_way(sqlite_desk: Desk) -> None:
    """Regression: earlier versions left rows of blips that were over."""
    desk = sqlite_desk
    desk.channel()
    an_hour_ago = desk.world.now - timedelta(hours=1)
    left = IncidentRow(
        id="0f" * 16, fingerprint=f"north/offline/{DEVICE}", kind="offline", merchant_id="north", subject=DEVICE,
        state="pending", since=an_hour_ago, present=False, changed_at=an_hour_ago, facts={}, flips=[],
    )  # fmt: skip
    desk.world.database.transact(lambda tx: tx.session.add(left))
    desk.presence(DEVICE, online=False)
    desk.pass_time(200)
    assert len(desk.messages()) == 1
    assert desk.incidents() == [("offline", DEVICE, "open")]


def test_what_a_newer_program_tells_of_keeps_no_alert_of_ours_back(sqlite_desk: Desk) -> None:
    """Regression: who went back to the program before had no alert of any kind until that row was gone."""
    desk = sqlite_desk
    desk.channel()
    newer = IncidentRow(
        id="0f" * 16, fingerprint="north/kind_of_tomorrow/", kind="kind_of_tomorrow", merchant_id="north", subject="",
        state="open", since=desk.world.now, present=True, changed_at=desk.world.now, facts={}, flips=[],
    )  # fmt: skip
    desk.world.database.transact(lambda tx: tx.session.add(newer))
    desk.presence(DEVICE, online=False)
    desk.pass_time(200)
    assert len(desk.messages()) == 1
    with desk.world.database.read() as session:
        told = troubles(session, Scope(everything=True), desk.world.now)
    assert [one.kind for one in told] == [Kind.OFFLINE]


def test_a_crowd_that_is_switched_off_is_told_one_by_one(sqlite_desk: Desk) -> None:
    """Regression: a merchant's rule for many machines was never applied."""
    _rule(sqlite_desk, "many_offline", enabled=False)
    sqlite_desk.channel()
    names = _ten_go(sqlite_desk)
    sqlite_desk.pass_time(200)
    assert sqlite_desk.incidents() == [("offline", name, "open") for name in names]
    sqlite_desk.pass_time(30, every=2)
    assert len(sqlite_desk.messages()) == 10


def test_many_are_told_of_where_single_machines_are_not(sqlite_desk: Desk) -> None:
    """Regression: with single machines switched off nobody was told of a crowd either."""
    _rule(sqlite_desk, "offline", enabled=False)
    sqlite_desk.channel()
    _ten_go(sqlite_desk)
    sqlite_desk.pass_time(200)
    assert sqlite_desk.incidents() == [("many_offline", "", "open")]
    [message] = sqlite_desk.messages()
    assert "Не на связи автоматов: 10 из 12" in message.text


@pytest.mark.parametrize(("pending_s", "told"), [(30.0, 1), (600.0, 0)])
def test_a_crowd_waits_as_long_as_its_own_rule_says(sqlite_desk: Desk, pending_s: float, told: int) -> None:
    """Regression: it always waited for two minutes."""
    _rule(sqlite_desk, "many_offline", pending_s=pending_s)
    sqlite_desk.channel()
    _ten_go(sqlite_desk)
    sqlite_desk.pass_time(60 if told else 500)
    assert len(sqlite_desk.messages()) == told
    sqlite_desk.pass_time(300)
    assert len(sqlite_desk.messages()) == 1


def test_switched_off_later_a_crowd_holds_its_machines_no_more(sqlite_desk: Desk) -> None:
    """Regression: machines stay told of by an incident that ends."""
    sqlite_desk.channel()
    _ten_go(sqlite_desk)
    sqlite_desk.pass_time(200)
    assert len(sqlite_desk.messages()) == 1
    _rule(sqlite_desk, "many_offline", enabled=False)
    sqlite_desk.pass_time(60, every=2)
    assert len(sqlite_desk.messages()) == 11


@pytest.mark.parametrize("away_s", [60, 200], ids=["a blip", "told and over"])
def test_one_machine_is_no_crowd_because_it_went_with_one_before(sqlite_desk: Desk, away_s: float) -> None:
    """Regression: for half an hour any of its machines was a critical "they went together", through quiet hours."""
    desk = sqlite_desk
    desk.channel()
    names = _ten_go(desk)
    desk.pass_time(away_s)
    for name in names:
        desk.presence(name, online=True)
    desk.pass_time(11 * 60)
    before = [each for each in desk.incidents() if each[0] == "many_offline"]
    assert [state for *_, state in before] == ["pending" if away_s == 60 else "resolved"]
    desk.presence(names[0], online=False)
    desk.pass_time(200)
    assert [each for each in desk.incidents() if each[0] == "many_offline"] == before
    assert ("offline", names[0], "open") in desk.incidents()
    assert names[0] in desk.messages()[-1].text
    for name in names[1:]:
        desk.presence(name, online=False)
    desk.pass_time(30)
    assert ("many_offline", "", "pending" if away_s == 60 else "open") in desk.incidents(), "nine more are one again"


def test_machines_under_maintenance_make_no_crowd(sqlite_desk: Desk) -> None:
    """Regression: switched off together they were a critical message, through quiet hours."""
    sqlite_desk.channel()
    names = sqlite_desk.machines(3)
    sqlite_desk.maintain(names, hours=2)
    for name in names:
        sqlite_desk.presence(name, online=False)
    sqlite_desk.pass_time(200)
    assert sqlite_desk.messages() == []
    assert sqlite_desk.incidents() == [("offline", name, "open") for name in names]


def test_a_crowd_that_is_told_lasts_while_its_machines_are_worked_on(sqlite_desk: Desk) -> None:
    sqlite_desk.channel()
    names = _ten_go(sqlite_desk)
    sqlite_desk.pass_time(200)
    sqlite_desk.maintain(names, hours=2)
    sqlite_desk.pass_time(600)
    assert ("many_offline", "", "open") in sqlite_desk.incidents()
    assert len(sqlite_desk.messages()) == 1


def test_a_crowd_is_repeated_while_one_of_its_machines_is_not_worked_on(sqlite_desk: Desk) -> None:
    """Regression: it was repeated though all of its machines were under maintenance."""
    desk = sqlite_desk
    desk.channel()
    names = _ten_go(desk)
    desk.pass_time(200)
    desk.maintain(names, hours=24)
    desk.presence(names[0], online=True)
    desk.pass_time(5 * 3600, every=600)
    [message] = desk.messages()
    assert "Не на связи автоматов: 9 из 12" in message.text, "changed in silence"
    desk.world.database.transact(handling.unmute, "north", names[1])
    desk.pass_time(60)
    assert len(desk.messages()) == 2


def _restarted(desk: Desk, check: CertificateCheck) -> IncidentWatch:
    return IncidentWatch(desk.world.database, tuple, lambda: "0f" * 16, lambda _: check)


def test_a_certificate_that_nobody_can_read_is_not_over(sqlite_desk: Desk) -> None:
    """Regression: a door that did not listen yet after a reboot was "over", and an hour later a new alert."""
    desk = sqlite_desk
    desk.channel(merchant=PLATFORM)
    ending = Condition(Kind.CERTIFICATE_ENDING, PLATFORM, "coffee.example", desk.world.now, {"last_day": "2026-03-09"})
    silent = CertificateCheck(unread=[ending.fingerprint])
    for check in (CertificateCheck([ending]), silent):
        desk.watch = _restarted(desk, check)
        desk.pass_time(1800)
        assert desk.incidents() == [("certificate_ending", "coffee.example", "open")]
    assert [message.text[:1] for message in desk.messages()] == ["🔴"]
    for check, seconds in ((CertificateCheck(), 60), (silent, 600)):
        desk.watch = _restarted(desk, check)
        desk.pass_time(seconds)
    assert [message.text[:1] for message in desk.messages()] == ["🟢"], "what was read counts"


def test_a_look_that_fails_keeps_no_other_trouble_untold(
    sqlite_desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Regression: one row that a single rule could not bear, and nobody was told of anything."""
    desk, fails = sqlite_desk, False

    def waiting_claims(session: Session, now: datetime) -> list[Condition]:
        if fails:
            raise OverflowError
        return [Condition(Kind.CLAIM_WAITS, "north", "", now, {"claims": 1, "order": "o1"})]

    monkeypatch.setattr(money_conditions, "waiting_claims", waiting_claims)
    desk.watch, of_another_process = (IncidentWatch(desk.world.database, tuple, lambda: f"{next(desk.ids):032x}")
                                      for _ in range(2))  # fmt: skip
    desk.channel()
    desk.pass_time(1200)
    fails = True
    desk.presence(DEVICE, online=False)
    desk.pass_time(1200)
    expected = [("claim_waits", "", "open"), ("offline", DEVICE, "open")]
    assert desk.incidents() == expected, "what it saw last stands"
    assert len(desk.messages()) == 2
    assert "looking for waiting_claims failed" in caplog.text
    desk.watch = of_another_process
    desk.pass_time(1200)
    assert desk.incidents() == expected, "what it has never seen is not over"


def test_a_look_that_the_database_broke_off_is_taken_again_at_once(
    sqlite_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: it counted as taken, and for as long as nothing had been seen no trouble was over."""
    desk, looked = sqlite_desk, 0

    def waiting_claims(session: Session, now: datetime) -> list[Condition]:
        nonlocal looked
        looked += 1
        if looked == 1:
            session.execute(text("SELECT 1 FROM what_is_not_there"))
        return []

    monkeypatch.setattr(money_conditions, "waiting_claims", waiting_claims)
    watch = IncidentWatch(desk.world.database, tuple, lambda: f"{next(desk.ids):032x}")
    with pytest.raises(OperationalError):
        watch.step(desk.world.now)
    watch.step(desk.world.now)
    assert looked == 2
