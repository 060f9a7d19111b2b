"""The settings file that `coffee-agent enroll` writes: its permissions, what stays in it, and that it can be kept."""

import os
from pathlib import Path

import msgspec
import pytest

from agent import enrolment
from agent.cli import main
from agent.settings import Settings, environment
from tests.agent.small_disk import a_small_disk
from tests.agent.web_cloud import a_web_cloud
from tests.certificates import Authority

ANSWER = enrolment.EnrolmentAnswer("m-001", "mqtts://broker.example.org:8883", "m-001", "made-by-chance", mqtt_ca="PEM")


@pytest.mark.parametrize(("before", "after"), [(0o640, 0o640), (0o600, 0o600), (0o644, 0o640), (0o666, 0o640)])
def test_a_group_that_could_read_it_still_can(tmp_path: Path, before: int, after: int) -> None:
    file = tmp_path / "agent.env"
    file.write_text("COFFEE_AGENT_SERIAL=/dev/coffee-machine\nCOFFEE_AGENT_MQTT_PASSWORD=old\n")
    file.chmod(before)
    if os.geteuid() == 0:  # as under the shipped unit: root's, and the agent's by its group
        os.chown(file, 0, 4321)
    group = file.stat().st_gid
    assert enrolment.write(file, ANSWER, None) == [enrolment.NEXT]
    assert (file.stat().st_mode & 0o777, file.stat().st_gid) == (after, group)
    assert "COFFEE_AGENT_MQTT_PASSWORD=made-by-chance\n" in file.read_text()
    assert "SERIAL=/dev/coffee-machine\n" in file.read_text()


def test_a_new_one_is_for_its_owner_alone_and_the_authority_for_all(tmp_path: Path) -> None:
    file = tmp_path / "etc" / "agent.env"
    before = os.umask(0o077)
    try:
        enrolment.write(file, ANSWER, "/dev/coffee-machine")
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o600
    assert (file.parent / "enrolled-broker-ca.crt").stat().st_mode & 0o777 == 0o644


def test_what_the_cloud_trusts_no_more_the_machine_does_not_either(tmp_path: Path) -> None:
    file = tmp_path / "agent.env"
    enrolment.write(file, msgspec.structs.replace(ANSWER, release_key="old-key"), "/dev/coffee-machine")
    said = enrolment.write(file, msgspec.structs.replace(ANSWER, mqtt_ca="", release_key=""), None)
    assert "_MQTT_CA" not in file.read_text()
    assert "_RELEASE_KEY" not in file.read_text()
    assert [line.partition(": ")[2] for line in said[:-1]] == [
        "COFFEE_AGENT_RELEASE_KEY=old-key",
        f"COFFEE_AGENT_MQTT_CA={tmp_path}/enrolled-broker-ca.crt",
    ]


@pytest.mark.parametrize("written", ["{}={}", '{}="{}"', "export {}={}", " {} = '{}'", "\ufeff{}={}"])
def test_a_line_is_read_as_the_settings_are(written: str, tmp_path: Path) -> None:
    """Regression: quoted or exported, what is past was not recognised; nor was what is said anew."""
    file = tmp_path / "agent.env"
    before = {"MQTT_CA": f"{tmp_path}/enrolled-broker-ca.crt", "RELEASE_KEY": "old-key", "MQTT_USER": "old"}
    for name, value in before.items():
        file.write_text(written.format(f"COFFEE_AGENT_{name}", value) + "\n", encoding="utf-8")
        enrolment.write(file, msgspec.structs.replace(ANSWER, mqtt_ca="", release_key=""), "/dev/coffee-machine")
        assert value not in file.read_text()


def test_what_a_person_set_and_the_cloud_says_nothing_of_stays(tmp_path: Path) -> None:
    file, own = tmp_path / "agent.env", "COFFEE_AGENT_MQTT_CA=/etc/ssl/own.crt\nCOFFEE_AGENT_RELEASE_KEY=by-hand\n"
    file.write_text(own)
    enrolment.write(file, msgspec.structs.replace(ANSWER, mqtt_ca="", release_key=None), None)
    assert file.read_text().startswith(own)


