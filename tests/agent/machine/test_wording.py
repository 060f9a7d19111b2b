"""A machine that words things its own way is understood as far as it decides, and never sells or pours by a doubt."""

import json
from typing import Any

import pytest
from msgspec import UNSET

from agent import refusal
from agent.machine.profile import load
from agent.machine.wording import word
from protocol.errors import Malformed
from protocol.frames import Frame
from protocol.machine import DoneEvent, FailedEvent, MachineMessage, MakeDrink, MakeReply, StatusReply
from protocol.reasons import AgentCode, DoubtCode, EventKind, Result, Spout
from tests.agent.world import AMERICANO, World

CODEC = load("companion-v1").codec


def read(command: int, **body: Any) -> MachineMessage:
    return CODEC.from_frame(Frame(command, json.dumps({"bootId": "b1", "evt": 1, **body}).encode()))


@pytest.mark.parametrize(
    ("command", "body", "means"),
    [
        (0xA1, {"msgId": 1, "state": "standby", "orderUuid": None, "faults": ["door_open"]},
         {"state": "fault", "faults": ["door_open"]}),
        (0xA1, {"msgId": 1, "state": "Ready", "faults": ["Door open", "E 17", 5]},
         {"state": "ready", "order_uuid": None, "faults": ["door_open", "vendor:E_17", "5"]}),
        (0xA1, {"msgId": 1, "state": "ready", "faults": [{"code": "No milk", "level": "block", "drinks": []}, "E9"]},
         {"faults": ["no_milk", "E9"]}),
        (0xA1, {"msgId": 1, "state": "ready", "faults": ["no_milk", {"name": "door"}]}, {"faults": UNSET}),
        (0xA1, {"msgId": 1, "state": "ready", "faults": [{"code": None}]}, {"faults": UNSET}),
        (0xC5, {"state": 7}, {"state": "fault", "up": 0}),
        (0xA2, {"orderUuid": "o1", "ok": False, "code": "vendor:no cup!"}, {"ok": False}),
        (0xA2, {"orderUuid": "o1", "ok": 1, "dup": None, "code": None}, {"ok": True}),
        (0xC3, {"orderUuid": "o1", "code": "vendor: brew jam", "out": "none"},
         {"code": "vendor:brew_jam", "out": "none", "order_uuid": "o1"}),
        (0xC3, {"orderUuid": "o1", "code": None, "out": "half"}, {"code": "vendor:unnamed", "out": "unknown"}),
        (0xC4, {"code": "vendor:e 17", "on": True, "level": "error", "drinks": None},
         {"code": "vendor:e_17", "on": True, "level": "block", "drinks": []}),
        (0xC4, {"code": "no_milk", "on": "false", "level": "BLOCK", "drinks": ["latte", None]},
         {"on": False, "level": "block", "drinks": []}),
        (0xC0, {"why": "brown out", "lastPhase": "pouring", "lastOrder": 5},
         {"why": "vendor:brown_out", "last_phase": None, "last_order": None}),
        (0xC1, {"orderUuid": "o1", "stage": "swirling", "pct": 140.0}, {"stage": None, "pct": 100}),
        (0xC2, {"evt": 3.0, "orderUuid": "o1", "jobUuid": None, "total": 7.0}, {"evt": 3, "total": 7}),
        (0xC2, {"orderUuid": "o1", "jobUuid": ""}, {"order_uuid": "o1", "job_uuid": UNSET}),
        (0xC2, {"orderUuid": "", "jobUuid": "r1", "total": 7}, {"order_uuid": UNSET, "job_uuid": "r1", "total": 7}),
        (0xC2, {"orderUuid": "o1", "total": None}, {"order_uuid": "o1", "total": UNSET}),
        (0xC2, {"orderUuid": "o1", "total": "many"}, {"order_uuid": "o1", "total": UNSET}),
        (0xC3, {"orderUuid": "o1", "jobUuid": "", "code": "brewer", "out": "none"},
         {"order_uuid": "o1", "job_uuid": UNSET, "code": "brewer", "out": "none"}),
        (0xA1, {"msgId": 1, "state": "ready", "orderUuid": "", "faults": []}, {"state": "ready", "order_uuid": None}),
        (0xA4, {"msgId": 2, "orderUuid": "", "phase": "done", "hist": "nv"}, {"order_uuid": UNSET, "phase": "done"}),
        (0xA4, {"msgId": 2, "orderUuid": "o1", "phase": "unknown", "hist": "flash"}, {"hist": "ram"}),
        (0xA5, {"msgId": 2, "boots": 1.0, "total": 1000.0, "paid": "990", "free": 8, "test": 2, "byDrink": None},
         {"total": 1000, "paid": 990, "by_drink": {}}),
        (0xA0, {"msgId": 2, "model": 3, "fw": None, "bootId": 12, "caps": ["ack", "two words", 7, "nv"]},
         {"model": "3", "boot_id": "12", "caps": ["ack", "nv"]}),
    ],
)  # fmt: skip
def test_what_decides_is_read(command: int, body: dict[str, Any], means: dict[str, Any]) -> None:
    message = read(command, **body)
    assert {name: getattr(message, name) for name in means} == means


