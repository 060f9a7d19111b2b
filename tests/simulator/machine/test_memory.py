"""What is remembered, what is forgotten first, and what a file of another kind is told."""

from pathlib import Path

import pytest

from protocol.reasons import Phase, RejectCode
from simulator.machine.memory import MAX_CUPS, MAX_ORDERS, Memory, MemoryFile, OrderRecord


def record(number: int, refused: RejectCode | None = None) -> OrderRecord:
    phase = Phase.FAILED if refused else Phase.DONE
    return OrderRecord(order_uuid=f"o{number}", drink_no="tea", size=1, phase=phase, refused=refused)


def test_refused_orders_are_forgotten_before_poured_ones() -> None:
    memory = Memory()
    memory.remember(record(0))
    for number in range(1, MAX_ORDERS * 2):
        memory.remember(record(number, RejectCode.BUSY))
    assert memory.order("o0") is not None
    assert memory.order("o1") is None


def test_the_oldest_poured_order_is_forgotten_when_all_were_poured() -> None:
    memory = Memory()
    for number in range(MAX_ORDERS + 1):
        memory.remember(record(number))
    assert memory.order("o0") is None
    assert memory.order("o1") is not None
    assert MAX_ORDERS >= 64


def test_cups_are_bounded() -> None:
    memory = Memory()
    for number in range(MAX_CUPS + 5):
        memory.new_cup(f"o{number}", "tea")
    assert len(memory.cups) == MAX_CUPS
    assert memory.cups[-1].order_uuid == f"o{MAX_CUPS + 4}"


def test_a_file_that_is_no_memory_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    path.write_text("not mine")
    with pytest.raises(ValueError, match="is not a machine's memory"):
        MemoryFile(path)
    assert path.read_text() == "not mine"


def test_what_was_kept_is_read_back(tmp_path: Path) -> None:
    memory = MemoryFile(tmp_path / "new" / "memory.json")
    memory.new_cup("o1", "tea").filled = 0.5
    memory.remember(record(1))
    again = MemoryFile(tmp_path / "new" / "memory.json")
    assert again.order("o1") == record(1)
    assert [cup.filled for cup in again.cups] == [0.5]