def test_an_authority_set_by_hand_as_our_example_tells_stays(tmp_path: Path) -> None:
    """Regression: it was taken for one that enrolment had written, and the machine trusted its broker no more."""
    file, own = tmp_path / "agent.env", f"COFFEE_AGENT_MQTT_CA={tmp_path}/broker-ca.crt\n"
    file.write_text(own)
    said = enrolment.write(file, msgspec.structs.replace(ANSWER, mqtt_ca=""), "/dev/coffee-machine")
    assert file.read_text().startswith(own)
    assert said == [enrolment.NEXT]


def test_an_authority_that_the_cloud_names_takes_the_place_of_an_older_one_whose_file_stays(tmp_path: Path) -> None:
    file, older = tmp_path / "agent.env", tmp_path / "broker-ca.crt"
    older.write_text("older")
    file.write_text(f"COFFEE_AGENT_MQTT_CA={older}\n")
    enrolment.write(file, ANSWER, None)
    assert file.read_text().count("_MQTT_CA=") == 1
    assert f"COFFEE_AGENT_MQTT_CA={tmp_path}/enrolled-broker-ca.crt\n" in file.read_text()
    assert older.read_text() == "older"


def test_the_authority_is_found_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    enrolment.write(Path("agent.env"), ANSWER, None)
    assert f"COFFEE_AGENT_MQTT_CA={tmp_path}/enrolled-broker-ca.crt\n" in (tmp_path / "agent.env").read_text()


def test_the_clouds_own_authority_is_kept_for_new_versions(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    ours, file = Authority(tmp_path), tmp_path / "etc" / ".env"
    with a_web_cloud(msgspec.json.encode(ANSWER), ours) as cloud:
        asked = ["enroll", cloud.url, "ABCD-EFGH", "--file", str(file), "--serial", "/dev/null", "--ca", str(ours.ca)]
        assert main(asked) == 0
    kept = Settings.from_env(environment({}, file.parent)).cloud_ca_file
    assert kept == str(file.parent / "cloud-ca.crt")
    assert Path(kept).read_bytes() == ours.ca.read_bytes()


def spoil(tmp_path: Path, how: str) -> Path:
    match how:
        case "a file for a folder":
            (tmp_path / "etc").write_text("")
        case "a folder for a file":
            (tmp_path / "etc" / "agent.env").mkdir(parents=True)
        case "no text":
            (tmp_path / "etc").mkdir()
            (tmp_path / "etc" / "agent.env").write_bytes(b"\xff\xfe")
    return tmp_path / "etc" / "agent.env"


@pytest.mark.parametrize("how", ["a file for a folder", "a folder for a file", "no text"])
def test_no_code_is_spent_where_the_answer_cannot_be_kept(
    how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = spoil(tmp_path, how)
    with a_web_cloud(msgspec.json.encode(ANSWER)) as cloud:
        assert enrolled(cloud.url, file) == 1
        assert cloud.asked == 0
    assert "the code is still good" in capsys.readouterr().err


def test_no_code_is_spent_on_a_full_disk(tmp_path: Path) -> None:
    with a_small_disk(tmp_path / "disk", 1) as small, a_web_cloud(msgspec.json.encode(ANSWER)) as cloud:
        small.fill()
        assert enrolled(cloud.url, small.folder / "agent.env") == 1
        assert cloud.asked == 0
        assert not list(small.folder.glob(".agent.env.*"))
        small.make_room()
        assert enrolled(cloud.url, small.folder / "agent.env") == 0


@pytest.mark.parametrize("url", ["https://host:abc", "https://ho st", "https://[::1", "https://" + "a" * 70, "ftp://a"])
def test_a_mistyped_address_is_told_in_a_line(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert enrolled(url, tmp_path / "agent.env") == 1
    assert capsys.readouterr().err.startswith("coffee-agent enroll: ")


@pytest.mark.parametrize(
    ("answer", "is_sure"), [(b'{"error": {"code": "try_later"}}', True), (b'{"error": {}}', False), (b"", False)]
)
def test_a_cloud_that_can_let_nobody_in_now_is_not_taken_for_a_wrong_address(
    answer: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, is_sure: bool
) -> None:
    """Only who looked at no code can say that it is still good."""
    with a_web_cloud(answer) as cloud:
        cloud.status = 503
        assert enrolled(cloud.url, tmp_path / "agent.env") == 1
    assert ("the code is still good" in capsys.readouterr().err) == is_sure


def enrolled(url: str, file: Path) -> int:
    return main(["enroll", url, "ABCD-EFGH", "--file", str(file)])
