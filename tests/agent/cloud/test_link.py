"""The agent on a real broker: what is acknowledged, what is repeated, what a lost connection costs."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from agent.cloud import report_sender as delivery_module
from agent.cloud import state_message
from agent.folder_lock import AlreadyRunning
from agent.machine.profile import Profile
from agent.service import Service
from protocol.messages import (
    MAX_MESSAGE,
    Accepted,
    Asked,
    Event,
    Hello,
    Make,
    Presence,
    Probe,
    ProbeReply,
    Query,
    Receipt,
    State,
    Unsupported,
    encode,
)
from protocol.reasons import Result
from protocol.topics import Channel
from simulator.machine import MachineSimulator
from tests.agent.agents import IMPATIENT, Agents
from tests.agent.cloud_side import DEVICE, CloudSide, a_cloud_side, a_make
from tests.mosquitto import Mosquitto
from tests.simulator.broker.clients import Client
from tests.waiting import wait_until

MAKE = {
    "attempt": 1,
    "drink_no": "americano",
    "size": 1,
    "price": 17900,
    "issued_at": datetime(2026, 5, 1, tzinfo=UTC),
    "deadline_at": datetime(2026, 5, 1, 0, 1, tzinfo=UTC),
}


def test_a_drink_through_the_broker(agents: Agents, cloud: CloudSide, machine: MachineSimulator) -> None:
    service = agents.start()
    cloud.wait_ready()
    cloud.make()
    assert cloud.outcome().result is Result.DONE
    assert machine.cups("o1") == 1
    assert len({one.message_id for one in cloud.all_of(Accepted)}) == 1
    wait_until(lambda: service._journal.report_queue.count() == 0, what="the receipts")


def test_it_presents_itself_and_parts_in_order(agents: Agents, cloud: CloudSide) -> None:
    agents.start()
    here = cloud.wait_online()
    wait_until(lambda: cloud.all_of(Hello), what="a hello")
    assert cloud.all_of(Hello)[0].profile == "companion-v1"
    wait_until(lambda: cloud.all_of(State), what="a state")
    agents.stop()
    gone = cloud.wait_online(False)
    assert gone.session_id == here.session_id
    assert len(cloud.all_of(Presence)) == 2


def test_a_report_is_repeated_until_the_cloud_says_that_it_has_it(agents: Agents, cloud: CloudSide) -> None:
    service = agents.start()
    cloud.receipts = False
    cloud.wait_ready()
    cloud.command(Query(commands=[Asked(command_id="c9", order_id="o9")]))
    wait_until(lambda: len(cloud.outcomes("c9")) >= 3, what="repeats")
    assert len({one.message_id for one in cloud.outcomes("c9")}) == 1
    cloud.raw(encode(Receipt(message_ids=[cloud.outcomes("c9")[0].message_id])), Channel.RECEIPT)
    wait_until(lambda: service._journal.report_queue.count() == 0, what="the receipt")


def test_events_are_told_until_a_cloud_that_takes_them_has_them(
    agents: Agents, cloud: CloudSide, machine: MachineSimulator
) -> None:
    cloud.takes, cloud.receipts = ["event"], False
    service = agents.start()
    cloud.wait_ready()
    machine.controls.switch_on("door_open", None)
    wait_until(lambda: [one for one in cloud.all_of(Event) if one.code == "door_open"], what="the open door")
    wait_until(lambda: len([one for one in cloud.all_of(Event) if one.code == "door_open"]) > 1, what="its repetition")
    told = {one.message_id: one.what for one in cloud.all_of(Event)}
    assert list(told.values()).count("fault_set") == 1
    assert {"agent_started", "line_up"} <= set(told.values())
    cloud.receipts = True
    wait_until(lambda: service._journal.report_queue.count_events() == 0, what="their receipts")


def test_an_older_cloud_is_told_no_events_and_a_newer_one_hears_all_that_was_kept(
    agents: Agents, cloud: CloudSide, mosquitto: Mosquitto
) -> None:
    service = agents.start()
    cloud.wait_ready()
    wait_until(lambda: service._journal.report_queue.count_events() >= 2, what="events to tell")
    cloud.make()
    assert cloud.outcome().result is Result.DONE
    wait_until(lambda: service._journal.report_queue.count() == 0, what="the receipts")
    assert cloud.all_of(Event) == []
    cloud.takes = ["event", "poem"]
    mosquitto.kill()
    mosquitto.start()
    wait_until(lambda: service._journal.report_queue.count_events() == 0, 30, what="the events' receipts")
    assert {"agent_started", "line_up"} <= {one.what for one in cloud.all_of(Event)}


def test_a_clock_that_is_wrong_by_the_clouds_is_told_once(agents: Agents, cloud: CloudSide) -> None:
    cloud.takes, cloud.ahead = ["event"], timedelta(hours=1)
    service = agents.start()
    wait_until(lambda: [one for one in cloud.all_of(Event) if one.what == "clock_wrong"], what="the wrong clock")
    (wrong,) = {one.message_id: one for one in cloud.all_of(Event) if one.what == "clock_wrong"}.values()
    assert isinstance(ahead := wrong.evidence["ahead_s"], int)
    assert -3605 <= ahead <= -3595
    assert wrong.at > datetime.now(UTC) + timedelta(minutes=59)
    wait_until(lambda: service._journal.report_queue.count_events() == 0, what="the receipts")


def test_what_was_not_receipted_is_told_again_after_a_restart(agents: Agents, cloud: CloudSide) -> None:
    agents.start()
    cloud.receipts = False
    cloud.wait_ready()
    cloud.make()
    first = cloud.outcome()
    agents.stop()
    heard = len(cloud.outcomes())
    cloud.receipts = True
    agents.start()
    wait_until(lambda: len(cloud.outcomes()) > heard, what="the outcome again")
    assert {one.message_id for one in cloud.outcomes()} == {first.message_id}


def test_a_command_sent_while_the_agent_was_away_reaches_it(
    agents: Agents, cloud: CloudSide, machine: MachineSimulator
) -> None:
    """It comes at once, perhaps before the port is open: the machine is waited for."""
    agents.profile = Profile(name="companion-v1")
    agents.start()
    cloud.wait_ready()
    agents.stop()
    cloud.wait_online(False)
    cloud.make()
    agents.start()
    assert cloud.outcome().result is Result.DONE
    assert machine.cups("o1") == 1


def test_a_command_older_than_its_deadline_is_answered_and_not_poured(
    agents: Agents, cloud: CloudSide, machine: MachineSimulator
) -> None:
    agents.start()
    cloud.wait_ready()
    agents.stop()
    late = cloud.make(within=0.05)
    wait_until(lambda: datetime.now(UTC) > late.deadline_at, what="the deadline to pass")
    agents.start()
    assert cloud.outcome().code == "expired"
    assert machine.poured("o1") == []


@pytest.mark.parametrize(
    "junk", [b"", b"\xff\xfe", b"[]", b'{"kind":"make","v":1}', b'{"kind":"make","v":99}', b"{" * 70_000]
)
def test_a_message_nobody_can_read_does_not_stop_the_next(agents: Agents, cloud: CloudSide, junk: bytes) -> None:
    agents.start()
    cloud.wait_ready()
    for _ in range(25):  # more than the broker leaves unacknowledged
        cloud.raw(junk)
    cloud.command(Probe(probe_id="p1", drink_no="americano", size=1))
    wait_until(lambda: cloud.all_of(ProbeReply), what="the answer")
    assert cloud.all_of(ProbeReply)[0].ready


def test_an_unknown_kind_is_answered(agents: Agents, cloud: CloudSide) -> None:
    agents.start()
    cloud.wait_ready()
    cloud.raw(b'{"kind":"dance","v":1,"command_id":"c7"}')
    wait_until(lambda: cloud.all_of(Unsupported), what="the answer")
    assert cloud.all_of(Unsupported)[0] == Unsupported(unknown_kind="dance", reference="c7")


def test_a_make_of_a_strange_time_is_refused_by_name_and_the_next_is_made(agents: Agents, cloud: CloudSide) -> None:
    agents.start()
    cloud.wait_ready()
    make = encode(msgspec.convert(MAKE | {"command_id": "c7", "order_id": "o7", "kind": "make"}, Make))
    cloud.raw(make.replace(b'"issued_at":"2026', b'"issued_at":"9999'))
    assert (cloud.outcome("c7").result, cloud.outcome("c7").code) == (Result.REJECTED, "bad_body")
    cloud.raw(b" " * MAX_MESSAGE + make.replace(b'"c7"', b'"c8"'))
    cloud.make()
    assert cloud.outcome().result is Result.DONE
    assert cloud.outcomes("c8") == [], "too long: dropped unread"


def test_an_outcome_waits_for_no_state(
    agents: Agents, cloud: CloudSide, machine: MachineSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents.start()
    cloud.wait_ready()

    def refuse(*_: object) -> bytes:
        raise RuntimeError("no state today")

    with monkeypatch.context() as patched:
        patched.setattr(state_message, "encoded", refuse)
        machine.controls.switch_on("descale", None)
        cloud.command(Query(commands=[Asked(command_id="c9", order_id="o9")]))
        assert cloud.outcome("c9").result is Result.REJECTED
        service = agents.running
        assert service is not None
        wait_until(lambda: "the agent's link fails" in service._live_state.view.stopped, what="the trouble")
        cloud.command(Probe(probe_id="p1", drink_no="americano", size=1))
        wait_until(lambda: cloud.all_of(ProbeReply), what="the answer")
        assert cloud.all_of(ProbeReply)[0].code == "not_selling"
    wait_until(lambda: not service._live_state.view.stopped, what="the trouble to be over")
    cloud.make()
    assert cloud.outcome().result is Result.DONE


def test_a_retained_command_is_never_obeyed(agents: Agents, cloud: CloudSide, machine: MachineSimulator) -> None:
    """There before the agent's first session, so that it comes as what it is, and well within its deadline."""
    cloud.raw(encode(a_make("c2", "o2", within=60.0)), retain=True)
    agents.start()
    cloud.wait_ready()
    cloud.make()
    assert cloud.outcome().result is Result.DONE
    assert cloud.outcomes("c2") == []
    assert machine.poured("o2") == []


