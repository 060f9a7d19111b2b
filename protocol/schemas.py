"""The wire contract for other languages: JSON Schemas and an AsyncAPI 3.0 document, drawn from the declarations.

`python -m protocol.schemas --write` puts them into `docs/wire`, `--check` says whether they are there and current.
Describes, never judges: nothing of ours reads them.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec

from protocol import VERSION, machine
from protocol.messages import KINDS, CommandMessage, Message, Presence, ReceiptMessage, ReportMessage, State
from protocol.topics import FROM_CLOUD, ROOT, Channel

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "wire"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
MQTT_BINDING = "0.2.0"

SAID_ON: dict[Channel, tuple[type[Message], ...]] = {
    Channel.COMMAND: get_args(CommandMessage),
    Channel.RECEIPT: get_args(ReceiptMessage),
    Channel.REPORT: get_args(ReportMessage),
    Channel.PRESENCE: (Presence,),
    Channel.STATE: (State,),
}
RETAINED = (Channel.PRESENCE, Channel.STATE)

Json = dict[str, Any]


def documents() -> dict[str, str]:
    """Every generated file: its name and its text."""
    files: dict[str, Json] = {f"{kind}.schema.json": message_schema(declared) for kind, declared in KINDS.items()}
    files["companion-v1.schema.json"] = machine_schema()
    files["asyncapi.json"] = asyncapi()
    return {name: json.dumps(content, indent=2, ensure_ascii=False) + "\n" for name, content in files.items()}


def message_schema(declared: type[Message]) -> Json:
    """The JSON Schema of one MQTT message."""
    (reference,), parts = msgspec.json.schema_components([declared], ref_template="#/$defs/{name}")
    return {"$schema": DRAFT, **reference, "$defs": _with_version(parts)}


def machine_schema() -> Json:
    """The bodies of all frames of `companion-v1`, each with its command byte."""
    references, parts = msgspec.json.schema_components(machine.CODES.values(), ref_template="#/$defs/{name}")
    for command, declared in machine.CODES.items():
        parts[declared.__name__]["x-command-byte"] = f"{command:02X}"
    return {"$schema": DRAFT, "title": "companion-v1", "anyOf": list(references), "$defs": parts}


def asyncapi() -> Json:
    """The device's side of the MQTT contract: what it receives and what it sends."""
    _, parts = msgspec.json.schema_components(KINDS.values(), ref_template="#/components/schemas/{name}")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Coffee Relay, the device's side",
            "version": f"{VERSION}.0.0",
            "description": "Every rule behind these messages is in docs/wire-contract.md.",
        },
        "defaultContentType": "application/json",
        "servers": {"broker": _server()},
        "channels": {channel.value: _channel(channel) for channel in Channel},
        "operations": {f"{_action(channel)}_{channel.value}": _operation(channel) for channel in Channel},
        "components": {
            "securitySchemes": {"device": {"type": "userPassword", "description": "The user is the device_uuid."}},
            "messages": {kind: _message(kind, declared) for kind, declared in KINDS.items()},
            "schemas": _with_version(parts),
        },
    }


def _with_version(parts: Json) -> Json:
    for part in parts.values():
        if "v" in part.get("properties", {}):
            part["properties"]["v"] = {"const": VERSION, "default": VERSION}
    return parts


def _server() -> Json:
    will = {"topic": f"{ROOT}/{{device_uuid}}/{Channel.PRESENCE.value}", "qos": 1, "retain": True}
    return {
        "host": "broker.example.org:8883",
        "protocol": "secure-mqtt",
        "protocolVersion": "5",
        "security": [{"$ref": "#/components/securitySchemes/device"}],
        "bindings": {
            "mqtt": {
                "clientId": "{device_uuid}",
                "cleanSession": False,
                "lastWill": {**will, "message": "presence, online: false"},
                "bindingVersion": MQTT_BINDING,
            }
        },
    }


def _channel(channel: Channel) -> Json:
    kinds = [kind for kind, declared in KINDS.items() if declared in SAID_ON[channel]]
    return {
        "address": f"{ROOT}/{{device_uuid}}/{channel.value}",
        "parameters": {"device_uuid": {"description": "The machine's name, and its user at the broker."}},
        "messages": {kind: {"$ref": f"#/components/messages/{kind}"} for kind in kinds},
    }


def _action(channel: Channel) -> str:
    return "receive" if channel in FROM_CLOUD else "send"


def _operation(channel: Channel) -> Json:
    return {
        "action": _action(channel),
        "channel": {"$ref": f"#/channels/{channel.value}"},
        "bindings": {"mqtt": {"qos": 1, "retain": channel in RETAINED, "bindingVersion": MQTT_BINDING}},
    }


def _message(kind: str, declared: type[Message]) -> Json:
    summary = (declared.__doc__ or "").strip().partition("\n")[0]
    return {"name": kind, "summary": summary, "payload": {"$ref": f"#/components/schemas/{declared.__name__}"}}


def outdated(folder: Path) -> list[str]:
    """Names of files in the folder that are missing, differ from the declarations, or describe nothing any more."""
    wanted = documents()
    present = {path.name: path.read_text("utf-8") for path in folder.glob("*.json")}
    return sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))


def write(folder: Path) -> None:
    """Make the folder hold exactly the generated files."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = documents()
    for path in folder.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, "utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """0: the files are current; 1: they are not."""
    parser = argparse.ArgumentParser(prog="python -m protocol.schemas", description=(__doc__ or "").partition("\n")[0])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="only say which files are not current (the default)")
    what.add_argument("--write", action="store_true", help="write the files")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the files are")
    options = parser.parse_args(arguments)
    if options.write:
        write(options.folder)
    stale = outdated(options.folder)
    for name in stale:
        sys.stderr.write(f"not current: {options.folder / name}\n")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