@pytest.mark.parametrize(
    ("command", "body"),
    [
        (0xA2, {"orderUuid": "o1", "ok": "perhaps"}),
        (0xA2, {"ok": True}),
        (0xA2, {"orderUuid": "", "ok": True}),
        (0xA4, {"msgId": 2, "orderUuid": "o1", "phase": "pouring", "hist": "nv"}),
        (0xA5, {"msgId": 2, "boots": 1, "total": 10.5, "paid": 1, "free": 0, "test": 0, "byDrink": {}}),
        (0xA5, {"msgId": 2, "boots": 1, "total": None, "paid": 1, "free": 0, "test": 0, "byDrink": {}}),
        (0xC2, {"evt": None, "orderUuid": "o1"}),
        (0xA1, {"msgId": 1, "faults": []}),
    ],
)
def test_which_order_is_meant_and_whether_it_was_done_is_never_guessed(command: int, body: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        read(command, **body)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("no_water", "no_water"),
        ("NO WATER", "no_water"),
        ("Door-Open", "door_open"),
        ("E17", "E17"),
        ("vendor:e17", "vendor:e17"),
        ("brew jam", "vendor:brew_jam"),
        (17, "17"),
        ("vendor:cancelled", "vendor:cancelled"),
        *((code, f"vendor:{code}") for code in (*AgentCode, *DoubtCode)),
    ],
)
def test_a_word_is_ours_or_the_makers(said: object, kept: str) -> None:
    assert word(said) == kept


def test_words_that_lose_letters_stay_apart_and_fit() -> None:
    odd = ["vendor:нет воды", "vendor:нет кофе", "нет воды", "x" * 300, "y" * 300, "!", "💧", "vendor:no cup!"]
    kept = [word(one) for one in odd]
    assert len(set(kept)) == len(odd)
    assert all(one.startswith("vendor:") and len(one) <= 64 and one.isascii() for one in kept)
    assert kept == [word(one) for one in odd]


# The whole agent before a machine that speaks so


def test_a_fault_in_the_makers_words_closes_the_machine(world: World) -> None:
    world.switch("own_words", when="on")
    world.switch("door_open")
    world.run(3)
    assert refusal.refusal_code(world.live_state.view, AMERICANO)
    world.order()
    assert world.outcome().result is Result.REJECTED
    world.switch_off("door_open")
    assert world.run(60, lambda: not refusal.refusal_code(world.live_state.view, AMERICANO))
    world.order("c2", "o2")
    assert world.outcome("c2").result is Result.DONE


