"""Each machine's key for its QR codes, and the command that prints it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cloud.cli import main
from cloud.database.database import Database
from cloud.fleet.qr_key import QrKeys
from tests.cloud.worlds import SECRET_KEY, World

KEYS = QrKeys(SECRET_KEY)


def test_every_device_version_and_secret_has_a_key_of_its_own() -> None:
    keys = [
        KEYS.of("m-001", 1), KEYS.of("m-002", 1), KEYS.of("m-001", 2), KEYS.of("1 m-001", 1),
        QrKeys("another secret text of thirty-two characters").of("m-001", 1),
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {32}
    assert KEYS.of("m-001", 1) == KEYS.of("m-001", 1)


def test_a_key_given_out_under_an_old_secret_is_still_accepted() -> None:
    after = QrKeys("another secret text of thirty-two characters", (SECRET_KEY,))
    assert after.accepted("m-001", 1) == (after.of("m-001", 1), KEYS.of("m-001", 1))
    assert KEYS.accepted("m-001", 1) == (KEYS.of("m-001", 1),)


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/coffee.db"
    world = World(Database(url)).found()
    world.database.close()
    return url


def qr_key(database_url: str, *arguments: str) -> tuple[int, str]:
    environ = {"COFFEE_SECRET_KEY": SECRET_KEY, "COFFEE_DATABASE_URL": database_url}
    result = CliRunner().invoke(main, ["qr-key", *arguments], env=environ)
    return result.exit_code, result.output


def test_the_command_prints_the_key_for_the_machines_maker(database_url: str) -> None:
    assert qr_key(database_url, "m-001") == (0, KEYS.of("m-001", 1).hex() + "\n")
    assert qr_key(database_url, "m-001", "--version", "2") == (0, KEYS.of("m-001", 2).hex() + "\n")


def test_a_machine_nobody_knows_has_no_key(database_url: str) -> None:
    assert qr_key(database_url, "nobody") == (1, "there is no device nobody\n")
    assert qr_key(database_url, "m-001", "--version", "0")[0] == 2
