"""Sessions, wills and expiry with a clock of the test's own; also where Mosquitto 2.0.11 leaves the standard."""

import pytest

from simulator.broker import Limits, Memory
from simulator.broker import properties as props
from simulator.broker.packets import Ack, Connect, Publish, Type, Wish
from simulator.broker.properties import Properties
from simulator.broker.session import Session
from simulator.broker.switchboard import Switchboard, message_of


def _connect(*, lasting_s: int = 3600, window: int = 10, will_delay_s: int | None = None) -> Connect:
    will = None
    if will_delay_s is not None:
        will = Publish("will", b"gone", 1, properties=Properties(will_delay=will_delay_s))
    asked = Properties(session_expiry=lasting_s, receive_maximum=window)
    return Connect(5, "", False, 60, will, None, None, asked)


def _open(board: Switchboard, name: str, now: float = 0.0, connect: Connect | None = None) -> Session:
    opened = board.open(connect or _connect(), name, now)
    assert opened is not None
    return opened[0]


def _subscribe(board: Switchboard, session: Session, wanted: str = "#", qos: int = 1) -> None:
    assert board.subscribe(session, Wish(wanted, qos, False, False, 0), None) == qos


def _publish(board: Switchboard, payload: str, now: float = 0.0, expiry: int | None = None) -> None:
    properties = props.NONE if expiry is None else Properties(message_expiry=expiry)
    packet = Publish("a", payload.encode(), 1, properties=properties)
    board.publish(message_of(packet, "publisher", now), now)


def _sent(session: Session, now: float = 0.0) -> list[Publish]:
    taken = []
    while (packet := session.next_packet(now)) is not None:
        assert isinstance(packet, Publish)
        taken.append(packet)
    return taken


def _payloads(session: Session, now: float = 0.0) -> list[str]:
    return [packet.payload.decode() for packet in _sent(session, now)]


@pytest.fixture
def board() -> Switchboard:
    return Switchboard(Memory(), Limits(queued_messages=5, retained_messages=2, subscriptions=2))


def test_one_acknowledgement_makes_room_for_one_message(board: Switchboard) -> None:
    session = _open(board, "agent", connect=_connect(window=2))
    _subscribe(board, session)
    for number in range(4):
        _publish(board, str(number))
    first, second = _sent(session)
    session.acknowledged(first.packet_id)
    assert _payloads(session) == ["2"]
    session.acknowledged(second.packet_id)
    assert _payloads(session) == ["3"]


def test_a_reconnection_repeats_within_the_window_before_anything_new(board: Switchboard) -> None:
    session = _open(board, "agent", connect=_connect(window=3))
    _subscribe(board, session)
    for number in range(4):
        _publish(board, str(number))
    before = _sent(session)
    board.close(session, 1.0, with_will=True)
    _open(board, "agent", 2.0, _connect(window=2))
    again = _sent(session, 2.0)
    assert [(packet.payload, packet.packet_id, packet.dup) for packet in again] == [
        (packet.payload, packet.packet_id, True) for packet in before[:2]
    ]
    for packet in before:  # the third is acknowledged though it was not repeated yet
        session.acknowledged(packet.packet_id)
    assert [(packet.payload, packet.dup) for packet in _sent(session, 2.0)] == [(b"3", False)]


def test_an_early_acknowledgement_does_not_widen_the_window(board: Switchboard) -> None:
    session = _open(board, "agent", connect=_connect(window=3))
    _subscribe(board, session)
    for number in range(3):
        _publish(board, str(number))
    last = _sent(session)[-1]
    board.close(session, 1.0, with_will=True)
    _open(board, "agent", 2.0, _connect(window=1))
    session.acknowledged(last.packet_id)
    assert _payloads(session, 2.0) == ["0"]


def test_only_the_release_of_a_received_message_is_repeated(board: Switchboard) -> None:
    session = _open(board, "agent")
    _subscribe(board, session, qos=2)
    board.publish(message_of(Publish("a", b"x", 2), "publisher", 0.0), 0.0)
    (packet,) = _sent(session)
    assert session.received(packet.packet_id)
    board.close(session, 1.0, with_will=True)
    _open(board, "agent", 2.0)
    assert session.next_packet(2.0) == Ack(Type.PUBREL, packet.packet_id)
    assert session.next_packet(2.0) is None


def test_messages_expire_while_they_wait_and_their_life_is_counted_down(board: Switchboard) -> None:
    session = _open(board, "agent")
    _subscribe(board, session)
    _publish(board, "short", 0.0, expiry=5)
    _publish(board, "long", 0.0, expiry=60)
    (packet,) = _sent(session, now=5.0)
    assert packet.payload == b"long"
    assert packet.properties.message_expiry == 55


