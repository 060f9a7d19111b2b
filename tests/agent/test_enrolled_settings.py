"""The settings file that `coffee-agent enroll` writes: who may read it stays as it was, and never is everybody."""

import os
from pathlib import Path

import pytest

from agent import enrolment

TOLD = enrolment.Told("m-001", "mqtts://broker.example.org:8883", "m-001", "made-by-chance", mqtt_ca="PEM")


@pytest.mark.parametrize(("before", "after"), [(0o640, 0o640), (0o600, 0o600), (0o644, 0o640), (0o666, 0o640)])
def test_a_group_that_could_read_it_still_can(tmp_path: Path, before: int, after: int) -> None:
    file = tmp_path / "agent.env"
    file.write_text("COFFEE_AGENT_SERIAL=/dev/coffee-machine\nCOFFEE_AGENT_MQTT_PASSWORD=old\n")
    file.chmod(before)
    if os.geteuid() == 0:  # as under the shipped unit: root's, and the agent's by its group
        os.chown(file, 0, 4321)
    group = file.stat().st_gid
    assert enrolment.write(file, TOLD, None) == [enrolment.NEXT]
    assert (file.stat().st_mode & 0o777, file.stat().st_gid) == (after, group)
    assert "COFFEE_AGENT_MQTT_PASSWORD=made-by-chance\n" in file.read_text()
    assert "SERIAL=/dev/coffee-machine\n" in file.read_text()


def test_a_new_one_is_for_its_owner_alone_and_the_authority_for_all(tmp_path: Path) -> None:
    file = tmp_path / "etc" / "agent.env"
    before = os.umask(0o077)
    try:
        enrolment.write(file, TOLD, "/dev/coffee-machine")
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o600
    assert (file.parent / "broker-ca.crt").stat().st_mode & 0o777 == 0o644