def test_a_journal_that_cannot_be_written_says_so_pours_nothing_and_takes_the_command_later(
    agents: Agents, cloud: CloudSide, machine: MachineSimulator
) -> None:
    service = agents.start()
    cloud.wait_ready()
    connection = service._journal._database._connection
    connection.execute("PRAGMA query_only = ON")
    cloud.make()
    wait_until(lambda: not cloud.all_of(State)[-1].selling, what="the state that says so")
    assert cloud.all_of(State)[-1].reason.startswith("storage")
    cloud.command(Probe(probe_id="p1", drink_no="americano", size=1))
    wait_until(lambda: cloud.all_of(ProbeReply), what="the answer")
    assert not cloud.all_of(ProbeReply)[0].ready
    assert cloud.all_of(Presence)[-1].online
    assert machine.poured("o1") == []
    connection.execute("PRAGMA query_only = OFF")
    assert cloud.outcome().result is Result.DONE
    assert machine.cups("o1") == 1


def test_a_broker_that_dies_in_mid_pour_hears_the_outcome_when_it_is_back(
    agents: Agents, mosquitto: Mosquitto, machine: MachineSimulator
) -> None:
    with a_cloud_side(mosquitto.url) as cloud:
        agents.start()
        cloud.wait_ready()
        machine.controls.switch_on("slow")
        cloud.make()
        wait_until(lambda: cloud.all_of(Accepted), what="accepted")
        mosquitto.kill()
        wait_until(lambda: machine.cups("o1") == 1, what="the cup")
        mosquitto.start()
        assert cloud.outcome().result is Result.DONE
        assert machine.cups("o1") == 1


def test_what_was_not_receipted_is_told_at_once_on_the_next_connection(
    agents: Agents, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "REPEAT_AFTER_S", 1000.0)
    with a_cloud_side(mosquitto.url) as cloud:
        cloud.receipts = False
        agents.start()
        cloud.wait_ready()
        cloud.make()
        first = cloud.outcome()
    with a_cloud_side(mosquitto.url) as cloud:
        Client(mosquitto.port, DEVICE).connect().disconnect()  # it throws the agent off
        assert cloud.outcome().message_id == first.message_id


def test_only_one_agent_may_use_a_state_folder(agents: Agents) -> None:
    agents.start()
    with pytest.raises(AlreadyRunning):
        Service(agents.settings, IMPATIENT, {})
