"""The published schemas: current, complete, and without a loose end."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from protocol import machine
from protocol.messages import KINDS
from protocol.schemas import FOLDER, documents, main, outdated
from protocol.topics import FROM_CLOUD, Channel

PUBLISHED = {name: json.loads(text) for name, text in documents().items()}
ASYNCAPI = PUBLISHED["asyncapi.json"]


def test_the_committed_files_are_those_the_declarations_give() -> None:
    assert outdated(FOLDER) == [], "run: python -m protocol.schemas --write"


def test_the_program_checks_writes_and_tidies(tmp_path: Path) -> None:
    folder = tmp_path / "wire"
    at = ["--folder", str(folder)]
    assert main(["--check", *at]) == 1
    assert main(["--write", *at]) == 0
    assert main(at) == 0
    (folder / "old.schema.json").write_text("{}")
    (folder / "make.schema.json").write_text("{}")
    assert outdated(folder) == ["make.schema.json", "old.schema.json"]
    assert main(["--write", *at]) == 0
    assert {path.name for path in folder.iterdir()} == set(documents())


def test_it_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "protocol.schemas"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_there_is_a_schema_for_every_kind() -> None:
    assert {f"{kind}.schema.json" for kind in KINDS} < set(PUBLISHED)


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_names_exactly_the_fields_of_its_message(kind: str) -> None:
    schema = PUBLISHED[f"{kind}.schema.json"]
    body = schema["$defs"][KINDS[kind].__name__]
    fields = msgspec.structs.fields(KINDS[kind])
    assert schema["$ref"] == f"#/$defs/{KINDS[kind].__name__}"
    assert set(body["properties"]) == {"kind", *(field.encode_name for field in fields)}
    assert set(body["required"]) == {"kind", *(field.encode_name for field in fields if field.required)}
    assert body["properties"]["kind"] == {"enum": [kind]}
    assert body["properties"]["v"]["const"] == 1


def test_the_machines_schema_has_every_command_byte() -> None:
    parts = PUBLISHED["companion-v1.schema.json"]["$defs"]
    written = {part["x-command-byte"]: name for name, part in parts.items() if "x-command-byte" in part}
    assert written == {f"{command:02X}": declared.__name__ for command, declared in machine.CODES.items()}


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_reference_leads_somewhere(name: str) -> None:
    for reference in _references(PUBLISHED[name]):
        place: Any = PUBLISHED[name]
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert isinstance(place, dict)


def test_asyncapi_carries_every_kind_on_exactly_one_channel() -> None:
    carried = [kind for channel in ASYNCAPI["channels"].values() for kind in channel["messages"]]
    assert sorted(carried) == sorted(KINDS) == sorted(ASYNCAPI["components"]["messages"])


@pytest.mark.parametrize("channel", Channel)
def test_asyncapi_says_who_speaks_on_a_channel_and_what_is_retained(channel: Channel) -> None:
    action = "receive" if channel in FROM_CLOUD else "send"
    operation = ASYNCAPI["operations"][f"{action}_{channel.value}"]
    assert ASYNCAPI["channels"][channel.value]["address"] == f"coffee/v1/{{device_uuid}}/{channel.value}"
    assert operation["action"] == action
    assert operation["bindings"]["mqtt"]["qos"] == 1
    assert operation["bindings"]["mqtt"]["retain"] is (channel in {Channel.PRESENCE, Channel.STATE})


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
