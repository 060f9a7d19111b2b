"""What cloud and agent say: read back as written, tolerant of the newer, deaf to the broken, and true to version 1."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import messages as said
from protocol.errors import Malformed, TooLarge, UnknownKind, UnknownVersion, WireError
from protocol.messages import KINDS, MAX_BATCH, MAX_MESSAGE, Message, encode
from protocol.reasons import AnswerStatus, MachineState, Phase, Result, RinseProgram, Size, Spout, Stage
from protocol.topics import FROM_CLOUD, FROM_DEVICE, Channel
from tests.protocol.any_message import any_of
from tests.protocol.vectors import MESSAGES

DECODERS: dict[Channel, Callable[[bytes], Message]] = {
    Channel.COMMAND: said.decode_command,
    Channel.RECEIPT: said.decode_receipt,
    Channel.REPORT: said.decode_report,
    Channel.PRESENCE: said.decode_presence,
    Channel.STATE: said.decode_state,
}
CHANNELS = {
    **dict.fromkeys(["make", "cancel", "query", "probe"], Channel.COMMAND),
    **dict.fromkeys(["rinse", "restart", "resume", "settings", "update"], Channel.COMMAND),
    **dict.fromkeys(["receipt", "welcome"], Channel.RECEIPT),
    **dict.fromkeys(
        ["hello", "accepted", "progress", "outcome", "event", "probe_reply", "answer", "unsupported"],
        Channel.REPORT,
    ),
    "presence": Channel.PRESENCE,
    "state": Channel.STATE,
}
ORDER = "20250317110122659ba6d7-9ace-cndn"
COMMAND = "make-20250317110122659ba6d7-9ace-cndn-1"
NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)

GOLDEN: dict[str, Message] = {
    "make": said.Make(
        command_id=COMMAND,
        order_id=ORDER,
        attempt=1,
        drink_no="9b900a2e63042d350f45b6675ef26ced",
        size=Size.MEDIUM,
        price=14900,
        issued_at=NOON,
        deadline_at=NOON + timedelta(seconds=60, microseconds=250_000),
    ),
    "cancel": said.Cancel(command_id=COMMAND, order_id=ORDER),
    "query": said.Query(commands=[said.Asked(command_id=COMMAND, order_id=ORDER)]),
    "probe": said.Probe(probe_id="p-1", drink_no="americano", size=Size.LARGE),
    "rinse": said.Rinse(job_id="j-1", issued_at=NOON, deadline_at=NOON, program=RinseProgram.CLEAN),
    "restart": said.Restart(job_id="j-2", issued_at=NOON, deadline_at=NOON),
    "resume": said.Resume(job_id="j-4", issued_at=NOON, deadline_at=NOON, by="anna", accept_loss=True),
    "settings": said.Settings(
        job_id="j-3",
        issued_at=NOON,
        deadline_at=NOON,
        values={"timers.max_brew": 120, "timers.query_reply": 0.5, "counting.local_sales": True},
    ),
    "update": said.Update(
        job_id="j-5",
        issued_at=NOON,
        deadline_at=NOON,
        version="0.2.0",
        url="https://pay.example.org/v1/agent/0.2.0",
        size=180_000,
        sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ),
    "receipt": said.Receipt(message_ids=["msg-1", "msg-2"]),
    "welcome-takes": said.Welcome(hello_id="h-1", cloud_time=NOON, takes=["event"]),
    "welcome": said.Welcome(hello_id="h-1", cloud_time=NOON),
    "welcome-waits": said.Welcome(hello_id="h-1", cloud_time=NOON, takes=["event"], waited_for=[COMMAND]),
    "welcome-rival": said.Welcome(hello_id="h-1", cloud_time=NOON, takes=["event"], rival_session="s-2"),
    "hello": said.Hello(hello_id="h-1", agent_version="1.0.0", profile="companion-v1"),
    "accepted": said.Accepted(message_id="msg-1", command_id=COMMAND, order_id=ORDER, at=NOON),
    "progress": said.Progress(command_id=COMMAND, order_id=ORDER, stage=Stage.BREW, pct=40),
    "outcome": said.Outcome(message_id="msg-2", command_id=COMMAND, order_id=ORDER, result=Result.DONE, at=NOON),
    "outcome-corrected": said.Outcome(
        message_id="msg-3",
        command_id=COMMAND,
        order_id=ORDER,
        result=Result.FAILED,
        code="vendor:E-17",
        out=Spout.PARTIAL,
        revision=2,
        at=NOON,
        evidence=said.Evidence(
            rule="machine says failed",
            phase=Phase.FAILED,
            history="nv",
            boot_before="b7",
            boot_now="b8",
            count_before=1041,
            count_now=1042,
            journal=["received 2026-07-01T12:00:00Z", "sent 2026-07-01T12:00:01Z"],
        ),
    ),
    "event": said.Event(
        message_id="a-4",
        at=NOON,
        what="machine_booted",
        code="power",
        words="in the middle of a drink",
        evidence={"boot_before": "b7", "boot_now": "b8", "boots": 12, "seconds": 1.5, "clean": False},
        lost=3,
    ),
    "event-least": said.Event(message_id="a-5", at=NOON, what="line_up"),
    "probe_reply": said.ProbeReply(probe_id="p-1", ready=True),
    "probe_reply-not_ready": said.ProbeReply(probe_id="p-1", ready=False, code="no_water"),
    "answer": said.Answer(
        reference="j-1", asked="rinse", status=AnswerStatus.REFUSED, code="busy", words="a drink is being made"
    ),
    "unsupported": said.Unsupported(unknown_kind="polish", reference="c-9"),
    "presence": said.Presence(online=True, session_id="s-1", agent_version="1.0.0"),
    "presence-counted": said.Presence(online=True, session_id="s-1", connection=3),
    "presence-will": said.Presence(online=False, session_id="s-1"),
    "state": said.State(
        at=NOON,
        link="up",
        machine=MachineState.BREWING,
        selling=True,
        busy_order=ORDER,
        faults=[said.Fault(code="no_milk", level="block", drinks=["latte"]), said.Fault(code="descale", level="warn")],
        counters=said.Counters(total=1042, paid=1000, free=30, test=12),
        frame_error_ratio=0.001,
        agent_version="1.0.0",
        model="sim-1",
    ),
    "state-able": said.State(
        at=NOON, link="open", selling=True, profile="tmetr-legacy", capabilities=["ack", "vendor:steam"]
    ),
    "state-least": said.State(at=NOON, link="down", selling=False, reason="two unknown outcomes in a row"),
}

every_golden = pytest.mark.parametrize("name", GOLDEN)
every_kind = pytest.mark.parametrize("kind", KINDS)


def _read(payload: bytes, kind: str) -> Message:
    return DECODERS[CHANNELS[kind]](payload)


def _changed(name: str, **fields: Any) -> tuple[bytes, str]:
    body = json.loads(encode(GOLDEN[name])) | fields
    return json.dumps(body).encode(), body["kind"]


def test_every_kind_has_its_channel_and_a_golden_file() -> None:
    assert set(CHANNELS) == set(KINDS)
    assert set(DECODERS) == {*FROM_CLOUD, *FROM_DEVICE}
    assert {name.split("-")[0] for name in GOLDEN} == set(KINDS)
    assert set(MESSAGES) == set(GOLDEN)


@every_golden
def test_what_version_1_wrote_is_still_read(name: str) -> None:
    assert _read(MESSAGES[name], name.split("-")[0]) == GOLDEN[name]


@every_golden
def test_what_is_written_today_says_what_version_1_said(name: str) -> None:
    assert json.loads(encode(GOLDEN[name])) == json.loads(MESSAGES[name])


@every_kind
@given(data=st.data())
def test_any_message_is_read_back_as_it_was_written(kind: str, data: st.DataObject) -> None:
    message = data.draw(any_of(KINDS[kind]))
    payload = encode(message)
    assert _read(payload, kind) == message
    assert json.loads(payload)["kind"] == kind
    assert json.loads(payload)["v"] == 1


@every_golden
def test_unknown_fields_are_ignored(name: str) -> None:
    payload, kind = _changed(name, newer={"a": [1]}, Kind="x", zzz=None)
    assert _read(payload, kind) == GOLDEN[name]


@pytest.mark.parametrize("channel", Channel)
@given(
    kind=st.from_regex(r"\A[a-z_]{1,100}\Z").filter(lambda kind: kind not in KINDS),
    name=st.sampled_from(["message_id", "command_id", "probe_id", "job_id"]),
    reference=st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=400),
)
def test_an_unknown_kind_is_named_with_what_it_refers_to(
    channel: Channel, kind: str, name: str, reference: str
) -> None:
    payload = json.dumps({"v": 1, "kind": kind, name: reference, "shape": {"never": "seen"}}).encode()
    with pytest.raises(UnknownKind) as caught:
        DECODERS[channel](payload)
    assert caught.value.kind == kind[:64]
    assert caught.value.reference == reference[:255]
    assert encode(said.Unsupported(unknown_kind=caught.value.kind, reference=caught.value.reference))


def test_an_unknown_kind_that_refers_to_nothing_is_named_alone() -> None:
    with pytest.raises(UnknownKind) as caught:
        said.decode_command(b'{"v":1,"kind":"sing"}')
    assert (caught.value.kind, caught.value.reference) == ("sing", "")


@every_golden
@pytest.mark.parametrize("version", [2, 17])
def test_another_version_is_named_even_of_a_known_kind(name: str, version: int) -> None:
    payload, kind = _changed(name, v=version)
    with pytest.raises(UnknownVersion):
        _read(payload, kind)


def test_another_version_is_named_whatever_its_shape() -> None:
    with pytest.raises(UnknownVersion):
        said.decode_command(b'{"v":2,"kind":"make","deadline":"soon"}')
    with pytest.raises(UnknownVersion):
        said.decode_state(b'{"v":2,"kind":"sing"}')


@every_kind
def test_a_kind_of_another_channel_is_malformed_there(kind: str) -> None:
    for channel in set(Channel) - {CHANNELS[kind]}:
        with pytest.raises(Malformed):
            DECODERS[channel](encode(GOLDEN[kind]))


@every_kind
def test_a_missing_field_is_malformed(kind: str) -> None:
    body = json.loads(encode(GOLDEN[kind]))
    required = {field.encode_name for field in msgspec.structs.fields(KINDS[kind]) if field.required}
    for name in required:
        with pytest.raises(Malformed):
            _read(json.dumps({key: value for key, value in body.items() if key != name}).encode(), kind)


BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("make", {"v": "1"}),
    ("make", {"v": 0}),
    ("make", {"v": 10**4000}),
    ("make", {"kind": 5}),
    ("make", {"kind": ""}),
    ("make", {"command_id": ""}),
    ("make", {"command_id": "c" * 256}),
    ("make", {"order_id": "o\x00"}),
    ("make", {"attempt": 0}),
    ("make", {"attempt": 10**9}),
    ("make", {"drink_no": "d" * 129}),
    ("make", {"size": 3}),
    ("make", {"size": "1"}),
    ("make", {"size": True}),
    ("make", {"price": -1}),
    ("make", {"price": 149.0}),
    ("make", {"price": 10**9 + 1}),
    ("make", {"deadline_at": "2026-07-01T12:00:00"}),
    ("make", {"deadline_at": 1_782_900_000}),
    ("make", {"deadline_at": "9999-12-31T23:59:59-23:59"}),
    ("make", {"issued_at": "9999-12-31T23:59:00Z"}),
    ("make", {"issued_at": "0001-01-02T00:00:00Z"}),
    ("make", {"issued_at": "1899-12-31T23:59:59Z"}),
    ("make", {"issued_at": "2900-01-01T00:00:00Z"}),
    ("welcome", {"cloud_time": "9999-12-31T23:59:00Z"}),
    ("make", {"deadline_at": "0001-01-01T00:00:00+23:59"}),
    ("query", {"commands": [{"command_id": "c"}]}),
    ("query", {"commands": [{"command_id": "c", "order_id": "o"}] * (MAX_BATCH + 1)}),
    ("receipt", {"message_ids": ["m"] * (MAX_BATCH + 1)}),
    ("receipt", {"message_ids": [""]}),
    ("progress", {"pct": 101}),
    ("progress", {"stage": "steam"}),
    ("outcome", {"result": "success"}),
    ("outcome", {"code": "no water"}),
    ("outcome", {"code": "busy\n"}),
    ("outcome", {"code": None}),
    ("outcome", {"out": "half"}),
    ("outcome", {"revision": 0}),
    ("outcome", {"revision": 10**30}),
    ("outcome", {"evidence": {"rule": "r" * 501}}),
    ("outcome", {"evidence": {"journal": ["w"] * 33}}),
    ("outcome", {"evidence": {"count_now": 10**30}}),
    ("state", {"machine": "asleep"}),
    ("state", {"reason": "a\x00b"}),
    ("state", {"faults": [{"code": "no_milk", "level": "block"}] * 65}),
    ("state", {"counters": {"total": -1, "paid": 0, "free": 0, "test": 0}}),
    ("rinse", {"program": "boil"}),
    ("settings", {"values": {"timers.max_brew": None}}),
    ("settings", {"values": {f"timers.{number}": 1 for number in range(65)}}),
    ("answer", {"status": "perhaps"}),
    ("state", {"capabilities": None}),
    ("presence", {"online": 1}),
    ("presence", {"session_id": None}),
]


@pytest.mark.parametrize(("kind", "fields"), BROKEN, ids=lambda value: str(value)[:50])
def test_a_value_of_a_wrong_type_or_range_is_malformed(kind: str, fields: dict[str, Any]) -> None:
    payload, _ = _changed(kind, **fields)
    with pytest.raises(Malformed):
        _read(payload, kind)


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b"null", b'"make"', b"\xff", b"{", b'{"v":1}', b"[" * 60_000])
@pytest.mark.parametrize("channel", Channel)
def test_what_is_no_message_is_malformed(channel: Channel, payload: bytes) -> None:
    with pytest.raises(Malformed):
        DECODERS[channel](payload)


def test_a_code_may_be_empty_where_there_is_nothing_to_explain() -> None:
    assert _read(*_changed("outcome", code="")) == GOLDEN["outcome"]


@pytest.mark.parametrize("text", ["2026-07-01T15:00:00+03:00", "2026-07-01T12:00:00Z", "2026-07-01T12:00:00+00:00"])
def test_a_time_of_any_zone_is_utc_once_read(text: str) -> None:
    welcome = _read(*_changed("welcome", cloud_time=text))
    assert welcome == GOLDEN["welcome"]
    assert isinstance(welcome, said.Welcome)
    assert welcome.cloud_time.tzinfo is UTC


def test_a_time_of_any_zone_is_written_as_utc() -> None:
    in_moscow = NOON.astimezone(timezone(timedelta(hours=3)))
    assert json.loads(encode(said.Welcome(hello_id="h", cloud_time=in_moscow)))["cloud_time"] == "2026-07-01T12:00:00Z"


@pytest.mark.parametrize(
    "message",
    [
        said.Welcome(hello_id="h", cloud_time=datetime(2026, 7, 1, 12, 0)),  # noqa: DTZ001 - naive on purpose
        said.Cancel(command_id="", order_id="o"),
        said.Cancel(command_id="c", order_id="\x00"),
        said.Cancel(command_id="c", order_id="\ud800"),
        said.ProbeReply(probe_id="p", ready=False, code="no water"),
        said.Receipt(message_ids=["m"] * (MAX_BATCH + 1)),
        said.Cancel(v=2, command_id="c", order_id="o"),
    ],
    ids=["naive time", "empty id", "NUL", "half a character", "code", "batch", "version"],
)
def test_what_no_reader_would_take_is_not_written(message: Message) -> None:
    with pytest.raises(WireError):
        encode(message)


def test_too_large_is_refused_unread_and_unwritten() -> None:
    padding = b" " * (MAX_MESSAGE - len(encode(GOLDEN["cancel"])))
    assert said.decode_command(encode(GOLDEN["cancel"]) + padding) == GOLDEN["cancel"]
    with pytest.raises(TooLarge):
        said.decode_command(encode(GOLDEN["cancel"]) + padding + b" ")
    fault = said.Fault(code="no_milk", level="block", drinks=["d" * 128] * 20)
    with pytest.raises(TooLarge):
        encode(said.State(at=NOON, link="up", selling=True, faults=[fault] * 40))


def test_the_largest_batches_fit_a_message() -> None:
    longest = "я" * 255
    encode(said.Receipt(message_ids=[longest] * MAX_BATCH))
    encode(said.Query(commands=[said.Asked(command_id=longest, order_id=longest)] * MAX_BATCH))


@pytest.mark.parametrize("channel", Channel)
@given(payload=st.binary(max_size=400))
def test_arbitrary_bytes_raise_only_wire_errors(channel: Channel, payload: bytes) -> None:
    with pytest.raises(WireError):
        DECODERS[channel](payload)


@given(name=st.sampled_from(sorted(GOLDEN)), data=st.data())
def test_a_message_with_any_one_value_changed_is_read_or_a_wire_error(name: str, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(sorted(json.loads(MESSAGES[name]))))
    value = data.draw(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=600)
        | st.lists(st.text(max_size=3))
        | st.dictionaries(st.text(max_size=3), st.integers())
    )
    payload, _ = _changed(name, **{field: value})
    try:
        message = _read(payload, name.split("-")[0])
    except WireError:
        return
    assert _read(encode(message), name.split("-")[0]) == message


@given(name=st.sampled_from(sorted(MESSAGES)), place=st.integers(0, 5000), byte=st.binary(max_size=1))
def test_a_message_with_any_one_byte_changed_is_read_or_a_wire_error(name: str, place: int, byte: bytes) -> None:
    whole = MESSAGES[name]
    place %= len(whole)
    try:
        message = _read(whole[:place] + byte + whole[place + 1 :], name.split("-")[0])
    except WireError:
        return
    assert encode(message)
