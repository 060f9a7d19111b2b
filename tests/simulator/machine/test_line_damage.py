"""Damaged lines by the thousand, seeded: no damage ever costs the next frame; falsely believed ones are counted."""

import random
from collections.abc import Callable
from typing import NamedTuple

import pytest

from protocol.frames import Frame
from protocol.machine import MakeDrink, to_frame
from simulator.machine.framing import encode
from tests.simulator.machine.lines import read

Damage = Callable[[random.Random, bytes], bytes]


class Row(NamedTuple):
    """One row of the table: how many frames were believed though damaged, how many next frames were lost."""

    wrongly_accepted: int
    next_lost: int


def _replaced(count: int) -> Damage:
    def damage(chance: random.Random, wire: bytes) -> bytes:
        broken = bytearray(wire)
        for place in chance.sample(range(len(wire)), count):
            broken[place] ^= chance.randrange(1, 256)
        return bytes(broken)

    return damage


def _deleted(shortest: int, longest: int) -> Damage:
    def damage(chance: random.Random, wire: bytes) -> bytes:
        count = chance.randint(shortest, longest)
        start = chance.randrange(len(wire) - count + 1)
        return wire[:start] + wire[start + count :]

    return damage


def _cut_short(chance: random.Random, wire: bytes) -> bytes:
    return wire[: chance.randrange(1, len(wire))]


def _junk_before(chance: random.Random, wire: bytes) -> bytes:
    return chance.randbytes(chance.randint(1, 40)) + wire


DAMAGES: dict[str, Damage] = {
    "one byte replaced": _replaced(1),
    "three bytes replaced": _replaced(3),
    "one byte deleted": _deleted(1, 1),
    "run of 2-15 bytes deleted": _deleted(2, 15),
    "frame cut short": _cut_short,
    "random junk before": _junk_before,
}
BELIEVED_PER_10_000 = {"three bytes replaced": 4}
"""The rest must be none: CRC-8 finds every single byte, and a shifted tail is no tail."""


def _make(chance: random.Random) -> Frame:
    drink_no = f"{chance.getrandbits(128):032x}"
    order = MakeDrink(
        order_uuid=f"2025{chance.randrange(10**10):010d}{chance.getrandbits(32):08x}-9ace-cndn",
        drink_no=drink_no[: chance.randint(1, 32)],
        text_flag=chance.choice(["0", "1", "2"]),
        price=chance.randrange(100_000),
    )
    return to_frame(order)


def _measure(damage: Damage, trials: int) -> Row:
    chance = random.Random(20250317)
    believed = lost = 0
    for _ in range(trials):
        frame, next_frame = _make(chance), _make(chance)
        found = read(damage(chance, encode(frame)) + encode(next_frame))
        lost += next_frame not in found
        believed += sum(each not in (frame, next_frame) for each in found)
    return Row(wrongly_accepted=believed, next_lost=lost)


every_damage = pytest.mark.parametrize("name", DAMAGES)


@every_damage
def test_a_damaged_frame_never_costs_the_next_one(name: str) -> None:
    row = _measure(DAMAGES[name], trials=600)
    assert row.next_lost == 0
    assert row.wrongly_accepted <= BELIEVED_PER_10_000.get(name, 0)


@pytest.mark.long
@every_damage
def test_sixty_thousand_damaged_frames_never_cost_the_next_one(name: str) -> None:
    row = _measure(DAMAGES[name], trials=60_000)
    assert row.next_lost == 0
    assert row.wrongly_accepted <= 6 * BELIEVED_PER_10_000.get(name, 0)
