"""A machine that says more than any agent does takes nobody's place, and is named."""

import queue
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

from cloud.courier import device_jobs
from cloud.courier.allowance import Allowances
from cloud.courier.broker import Received
from cloud.courier.listener import BATCH as BATCH_OF_REPORTS
from cloud.courier.message_counts import TOO_FAST
from cloud.courier.presence_listener import BATCH
from cloud.courier.too_fast import BURST, PER_S, TOLD_EVERY_S
from protocol.messages import Answer, Presence, State, encode
from protocol.reasons import AnswerStatus
from protocol.topics import Channel, topic
from tests.cloud.courier.rig import Rig, a_rig
from tests.cloud.courier.test_listener import accepted, live, outcome, receipted, sent_order
from tests.cloud.worlds import DEVICE, OTHER_DEVICE, START, World
from tests.mosquitto import a_mosquitto

NOISE = Answer(reference="j-none", asked="rinse", status=AnswerStatus.DONE)
"""Valid, and of a job that nobody asked for."""
FEW = 60
SMALL_BROKER = "max_queued_messages 100\nautosave_on_changes false\n"


def test_a_bucket_is_spent_and_fills_again() -> None:
    allowances = Allowances(burst=3, per_s=2.0)
    assert [allowances.take("m", 100.0) for _ in range(5)] == [True] * 3 + [False] * 2
    assert [allowances.take("m", 100.5) for _ in range(2)] == [True, False]
    assert [allowances.take("m", now) for now in (100.75, 101.0)] == [False, True], "only a whole one can be taken"
    assert [allowances.take("m", 1000.0) for _ in range(4)] == [True] * 3 + [False], "and never above its burst"


def test_each_machine_has_a_bucket_of_its_own() -> None:
    allowances = Allowances(burst=1, per_s=1.0)
    assert [allowances.take(name, 0.0) for name in ("m", "n", "m", "n")] == [True, True, False, False]


def test_a_clock_that_is_set_back_gives_nothing_and_takes_nothing() -> None:
    allowances = Allowances(burst=2, per_s=1.0)
    assert [allowances.take("m", now) for now in (3600.0, 0.0, 0.0, 1.0)] == [True, True, False, True]


def test_of_too_many_machines_the_one_silent_longest_is_forgotten_and_no_flood() -> None:
    allowances = Allowances(burst=1, per_s=0.0, remembered=2)
    assert allowances.take("flooding", 0.0)
    for number in range(5):
        assert allowances.take(f"m-{number}", 0.0)
        assert not allowances.take("flooding", 0.0)
    assert allowances.take("m-0", 0.0)


@pytest.mark.mosquitto
def test_a_flood_with_qos_1_silences_no_other_machine(
    sqlite_world: World, tmp_path: Path, mocker: MockerFixture
) -> None:
    """Regression: the broker took it all and dropped what others said, whose drinks were poured and paid back."""
    mocker.patch("cloud.courier.too_fast.BURST", FEW)
    mocker.patch("cloud.courier.broker_session.MAX_UNSTORED", FEW)
    with a_mosquitto(tmp_path / "broker", SMALL_BROKER) as broker, a_rig(sqlite_world, broker.port) as rig:
        rig.connect()
        order_id = sent_order(rig)
        honest, flooding, done = rig.machine(), rig.machine(OTHER_DEVICE), outcome(rig, order_id)
        store, stored = device_jobs.answered, []
        said, speaks_after = 0, FEW + 400

        def flood(messages: int) -> None:
            nonlocal said
            for _ in range(messages):
                flooding.say(NOISE)
                said += 1
                if said == speaks_after:
                    honest.say(done)

        def slowly(*report: Any) -> None:
            """While one is stored, ten more come; but for a first while, so that the allowance is spent."""
            stored.append(report)
            store(*report)
            flood(10 if len(stored) > FEW else 0)

        def made_amid_the_flood() -> bool:
            flood(20)
            return rig.world.status(order_id) == "successful"

        mocker.patch.object(device_jobs, "answered", side_effect=slowly)
        rig.hear_until(made_amid_the_flood, what="the other machine's outcome")
        assert len(stored) == FEW, "the rest was passed over"
        assert rig.counted(TOO_FAST, "reports") > 0
        assert rig.link.connections == 1


