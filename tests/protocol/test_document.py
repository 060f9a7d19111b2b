"""docs/wire-contract.md: complete against the declarations, and its examples are real messages."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from protocol import machine
from protocol.machine import MakeDrink, from_frame
from protocol.messages import KINDS, REPEAT_WITHIN_S, Asked, Counters, Evidence, Fault
from protocol.reasons import (
    AgentCode,
    AnswerStatus,
    DoubtCode,
    EventKind,
    FaultCode,
    FaultLevel,
    JobCode,
    MachineState,
    Phase,
    RejectCode,
    Result,
    RinseProgram,
    Spout,
    Stage,
)
from protocol.schemas import RETAINED, SAID_ON
from protocol.topics import Channel, topic
from simulator.machine.framing import FrameDecoder
from tests.protocol.test_messages import CHANNELS, DECODERS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "wire-contract.md").read_text("utf-8")
SECTIONS = {
    match["kind"]: match["section"]
    for match in re.finditer(
        r"^#### `(?P<kind>\w+)` (?P<section>\(.*?)(?=^#### |^### )", TEXT, re.MULTILINE | re.DOTALL
    )
}
PARTS: dict[str, tuple[type[msgspec.Struct], ...]] = {
    "query": (Asked,),
    "outcome": (Evidence,),
    "state": (Fault, Counters),
}
CODES_SECTION = TEXT[TEXT.index("### 1.7") : TEXT.index("### 1.8")]


def test_every_kind_has_a_section_and_nothing_else_has() -> None:
    assert list(SECTIONS) == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_section_names_the_channel_every_field_and_marks_what_may_be_missing(kind: str) -> None:
    section = SECTIONS[kind]
    assert section.startswith(f"({CHANNELS[kind]}")
    assert ("retained" in section.partition("\n")[0]) is (CHANNELS[kind] in RETAINED)
    fields = {field.encode_name: field for field in msgspec.structs.fields(KINDS[kind]) if field.name != "v"}
    rows = {row[1]: row[2] for row in re.finditer(r"^\| `(\w+)`( \*\?\*)? \|", section, re.MULTILINE)}
    results = set(Result) if kind == "outcome" else set()
    for name, field in fields.items():
        assert (rows[name] is not None) is not field.required, name
    parts = {field.encode_name for part in PARTS.get(kind, ()) for field in msgspec.structs.fields(part)}
    assert all(f"`{name}`" in section for name in parts)
    assert rows.keys() <= fields.keys() | parts | results


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_of_a_section_is_a_message_of_that_kind(kind: str) -> None:
    (example,) = re.findall(r"```json\n(.*?)```", SECTIONS[kind], re.DOTALL)
    assert type(DECODERS[CHANNELS[kind]](example.encode())) is KINDS[kind]
    assert json.loads(example).keys() <= set(KINDS[kind].__struct_encode_fields__) | {"kind"}


@pytest.mark.parametrize("channel", Channel)
def test_the_topic_table_says_what_a_channel_carries(channel: Channel) -> None:
    (row,) = re.findall(rf"^\| `{channel}` \|.*$", TEXT, re.MULTILINE)
    carried = [kind for kind, declared in KINDS.items() if declared in SAID_ON[channel]]
    assert re.findall(r"`(\w+)`", row.rsplit("|", 2)[1]) == carried
    assert topic("<device_uuid>", channel) == f"coffee/v1/<device_uuid>/{channel}"


@pytest.mark.parametrize("code", [*RejectCode, *AgentCode, *FaultCode, *DoubtCode, *JobCode])
def test_every_code_is_in_the_list_of_codes(code: str) -> None:
    assert re.search(rf"\| `{code}`", CODES_SECTION)


@pytest.mark.parametrize(
    "name", [*Result, *Spout, *Phase, *Stage, *MachineState, *FaultLevel, *RinseProgram, *AnswerStatus, *EventKind]
)
def test_every_word_of_a_closed_list_is_named(name: str) -> None:
    assert f"`{name}`" in TEXT


def test_when_a_report_must_come_again_is_named() -> None:
    """The cloud judges by it which agents are silent."""
    assert f"**must** come within {REPEAT_WITHIN_S:.0f} s of the first" in TEXT


@pytest.mark.parametrize("command", machine.CODES)
def test_every_command_byte_is_named_with_its_keys(command: int) -> None:
    byte = f"{command:02X}"
    (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| `{byte}` |") or f"| `{byte}`:" in line]
    keys = {field.encode_name for field in msgspec.structs.fields(machine.CODES[command])}
    named = set(re.findall(r"`(\w+)", row))
    assert keys - {"jobUuid"} <= named


def test_the_frame_in_the_page_is_a_real_one() -> None:
    written = re.findall(r"^(AA55 .*8866)$", TEXT, re.MULTILINE)
    (frame,) = FrameDecoder().feed(bytes.fromhex(written[0]))
    assert from_frame(frame) == MakeDrink(order_uuid="o1", drink_no="1", text_flag=0, price=100)


def test_every_link_leads_somewhere() -> None:
    titles = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        else:
            assert (ROOT / "docs" / target.replace("*.schema.json", "")).exists(), target
