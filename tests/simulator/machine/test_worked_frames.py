"""The machine's bytes equal the worked frames of docs/wire-contract.md 2.1."""

from protocol.reasons import Phase, RejectCode, Spout
from simulator.machine import STANDARD_MENU, Memory, Menu, Timing, menu_of
from simulator.machine.memory import Counters, OrderRecord
from simulator.machine.switches import without
from tests.simulator.machine.rig import LONG_ENOUGH_S, Rig

ORDER = "20250317110122659ba6d7-9ace-cndn"
DRINK = "9b900a2e63042d350f45b6675ef26ced"
MAKE = bytes.fromhex(
    "aa5501007b08227b226f7264657255756964223a22323032353033313731313031323236353962613664372d396163652d636e646e222c"
    "226472696e6b4e6f223a223962393030613265363330343264333530663435623636373565663236636564222c2274657874466c6167223a"
    "2231222c227072696365223a31343930307d8866"
)
HELLO = bytes.fromhex("aa55010016dc207b226d73674964223a312c2270726f746f223a317d8866")
STATUS = bytes.fromhex("aa5501000c75217b226d73674964223a327d8866")
CANCEL = bytes.fromhex(
    "aa5501003b2e237b226d73674964223a332c226f7264657255756964223a22"
    "323032353033313731313031323236353962613664372d396163652d636e646e227d8866"
)
ORDER_QUERY = bytes.fromhex(
    "aa5501003b7b247b226d73674964223a342c226f7264657255756964223a22"
    "323032353033313731313031323236353962613664372d396163652d636e646e227d8866"
)
COUNTERS = bytes.fromhex("aa5501000ca2257b226d73674964223a357d8866")
RINSE = bytes.fromhex(
    "aa5501002ee8267b226d73674964223a362c226a6f6255756964223a22722d30303031222c226b696e64223a2272696e7365227d8866"
)


def menu_of_the_sample() -> Menu:
    americano = STANDARD_MENU["americano"]
    return {DRINK: americano}


def a_rig(menu: Menu | None = None, counters: Counters | None = None, timing: Timing | None = None) -> Rig:
    memory = Memory()
    memory.counters = counters or Counters()
    return Rig(memory, menu or menu_of_the_sample(), timing or Timing(heating_s=0.0))


def use_up_events(rig: Rig, last_number: int) -> None:
    """Warnings come and go until this many events have been numbered."""
    for number in range(1, last_number):
        (rig.faults.turn_on if number % 2 else rig.faults.clear)("descale")
        rig.bytes_after()


def test_hello() -> None:
    rig = a_rig()
    for missing in ("cancel", "rinse", "faults", "heartbeat"):
        rig.faults.turn_on(without(missing))
    assert rig.bytes_after(HELLO).hex() == (
        "aa5501007874a07b226d73674964223a312c226d6f64656c223a2273696d2d31222c226677223a22312e30222c22626f6f744964223a22"
        "6237222c2263617073223a5b2261636b222c2270726f6772657373222c2266696e697368222c226f72646572222c22636f756e74657273"
        "222c226465647570222c226e76225d7d8866"
    )


def test_status() -> None:
    assert a_rig().bytes_after(STATUS).hex() == (
        "aa550100472da17b226d73674964223a322c22626f6f744964223a226237222c227374617465223a227265616479222c226f72646572"
        "55756964223a6e756c6c2c226661756c7473223a5b5d7d8866"
    )


def test_make_accepted_says_the_verdict_before_anything_else() -> None:
    assert (
        a_rig()
        .bytes_after(MAKE)
        .hex()
        .startswith(
            "aa55010055b3a27b226f7264657255756964223a22323032353033313731313031323236353962613664372d396163652d636e646e222c"
            "226f6b223a747275652c22647570223a66616c73652c22626f6f744964223a226237227d8866"
        )
    )


def test_make_refused() -> None:
    rig = a_rig()
    rig.faults.turn_on("no_water")
    rig.bytes_after()
    assert rig.bytes_after(MAKE).hex() == (
        "aa5501005c7ba27b226f7264657255756964223a22323032353033313731313031323236353962613664372d396163652d636e646e222c"
        "226f6b223a66616c73652c22636f6465223a226e6f5f7761746572222c22626f6f744964223a226237227d8866"
    )


def test_cancel_too_late() -> None:
    rig = a_rig()
    rig.bytes_after(MAKE)
    rig.wait(3)
    assert rig.bytes_after(CANCEL).hex() == (
        "aa55010078c6a37b226d73674964223a332c226f7264657255756964223a22323032353033313731313031323236353962613664372d39"
        "6163652d636e646e222c226f6b223a66616c73652c22636f6465223a22746f6f5f6c617465222c227068617365223a2262726577696e67"
        "222c22626f6f744964223a226237227d8866"
    )


def test_order_done() -> None:
    rig = a_rig()
    rig.bytes_after(MAKE)
    rig.wait(LONG_ENOUGH_S)
    assert rig.bytes_after(ORDER_QUERY).hex() == (
        "aa550100711da47b226d73674964223a342c226f7264657255756964223a22323032353033313731313031323236353962613664372d39"
        "6163652d636e646e222c227068617365223a22646f6e65222c226f7574223a2266756c6c222c22626f6f744964223a226237222c226869"
        "7374223a226e76227d8866"
    )


