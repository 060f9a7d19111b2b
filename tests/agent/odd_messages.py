"""Messages as a mad cloud, or anybody with its rights, might send them: right, nearly right, and nonsense. Seeded."""

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from protocol.messages import Asked, Cancel, Make, Message, Probe, Query, Receipt, Welcome, encode
from protocol.topics import Channel

_ODD: tuple[Any, ...] = (
    "",
    "\x00",
    "x" * 300,
    -1,
    2**70,
    1e308,
    None,
    True,
    [],
    {},
    [[[[]]]],
    "1970-01-01T00:00:00Z",
    "💧",
)


class OddMessages:
    """`next()` gives a channel and a payload; `order_ids` are those a drink was asked for."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._number = 0
        self.order_ids: set[str] = set()

    def next(self) -> tuple[Channel, bytes]:
        random = self._random
        channel = Channel.COMMAND if random.random() < 0.8 else Channel.RECEIPT
        match random.randrange(6):
            case 0:
                return channel, random.randbytes(random.randint(0, 200))
            case 1:
                return channel, self._nonsense()
            case 2:
                return channel, self._nearly(self._good())
            case _:
                return channel, encode(self._good())

    def _good(self) -> Message:
        random = self._random
        self._number += 1
        command_id, order_id = f"c{random.randint(1, 50)}-{self._number // 200}", f"o{random.randint(1, 50)}"
        now = datetime.now(UTC) + timedelta(seconds=random.choice([0, 0, 0, -90_000, 90_000]))
        asked = [Asked(command_id=command_id, order_id=order_id) for _ in range(random.randint(0, 50))]
        return random.choice(
            [
                Cancel(command_id=command_id, order_id=order_id),
                Query(commands=asked),
                Probe(probe_id="p", drink_no="americano", size=1),
                Receipt(message_ids=[f"{random.randint(0, 999)}" for _ in range(random.randint(0, 50))]),
                Welcome(hello_id="h", cloud_time=now),
                self._make(command_id, order_id, now),
            ]
        )

    def _make(self, command_id: str, order_id: str, now: datetime) -> Make:
        self.order_ids.add(order_id)
        return Make(
            command_id=command_id,
            order_id=order_id,
            attempt=1,
            drink_no=self._random.choice(["americano", "cappuccino", "no such drink", "напиток"]),
            size=self._random.randint(0, 2),
            price=self._random.randint(0, 100_000),
            issued_at=now,
            deadline_at=now + timedelta(seconds=self._random.choice([60, 60, 1, 0, -5, 10**8])),
        )

    def _nearly(self, message: Message) -> bytes:
        """One key wrong, missing or strange; or the bytes themselves damaged."""
        payload = encode(message)
        if self._random.random() < 0.5:
            changed = bytearray(payload)
            changed[self._random.randrange(len(changed))] = self._random.randrange(256)
            return bytes(changed)
        fields = json.loads(payload)
        key = self._random.choice(list(fields))
        if self._random.random() < 0.3:
            del fields[key]
        else:
            fields[key] = self._random.choice(_ODD)
        return json.dumps(fields).encode()

    def _nonsense(self) -> bytes:
        return self._random.choice(
            [
                b"",
                b"{" * self._random.randint(1, 100_000),
                b"[" * 50_000 + b"]" * 50_000,
                b'{"kind":"dance","v":1,"command_id":"c"}',
                b'{"kind":"make","v":99}',
                b'{"kind":"query","v":1,"commands":' + b"[" * 1000,
                json.dumps({"kind": "make", "v": 1, "x" * 1000: "y" * 60_000}).encode(),
                '{"kind":"\ud800"}'.encode("utf-8", "surrogatepass"),
            ]
        )
