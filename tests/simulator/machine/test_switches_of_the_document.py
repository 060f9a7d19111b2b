"""docs/machine-protocol.md 3.6 line by line: each has its switch, and each is in the help, the API and on the panel."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect

from protocol.reasons import RejectCode
from simulator import cli
from simulator.machine import MachineSimulator, Timing
from simulator.machine.switches import MACHINE_FAULTS, SWITCHES
from tests.chromium import Pages
from tests.waiting import wait_until

DOCUMENT: dict[str, tuple[str, ...]] = {
    "drop the verdict": ("drop_verdict",),
    "drop DONE": ("drop_done",),
    "duplicate events": ("duplicate_events",),
    "delay any frame": ("delay_frame",),
    "reorder progress": ("reorder_progress",),
    "corrupt CRC/length/tail": ("corrupt_crc", "corrupt_length", "corrupt_tail"),
    "insert garbage": ("garbage",),
    "split writes at every byte": ("split_bytes",),
    "go silent (port open, no bytes)": ("silent", "mute"),
    "close the pty and come back under another name": ("unplugged", "unplug_mid_brew"),
    "reboot before accept": ("reboot_before_accept",),
    "reboot after accept before reply": ("reboot_after_accept",),
    "reboot mid-brew": ("mid_pour_crash",),
    "reboot after dispense before DONE": ("reboot_after_dispense", "reboot_after_outcome", "reboot_before_done"),
    "reboot after DONE before ack": ("reboot_after_done",),
    "forget history (ram)": ("without_nv",),
    "lose counters": ("lose_counters", "without_counters"),
    "count a drink twice": ("count_twice",),
    "local (cash/test) drink during ours": ("local_drink", "local_test_drink"),
    "reject with each code": tuple(f"reject_{code}" for code in RejectCode),
    "fault set/clear during brewing": ("fault_mid_brew", "no_water_mid_brew"),
    "say done for another order": ("done_for_other_order",),
    "answer ORDER with a stale bootId": ("stale_boot_id",),
    "accept a duplicate (a machine without dedup)": ("without_dedup",),
    "flood heartbeats": ("flood_heartbeats",),
    "unknown command byte": ("unknown_command",),
    "unknown keys": ("unknown_keys",),
}
REJECT_CODES = (
    *("busy", "bad_drink", "bad_size", "bad_body", "no_water", "no_beans", "no_milk", "no_cups", "no_ingredient"),
    *("waste_full", "tray_full", "tray_missing", "door_open", "rinse_needed", "heating", "service", "fault"),
    *("too_late", "unsupported"),
)
"""As docs/wire-contract.md 1.7 lists them."""
FAULTS = (
    *("no_water", "no_beans", "no_ingredient", "no_cups", "cup_jam", "cup_in_holder", "waste_full", "tray_missing"),
    *("tray_full", "no_milk", "door_open", "grinder", "brewer", "boiler", "flow", "descale", "filter", "service_due"),
    "vendor_fault",
)
"""As docs/machine-protocol.md 3.4 lists them, but for those that are the agent's own words for a lost line, a boot and
a failed drink.
"""
CAPABILITIES = (
    *("ack", "progress", "finish", "order", "counters", "dedup", "nv", "cancel", "rinse", "faults", "heartbeat"),
)
"""As docs/wire-contract.md 2.3 lists them; without each of them is a switch (docs/machine-protocol.md 3.6)."""
NAMED = {name for names in DOCUMENT.values() for name in names}
WAYS: list[dict[str, Any]] = [
    {"mode": "once"},
    {"mode": "once", "n": 2},
    {"mode": "every", "n": 3},
    {"mode": "chance", "chance": 0.1},
]
"""One-shot, every n-th, by chance."""
ROWS = pytest.mark.parametrize("row", DOCUMENT)


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[MachineSimulator]:
    timing = Timing(brew_s=0.05, boot_s=0.01, heating_s=0.0)
    with MachineSimulator(tty=tmp_path / "tty", timing=timing) as running:
        yield running


def test_every_code_of_the_document_is_there() -> None:
    assert tuple(RejectCode) == REJECT_CODES
    assert set(MACHINE_FAULTS) == set(FAULTS)
    assert {name for name in SWITCHES if name.startswith("without_")} == {f"without_{one}" for one in CAPABILITIES}


@ROWS
def test_the_help_names_it(row: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["machine", "--help"])
    assert ended.value.code == 0
    listed = set(re.findall(r"^  ([a-z_]+)\*? ", capsys.readouterr().out, re.MULTILINE))
    assert listed >= set(DOCUMENT[row])
    assert listed >= SWITCHES.keys()


def test_the_api_sets_each_in_every_way_and_clears_it(simulator: MachineSimulator) -> None:
    api = f"{simulator.url}/api/faults"
    with requests.Session() as session:
        for name in SWITCHES:
            for way in WAYS:
                answer = session.post(api, json={"name": name, **way}, timeout=10)
                assert answer.status_code == 200, answer.text
                setting = answer.json()[name]
                assert way.items() <= {"mode": setting["when"], **setting}.items()
            assert name not in session.delete(f"{api}/{name}", timeout=10).json()
        listed = {switch["name"]: switch["says"] for switch in session.get(api, timeout=10).json()}
    assert listed.keys() >= NAMED
    assert all(listed.values())


@ROWS
def test_the_panel_shows_it(row: str, simulator: MachineSimulator) -> None:
    shown = set(re.findall(r'data-switch="([a-z_]+)"', requests.get(simulator.url, timeout=10).text))
    assert shown >= set(DOCUMENT[row])
    assert shown >= SWITCHES.keys()


def test_each_is_switched_on_and_off_from_the_panel(simulator: MachineSimulator, pages: Pages) -> None:
    page = whole_list(pages.open(simulator.url))
    page.get_by_label("Как часто").select_option("on:")  # else a boot told again uses some of them up meanwhile
    every = page.locator("details [data-switch]")
    assert every.count() == len(SWITCHES)
    every.evaluate_all("buttons => buttons.forEach(button => button.click())")
    wait_until(lambda: simulator.controls.switches().keys() == SWITCHES.keys(), what="every switch on")
    expect(page.locator('details [aria-checked="true"]')).to_have_count(len(SWITCHES))
    every.evaluate_all("buttons => buttons.forEach(button => button.click())")
    wait_until(lambda: not simulator.controls.switches(), what="every switch off")


@pytest.mark.parametrize(
    ("often", "setting"),
    [
        ("as usual", ("once", 1, 0.5)),
        ("once, the second time", ("once", 2, 0.5)),
        ("every third time", ("every", 3, 0.5)),
        ("by chance, one in five", ("chance", 1, 0.2)),
        ("always", ("on", 1, 0.5)),
    ],
)
def test_how_often_it_strikes_is_chosen_on_the_panel(
    simulator: MachineSimulator, pages: Pages, often: str, setting: tuple[str, int, float]
) -> None:
    page = whole_list(pages.open(f"{simulator.url}/?lang=en", locale="en-GB"))
    page.get_by_label("How often").select_option(label=often)
    page.locator('details [data-switch="drop_verdict"]').click()
    wait_until(lambda: "drop_verdict" in simulator.controls.switches(), what="the switch")
    chosen = simulator.controls.switches()["drop_verdict"]
    assert (chosen.when, chosen.n, chosen.chance) == setting


def whole_list(page: Page) -> Page:
    """Opened, and with the machine's first word on it."""
    expect(page.locator("#state")).not_to_be_empty()
    page.locator("summary").click()
    return page
