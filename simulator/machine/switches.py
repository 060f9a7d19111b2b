"""The list of everything that can be made to go wrong, by name, with a sentence each (docs/machine-protocol.md 3.6).

Only the list: `faults` keeps what is switched on, `conditions` says what a machine fault closes.
"""

from dataclasses import dataclass
from enum import StrEnum

from protocol.reasons import FaultCode, RejectCode


class Group(StrEnum):
    """Where a switch belongs in a list for people."""

    MACHINE = "machine"
    LINE = "line"
    CUP = "cup"
    POWER = "power"
    MEMORY = "memory"
    REFUSAL = "refusal"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Switch:
    """One thing that can go wrong. `lasting` is a condition that stays; the others strike at a moment."""

    name: str
    group: Group
    says: str
    says_ru: str
    lasting: bool = False


def _strikes(group: Group, name: str, says: str, says_ru: str) -> Switch:
    return Switch(name, group, says, says_ru)


def _lasts(group: Group, name: str, says: str, says_ru: str) -> Switch:
    return Switch(name, group, says, says_ru, lasting=True)


VENDOR_FAULT = "vendor_fault"
_MACHINE_FAULTS: dict[str, tuple[str, str]] = {
    FaultCode.NO_WATER: ("out of water", "кончилась вода"),
    FaultCode.NO_BEANS: ("out of beans: no coffee drinks", "кончилось зерно: кофейных напитков нет"),
    FaultCode.NO_MILK: ("out of milk: no milk drinks", "кончилось молоко: молочных напитков нет"),
    FaultCode.NO_INGREDIENT: ("out of powder: no cocoa", "кончился порошок: какао нет"),
    FaultCode.NO_CUPS: ("out of cups", "кончились стаканы"),
    FaultCode.CUP_JAM: ("a cup is stuck in the dispenser", "стакан застрял"),
    FaultCode.CUP_IN_HOLDER: ("a cup still stands under the spout (a warning)", "стакан не забрали (предупреждение)"),
    FaultCode.WASTE_FULL: ("the grounds container is full", "контейнер для жмыха полон"),
    FaultCode.TRAY_MISSING: ("the drip tray is missing", "нет поддона"),
    FaultCode.TRAY_FULL: ("the drip tray is full", "поддон полон"),
    FaultCode.DOOR_OPEN: ("the door is open", "открыта дверца"),
    FaultCode.GRINDER: ("the grinder is broken: no coffee drinks", "сломана кофемолка: кофейных напитков нет"),
    FaultCode.BREWER: ("the brewing unit is broken", "сломан заварочный узел"),
    FaultCode.BOILER: ("the boiler is broken", "сломан бойлер"),
    FaultCode.FLOW: ("no flow through the meter", "нет потока воды"),
    FaultCode.DESCALE: ("descaling is due (a warning)", "пора удалить накипь (предупреждение)"),
    FaultCode.FILTER: ("the filter is due (a warning)", "пора менять фильтр (предупреждение)"),
    FaultCode.SERVICE_DUE: ("service is due (a warning)", "пора на обслуживание (предупреждение)"),
    VENDOR_FAULT: ("a fault only the maker knows, vendor:e17 (a warning)", "код изготовителя vendor:e17"),
}
_CAPABILITIES: dict[str, tuple[str, str]] = {
    "ack": ("gives no verdict on a make", "не отвечает на команду"),
    "progress": ("reports no progress", "не сообщает о ходе"),
    "finish": ("reports no outcome", "не сообщает об исходе"),
    "order": ("cannot be asked about an order", "не отвечает о заказе"),
    "counters": ("has no readable counters", "не отдаёт счётчики"),
    "dedup": ("makes a second drink for a repeated order", "повтор заказа наливает второй раз"),
    "nv": ("keeps its order history in RAM: a reboot forgets it", "помнит заказы только до перезагрузки"),
    "cancel": ("cannot cancel", "не умеет отменять"),
    "rinse": ("cannot rinse on command", "не умеет промываться по команде"),
    "faults": ("does not report its faults", "не сообщает о неисправностях"),
    "heartbeat": ("sends no heartbeat", "не шлёт сердцебиение"),
}
CAPABILITIES = tuple(_CAPABILITIES)
"""As HELLO lists them (docs/wire-contract.md 2.3)."""


def without(capability: str) -> str:
    """The switch that takes a capability away."""
    return f"without_{capability}"


def reject(code: RejectCode) -> str:
    """The switch that refuses a make with this code."""
    return f"reject_{code}"