def test_no_life_is_longer_than_it_was_given(board: Switchboard) -> None:
    """Regression: at some moments a sum of two times is a little more than it should be, and was rounded up."""
    session, at = _open(board, "agent"), 16383.9
    assert at + 60 - at > 60
    _subscribe(board, session)
    _publish(board, "whole", at, expiry=60)
    (packet,) = _sent(session, now=at)
    assert packet.properties.message_expiry == 60


def test_more_messages_than_a_session_may_hold_are_dropped_and_counted(board: Switchboard) -> None:
    session = _open(board, "agent")
    _subscribe(board, session)
    for number in range(7):
        _publish(board, str(number))
    assert session.dropped == 2
    assert _payloads(session) == ["0", "1", "2", "3", "4"]


def test_messages_of_quality_zero_are_not_kept_for_a_client_that_is_away(board: Switchboard) -> None:
    session = _open(board, "agent")
    _subscribe(board, session, qos=0)
    board.close(session, 0.0, with_will=True)
    _publish(board, "missed", 1.0)
    _open(board, "agent", 2.0)
    assert _payloads(session, 2.0) == []


def test_the_will_waits_for_its_delay_and_the_caller_is_told_when_to_come_back(board: Switchboard) -> None:
    watcher = _open(board, "watcher")
    _subscribe(board, watcher)
    board.close(_open(board, "agent", connect=_connect(will_delay_s=30)), 100.0, with_will=True)
    assert board.step(129.9) == 130.0
    assert _payloads(watcher, 129.9) == []
    board.step(130.0)
    assert _payloads(watcher, 130.0) == ["gone"]


def test_the_will_does_not_wait_beyond_the_session(board: Switchboard) -> None:
    watcher = _open(board, "watcher")
    _subscribe(board, watcher)
    agent = _open(board, "agent", connect=_connect(will_delay_s=3600, lasting_s=0))
    board.close(agent, 1.0, with_will=True)
    assert _payloads(watcher, 1.0) == ["gone"]
    assert "agent" not in board.memory.sessions


def test_the_will_is_published_when_a_clean_start_ends_the_session_early(board: Switchboard) -> None:
    watcher = _open(board, "watcher")
    _subscribe(board, watcher)
    board.close(_open(board, "agent", connect=_connect(will_delay_s=3600)), 1.0, with_will=True)
    clean = Connect(5, "", True, 60, None, None, None, props.NONE)
    _open(board, "agent", 2.0, clean)
    assert _payloads(watcher, 2.0) == ["gone"]


def test_an_expired_session_is_not_resumed_though_nobody_has_ended_it_yet(board: Switchboard) -> None:
    board.close(_open(board, "agent", connect=_connect(lasting_s=10)), 0.0, with_will=True)
    opened = board.open(_connect(), "agent", 10.0)
    assert opened is not None
    assert not opened[1]


def test_a_session_that_outlives_for_ever_never_ends(board: Switchboard) -> None:
    board.close(_open(board, "agent", connect=_connect(lasting_s=0xFFFF_FFFF)), 0.0, with_will=True)
    board.step(1e12)
    assert "agent" in board.memory.sessions


def test_retained_messages_are_bounded_and_the_expired_make_room(board: Switchboard) -> None:
    def retain(topic: str, now: float, expiry: int | None = None) -> None:
        properties = props.NONE if expiry is None else Properties(message_expiry=expiry)
        packet = Publish(topic, b"x", 1, retain=True, properties=properties)
        board.publish(message_of(packet, "publisher", now), now)

    retain("a", 0.0)
    retain("b", 0.0, expiry=10)
    retain("c", 5.0)
    assert set(board.memory.retained) == {"a", "b"}
    retain("c", 11.0)
    assert set(board.memory.retained) == {"a", "c"}


def test_subscriptions_are_bounded(board: Switchboard) -> None:
    session = _open(board, "agent")
    codes = [board.subscribe(session, Wish(wanted, 1, False, False, 0), None) for wanted in "abca"]
    assert codes == [1, 1, 0x97, 1]


def test_shared_messages_go_to_a_client_that_is_connected(board: Switchboard) -> None:
    present, away = _open(board, "present"), _open(board, "away")
    for session in (present, away):
        _subscribe(board, session, "$share/group/#")
    board.close(away, 0.0, with_will=True)
    for number in range(3):
        _publish(board, str(number))
    assert _payloads(present) == ["0", "1", "2"]
