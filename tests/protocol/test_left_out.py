"""What a message leaves out allows and claims the least."""

import json
from collections.abc import Callable

import pytest

from protocol.messages import Message, decode_command, decode_report
from protocol.reasons import Spout
from tests.protocol.vectors import MESSAGES


@pytest.mark.parametrize(
    ("decode", "name", "field", "meant"),
    [
        (decode_command, "resume", "accept_loss", False),
        (decode_command, "update", "allow_older", False),
        (decode_report, "outcome-corrected", "out", Spout.UNKNOWN),
        (decode_report, "outcome-corrected", "revision", 1),
    ],
)
def test_it_is_read_as_the_least(decode: Callable[[bytes], Message], name: str, field: str, meant: object) -> None:
    body = json.loads(MESSAGES[name])
    del body[field]
    assert getattr(decode(json.dumps(body).encode()), field) == meant