_ALL = [
    *(_lasts(Group.MACHINE, name, *says) for name, says in _MACHINE_FAULTS.items()),
    _lasts(Group.MACHINE, "heating", "is heating and refuses to pour", "греется и не наливает"),
    _lasts(Group.MACHINE, "service", "is in service and refuses to pour", "на обслуживании и не наливает"),
    _lasts(Group.MACHINE, "rinse_needed", "refuses to pour until it is rinsed", "не наливает, пока не промыта"),
    _lasts(Group.MACHINE, "slow", "brews five times slower", "готовит впятеро медленнее"),
    _lasts(
        Group.LINE, "silent", "hangs: hears nothing, says nothing, the port stays open", "зависла: молчит и не слышит"
    ),
    _lasts(Group.MACHINE, "says_ready", "says that it is ready while it pours", "наливает, а говорит, что готова"),
    _lasts(Group.LINE, "echo", "two wires: the host hears itself", "два провода: слышно эхо своих кадров"),
    _lasts(Group.LINE, "mute", "works but says nothing", "работает, но молчит"),
    _lasts(Group.LINE, "unplugged", "the cable is out; it comes back as another pty", "кабель выдернут"),
    _lasts(Group.LINE, "flood_heartbeats", "sends a hundred heartbeats a second", "сто сердцебиений в секунду"),
    _strikes(
        Group.LINE, "unplug_mid_brew", "the cable is out for 2 s while it pours", "кабель выпадает во время налива"
    ),
    _strikes(Group.LINE, "drop_verdict", "the answer to a make is lost", "ответ на команду теряется"),
    _strikes(
        Group.LINE, "drop_done", "the word on the outcome is lost, once a sending", "сообщение об исходе теряется"
    ),
    _strikes(Group.LINE, "drop_reply", "an answer of any kind is lost", "любой ответ теряется"),
    _strikes(Group.LINE, "duplicate_events", "an event is sent twice", "событие приходит дважды"),
    _strikes(
        Group.LINE, "delay_frame", "a frame is held back for 2 s; others overtake it", "кадр задерживается на 2 с"
    ),
    _strikes(
        Group.LINE, "reorder_progress", "a progress event comes after the next event", "ход приходит не по порядку"
    ),
    _strikes(Group.LINE, "corrupt_crc", "a frame's CRC is wrong", "неверная контрольная сумма"),
    _strikes(Group.LINE, "corrupt_length", "a frame's length is wrong", "неверная длина"),
    _strikes(Group.LINE, "corrupt_tail", "a frame's tail is wrong", "неверный хвост"),
    _strikes(Group.LINE, "garbage", "noise before a frame", "мусор перед кадром"),
    _strikes(Group.LINE, "split_bytes", "a frame is written byte by byte", "кадр идёт по одному байту"),
    _strikes(Group.LINE, "unknown_command", "a frame nobody knows comes first", "неизвестный кадр"),
    _strikes(Group.LINE, "own_words", "a frame is worded in the maker's own way", "кадр словами изготовителя"),
    _strikes(Group.LINE, "unknown_keys", "a frame carries keys nobody knows", "неизвестные ключи в кадре"),
    _strikes(Group.CUP, "take_back_verdict", "says yes to a make, and then busy", "говорит «да», потом «занята»"),
    _strikes(Group.CUP, "fail_before_pour", "the drink fails with an empty cup", "отказ, стакан пуст"),
    _strikes(Group.CUP, "fail_mid_brew", "the drink fails half poured", "отказ на полстакане"),
    _strikes(Group.CUP, "fault_mid_brew", "a warning comes and goes while it pours", "предупреждение во время налива"),
    _strikes(Group.CUP, "no_water_mid_brew", "half poured, no water for 2 s", "на полстакана кончается вода, на 2 с"),
    _strikes(Group.CUP, "done_for_other_order", "says done for an order nobody gave", "«готово» о чужом заказе"),
    _strikes(Group.CUP, "local_drink", "a cash drink is made and counted during ours", "чужой напиток за наличные"),
    _strikes(Group.CUP, "local_test_drink", "a test drink is made during ours", "пробный напиток во время нашего"),
    _strikes(Group.CUP, "count_twice", "a drink is counted twice", "напиток посчитан дважды"),
    _strikes(Group.CUP, "not_counted", "a drink is not counted", "напиток не посчитан"),
    _strikes(Group.POWER, "reboot_before_accept", "power cut before a make is accepted", "обрыв до приёма команды"),
    _strikes(Group.POWER, "reboot_after_accept", "power cut after accepting, before the answer", "обрыв до ответа"),
    _strikes(Group.POWER, "mid_pour_crash", "power cut in the middle of the pour", "гаснет посреди налива"),
    _strikes(Group.POWER, "reboot_after_dispense", "power cut, cup full, nothing recorded", "обрыв до записи исхода"),
    _strikes(Group.POWER, "reboot_after_outcome", "power cut, outcome recorded, not counted", "обрыв до счётчика"),
    _strikes(Group.POWER, "reboot_before_done", "power cut, counted, DONE not said", "обрыв до «готово»"),
    _strikes(
        Group.POWER, "reboot_after_done", "power cut right after DONE, before its ack", "обрыв сразу после «готово»"
    ),
    _strikes(Group.MEMORY, "counters_jump", "when asked, all counters are up by 1000", "счётчики скачут на тысячу"),
    _strikes(
        Group.MEMORY, "lose_counters", "at the next boot all counters are zero", "счётчики обнуляются при включении"
    ),
    _strikes(Group.MEMORY, "forget_order", "asked about an order, it has forgotten it", "спрошенный заказ забыт"),
    _strikes(Group.MEMORY, "wipe_memory", "at the next boot all its memory is gone", "при включении память стёрта"),
    _strikes(Group.MEMORY, "stale_boot_id", "answers ORDER with the boot id before this one", "старый bootId в ответе"),
    *(
        _strikes(Group.REFUSAL, reject(code), f"refuses a make with `{code}`", f"отказывает с кодом {code}")
        for code in RejectCode
    ),
    *(_lasts(Group.MISSING, without(capability), *says) for capability, says in _CAPABILITIES.items()),
]
SWITCHES = {switch.name: switch for switch in _ALL}
MACHINE_FAULTS = tuple(_MACHINE_FAULTS)
"""Switches that are faults the machine itself knows and reports."""