def say(rig: Rig, message_ids: range, order_id: str) -> None:
    to = topic(DEVICE, Channel.REPORT)
    for number in message_ids:
        rig.link.inbox.put(Received(to, encode(accepted(rig, order_id, f"a-{number}")), 0, 0))
    while not rig.link.inbox.empty():
        rig.listener.step(rig.world.now)


def test_what_is_passed_over_has_no_receipt_until_it_comes_again(
    sqlite_rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig = sqlite_rig
    machine, order_id = rig.machine(), sent_order(rig)
    say(rig, range(BURST + 30), order_id)
    rig.hear_until(lambda: len(receipted(machine)) == BURST)
    rig.world.clock.advance(30 / PER_S)
    say(rig, range(BURST, BURST + 30), order_id)
    rig.hear_until(lambda: len(receipted(machine)) == BURST + 30)
    assert rig.counted(TOO_FAST, "reports") == 30
    told = [record for record in caplog.records if "floods us" in record.getMessage()]
    assert [one.__dict__["device"] for one in told] == [DEVICE], "once, not of each message"
    rig.world.clock.advance(TOLD_EVERY_S)
    say(rig, range(BURST + 2 * 30), order_id)
    assert "passed over: 30" in caplog.text


def test_a_machine_that_takes_turns_with_itself_keeps_no_others_presence_waiting(sqlite_rig: Rig) -> None:
    """Regression: each turn was read, so thousands of them waited before all others; its last word counts."""
    rig, others = sqlite_rig, Presence(online=True, session_id="quiet")
    words = [Presence(online=turn % 3 > 0, session_id=f"s-{turn % 2}") for turn in range(5 * BURST)]
    last = Presence(online=True, session_id="last")
    for device, said in [*((DEVICE, word) for word in words), (DEVICE, last), (OTHER_DEVICE, others)]:
        rig.presence_link.inbox.put(Received(topic(device, Channel.PRESENCE), encode(said), 0, 0))
    for _ in range(BURST // BATCH + 1):
        rig.presence.step(rig.world.now)
    assert [live(rig.world, one).session_id for one in (OTHER_DEVICE, DEVICE)] == ["quiet", "last"]
    assert rig.counted(TOO_FAST, "presence") == 4 * BURST + 1


class Flooded(queue.Queue[Received]):
    """An inbox into which the same comes again as often as something is read."""

    def __init__(self, again: Received) -> None:
        super().__init__()
        self._again = again

    def get_nowait(self) -> Received:
        self.put(self._again)
        return super().get_nowait()


def test_a_flood_that_comes_as_fast_as_it_is_read_keeps_nothing_from_being_stored(sqlite_rig: Rig) -> None:
    """Regression: states were read and not stored as long as more of them came."""
    rig, order_id = sqlite_rig, sent_order(sqlite_rig)
    state = State(at=START, link="up", selling=True, reason="flood")
    rig.link.inbox = Flooded(Received(topic(OTHER_DEVICE, Channel.REPORT), encode(NOISE), 0, 0))
    rig.presence_link.inbox = Flooded(Received(topic(OTHER_DEVICE, Channel.STATE), encode(state), 0, 0))
    rig.link.inbox.put(Received(topic(DEVICE, Channel.REPORT), encode(outcome(rig, order_id)), 0, 0))
    said = encode(Presence(online=True, session_id="quiet"))
    rig.presence_link.inbox.put(Received(topic(DEVICE, Channel.PRESENCE), said, 0, 0))
    for _ in range(BURST // BATCH_OF_REPORTS + 2):
        rig.listener.step(rig.world.now)
        rig.presence.step(rig.world.now)
    assert rig.world.status(order_id) == "successful"
    assert live(rig.world).session_id == "quiet"
    assert rig.counted(TOO_FAST, "reports") > 0