@pytest.mark.parametrize("named", ["code", "alarm"])
def test_a_status_that_lists_faults_as_objects_forgets_none(world: World, named: str) -> None:
    """Regression: the object became a word of the maker's that closes nothing, and the fault was told as cleared."""

    def in_objects(frame: Frame) -> Frame:
        if frame.command != StatusReply.command:
            return frame
        body = json.loads(frame.body)
        body["faults"] = [{named: code, "level": "block"} for code in body["faults"]]
        return Frame(frame.command, json.dumps(body).encode())

    world.line.in_other_words = in_objects
    world.switch("no_milk")
    world.run(120)
    assert list(world.live_state.view.faults) == ["no_milk"]
    assert refusal.refusal_code(world.live_state.view, "latte") == "no_milk"
    assert not world.told_of(EventKind.FAULT_CLEARED)
    world.switch_off("no_milk")
    assert world.run(60, lambda: not world.live_state.view.faults)


@pytest.mark.parametrize("switch", ["reject_no_cups", "fail_before_pour", "fail_mid_brew"])
@pytest.mark.parametrize("dedup", [True, False])
def test_a_refusal_or_failure_in_the_makers_words_is_told_at_once_and_nothing_is_sent_again(
    world: World, switch: str, dedup: bool
) -> None:
    if not dedup:
        world.switch("without_dedup")
        world.run(2)
    world.switch("own_words", when="on")
    world.switch(switch)
    world.order()
    outcome = world.outcome(within=20)
    assert outcome.result is (Result.REJECTED if switch == "reject_no_cups" else Result.FAILED)
    assert outcome.code.startswith("vendor:")
    assert (world.line.makes(), world.cups()) == (1, 0)


@pytest.mark.parametrize("code", AgentCode)
def test_a_failure_in_a_word_of_the_agents_is_the_machines_own(world: World, code: AgentCode) -> None:
    """Regression: somebody pressed Stop, and the cloud took the machine's certain end for the agent's inference."""

    def stopped(frame: Frame) -> Frame:
        body = json.loads(frame.body) | {"code": code, "out": "none"}
        return Frame(frame.command, json.dumps(body).encode()) if frame.command == FailedEvent.command else frame

    world.line.in_other_words = stopped
    world.switch("fail_before_pour")
    world.order()
    outcome = world.outcome(within=20)
    assert (outcome.result, outcome.code, outcome.out) == (Result.FAILED, f"vendor:{code}", Spout.NONE)
    assert world.accepted(), "so whoever denies it has lost its memory, and nobody knows"


@pytest.mark.parametrize("said", [{"jobUuid": ""}, {"jobUuid": None}, {"total": None}, {"jobUuid": "", "total": ""}])
def test_a_done_with_an_empty_word_beside_it_is_a_done(world: World, said: dict[str, Any]) -> None:
    """Regression: with neither memory nor counters to ask, the poured cup ended unknown, and the money went back."""

    def emptied(frame: Frame) -> Frame:
        body = json.loads(frame.body) | said
        return Frame(frame.command, json.dumps(body).encode()) if frame.command == DoneEvent.command else frame

    world.line.in_other_words = emptied
    for name in ("without_order", "without_counters"):
        world.switch(name)
    world.restart()
    world.order()
    assert (world.outcome().result, world.cups()) == (Result.DONE, 1)
    world.run(5)
    assert world.machine.unheard_events == 0


def test_what_was_understood_is_acknowledged(world: World) -> None:
    world.switch("own_words", when="on")
    world.line.turn()
    world.machine.cut_power(world.clock.seconds)
    world.run(30)
    world.order()
    assert world.outcome().result is Result.DONE
    world.run(5)
    assert world.machine.unheard_events == 0


def test_an_answer_that_cannot_be_read_is_no_silence(world: World) -> None:
    """The make is lost on the way, yet something was said of it: it is not sent again on that ground."""

    def answer(frame: Frame) -> None:
        if frame.command == MakeDrink.command:
            body = {"orderUuid": "o1", "ok": "perhaps", "bootId": world.machine.boot_id}
            world.line._news.append(Frame(MakeReply.command, json.dumps(body).encode()))

    world.line.on_write = answer
    world.switch("drop_verdict")
    world.switch("reboot_before_accept")
    world.order()
    outcome = world.outcome()
    assert world.line.makes() == 1
    assert (outcome.result, world.cups()) == (Result.UNKNOWN, 0)