def test_counters() -> None:
    rig = a_rig(counters=Counters(total=1042, paid=1000, free=30, test=12, by_drink={"americano": 310}))
    rig.memory.boots = 12
    assert rig.bytes_after(COUNTERS).hex() == (
        "aa5501006eb2a57b226d73674964223a352c22626f6f744964223a226237222c22626f6f7473223a31322c22746f74616c223a31303432"
        "2c2270616964223a313030302c2266726565223a33302c2274657374223a31322c2262794472696e6b223a7b22616d65726963616e6f22"
        "3a3331307d7d8866"
    )


def test_rinse() -> None:
    assert a_rig().bytes_after(RINSE).hex() == (
        "aa5501003700a67b226d73674964223a362c226a6f6255756964223a22722d30303031222c226f6b223a747275652c22626f6f74496422"
        "3a226237227d8866"
    )


def test_boot_after_a_power_cut_mid_brew() -> None:
    rig = a_rig()
    rig.bytes_after(MAKE)
    rig.faults.turn_on("mid_pour_crash")
    while rig.machine.is_powered:
        rig.wait(0.1)
    rig.now += Timing().boot_s
    assert rig.bytes_after().hex() == (
        "aa5501006bedc07b22626f6f744964223a226238222c22657674223a312c22776879223a22706f776572222c226c6173744f7264657222"
        "3a22323032353033313731313031323236353962613664372d396163652d636e646e222c226c6173745068617365223a2262726577696e"
        "67227d8866"
    )


def test_progress() -> None:
    rig = a_rig()
    use_up_events(rig, 33)
    rig.bytes_after(MAKE)
    rig.now += 0.4 * Timing().brew_s
    assert (
        "aa55010060bdc17b22626f6f744964223a226237222c22657674223a33392c226f7264657255756964223a22323032353033313731313031"
        "323236353962613664372d396163652d636e646e222c227374616765223a2262726577222c22706374223a34307d8866"
    ) in rig.bytes_after().hex()


def test_done() -> None:
    rig = a_rig(counters=Counters(total=1041), timing=Timing(heating_s=0.0, heartbeat_s=1000.0))
    use_up_events(rig, 29)
    rig.bytes_after(MAKE)
    rig.now += 0.9 * Timing().brew_s
    rig.bytes_after()
    rig.now += 0.1 * Timing().brew_s
    assert (
        "aa55010055d3c27b22626f6f744964223a226237222c22657674223a34312c226f7264657255756964223a22323032353033313731313031"
        "323236353962613664372d396163652d636e646e222c22746f74616c223a313034327d8866"
    ) in rig.bytes_after().hex()


def test_failed_with_an_empty_cup() -> None:
    rig = a_rig()
    use_up_events(rig, 38)
    rig.faults.turn_on("fail_before_pour")
    rig.bytes_after(MAKE)
    rig.now += 0.2 * Timing().brew_s
    assert (
        "aa55010065ffc37b22626f6f744964223a226237222c22657674223a34312c226f7264657255756964223a22323032353033313731313031"
        "323236353962613664372d396163652d636e646e222c22636f6465223a22627265776572222c226f7574223a226e6f6e65227d8866"
    ) in rig.bytes_after().hex()


def test_fault() -> None:
    rig = a_rig(menu_of(STANDARD_MENU["espresso"], STANDARD_MENU["americano"], STANDARD_MENU["tea"]))
    use_up_events(rig, 41)
    rig.faults.turn_on("no_beans")
    assert rig.bytes_after().hex() == (
        "aa5501006740c47b22626f6f744964223a226237222c22657674223a34322c22636f6465223a226e6f5f6265616e73222c226f6e223a7472"
        "75652c226c6576656c223a22626c6f636b222c226472696e6b73223a5b22657370726573736f222c22616d65726963616e6f225d7d8866"
    )


def test_heartbeat() -> None:
    rig = a_rig()
    rig.now = 3600.0
    assert (
        rig.bytes_after()
        .hex()
        .endswith(
            "aa5501002a38c57b22626f6f744964223a226237222c227374617465223a227265616479222c227570223a333630307d8866"
        )
    )


def test_link_nak_for_a_damaged_frame() -> None:
    damaged = bytearray(STATUS)
    damaged[5] ^= 1
    assert a_rig().bytes_after(bytes(damaged)).hex() == "aa5501000e652f7b22776879223a22637263227d8866"


def test_a_refused_order_is_remembered_as_failed_with_nothing_poured() -> None:
    rig = a_rig()
    rig.faults.turn_on("no_water")
    rig.bytes_after(MAKE)
    assert rig.memory.order(ORDER) == OrderRecord(
        order_uuid=ORDER,
        drink_no=DRINK,
        size=1,
        phase=Phase.FAILED,
        out=Spout.NONE,
        refused=RejectCode.NO_WATER,
    )
