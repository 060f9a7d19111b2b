"""What an operator set from afar: whole, weighed together, of one device; a file that makes no sense stops nothing."""

import json
from pathlib import Path

import pytest

from agent.machine import profile_overrides
from agent.machine.profile import BadProfile, load

BASE = load("companion-v1")
DEVICE, OTHER = "m-001", "m-002"


def test_settings_are_whole_and_none_at_all_are_the_profiles_own(tmp_path: Path) -> None:
    profile_overrides.keep(tmp_path, {"timers.max_brew": 42})
    profile_overrides.keep(tmp_path, {})
    assert profile_overrides.in_force(BASE, tmp_path, DEVICE) == BASE


@pytest.mark.parametrize("text", ["", "{", "[]", '{"timers.max_brew": "x"}', '{"nothing": 1}'])
def test_a_settings_file_that_makes_no_sense_stops_no_machine(tmp_path: Path, text: str) -> None:
    (tmp_path / profile_overrides.FILE).write_text(text)
    assert profile_overrides.in_force(BASE, tmp_path, DEVICE) == BASE


@pytest.mark.parametrize("before", ["", DEVICE])
def test_what_an_older_agent_kept_and_named_nobody_for_is_this_devices_own(tmp_path: Path, before: str) -> None:
    (tmp_path / profile_overrides.FILE).write_text('{"timers.max_brew": 42}')
    profile_overrides.belong_to(tmp_path, DEVICE, before)
    assert profile_overrides.in_force(BASE, tmp_path, DEVICE).timers.max_brew == 42
    assert profile_overrides.in_force(BASE, tmp_path, OTHER) == BASE


def test_what_an_older_agent_kept_for_another_device_is_not_this_ones(tmp_path: Path) -> None:
    (tmp_path / profile_overrides.FILE).write_text('{"timers.max_brew": 42}')
    profile_overrides.belong_to(tmp_path, OTHER, DEVICE)
    assert profile_overrides.in_force(BASE, tmp_path, OTHER) == BASE
    assert not (tmp_path / profile_overrides.FILE).exists()


def test_settings_name_their_device_where_a_damaged_journal_cannot(tmp_path: Path) -> None:
    profile_overrides.belong_to(tmp_path, DEVICE, "")
    profile_overrides.keep(tmp_path, {"timers.max_brew": 42})
    assert profile_overrides.in_force(BASE, tmp_path, OTHER) == BASE
    profile_overrides.belong_to(tmp_path, OTHER, "")
    assert not (tmp_path / profile_overrides.FILE).exists()


def test_an_older_agent_that_is_put_back_reads_what_this_one_kept(tmp_path: Path) -> None:
    """It takes each name in the file for a setting's."""
    values = {"timers.max_brew": 42, "counting.local_sales": True}
    (tmp_path / profile_overrides.FILE).write_text(json.dumps(values))
    profile_overrides.belong_to(tmp_path, DEVICE, "")
    assert json.loads((tmp_path / profile_overrides.FILE).read_text()) == values
    profile_overrides.keep(tmp_path, values)
    assert json.loads((tmp_path / profile_overrides.FILE).read_text()) == values


def test_values_that_are_good_alone_are_weighed_together() -> None:
    assert profile_overrides.laid_over(BASE, {"timers.query_reply": 3.0}).timers.query_reply == 3
    with pytest.raises(BadProfile, match="nothing else is done meanwhile"):
        profile_overrides.laid_over(BASE, {"timers.query_reply": 3.0, "timers.query_tries": 4})


def test_values_that_an_older_agent_took_are_put_off(tmp_path: Path) -> None:
    profile_overrides.keep(tmp_path, {"timers.query_reply": 3600})
    assert profile_overrides.in_force(BASE, tmp_path, DEVICE) == BASE


def test_what_cannot_be_set_from_afar_is_named() -> None:
    with pytest.raises(BadProfile, match="only timers and counting can"):
        profile_overrides.laid_over(BASE, {"keys.orderUuid": "x"})
