"""`put` and `value` of docs/operations.md, as they stand there: any text comes back as it was, and no key is lost."""

import os
import re
import shutil
from pathlib import Path

import pytest

from cloud.settings import read_dotenv
from tests.deploy.shipped import INSTALLED_IN, ROOT
from tests.shell import Shell, blocks, section

OPERATIONS = ROOT / "docs" / "operations.md"
FUNCTIONS = blocks(section(OPERATIONS, "Changing keys"))[0]
CHANGE, FORGET = blocks(section(OPERATIONS, "The secret key of the installation"))
FIRST = "the first secret of an installation"
NAME, OTHER = "NORTH_KEY", "COFFEE_LOG=json\n# a remark\n#COFFEE_MQTT_CA=/etc/ca.crt"
AWKWARD = [
    "plain", "a&b", r"a\b", r"\1\\", "a|b", "a/b", "it's", 'say "yes" to it', "$HOME", "a $(b) `c`", "#a", "a#b", "a=b",
    "[a-z]*.^$", "a,b;c", "%s%n", "ключ", "-n", "",
]  # fmt: skip


class Etc:
    """A host's `/etc/coffee-relay/cloud.env`, a shell there, and the arguments `sed` and `grep` were given."""

    def __init__(self, folder: Path) -> None:
        self.file, self.arguments = folder / "cloud.env", folder / "arguments"
        self.asked: list[list[str]] = []
        places = {"/etc/coffee-relay": folder, INSTALLED_IN: folder, "/var/lib/coffee-cloud": folder}
        stand_ins = folder / "stand-ins"
        self.shell = Shell(stand_ins, {there: str(here) for there, here in places.items()}, self.asked.append)
        for name in ("sed", "grep"):
            real = shutil.which(name)
            _program(stand_ins / name, f'printf "%s\\n" "$@" >> "{self.arguments}"\nexec {real} "$@"')
        _program(folder / "coffee-cloud", ":")

    def run(self, *commands: str, new: str = "") -> str:
        return self.shell.run(FUNCTIONS, *commands, NEW=new)

    def told(self) -> dict[str, str]:
        """As our programs read it."""
        environ: dict[str, str] = {}
        (self.file.parent / ".env").write_bytes(self.file.read_bytes())
        read_dotenv(self.file.parent, environ)
        return environ

    def as_systemd_reads(self, name: str) -> str:
        """An `EnvironmentFile`: verbatim in single quotes; else a backslash goes, and keeps what follows."""
        [text] = re.findall(rf"^{name}=(.*)$", self.file.read_text(), re.MULTILINE)
        return text[1:-1] if re.fullmatch("'[^']*'", text) else re.sub(r"\\(.)", r"\1", text)


def _program(file: Path, does: str) -> None:
    file.write_text(f"#!/bin/sh\n{does}\n")
    file.chmod(0o755)


@pytest.fixture
def etc(tmp_path: Path) -> Etc:
    return Etc(tmp_path)


@pytest.mark.parametrize("begins", ["", f"\n{NAME}=before", f"\n#{NAME}=\n"], ids=["no line", "a line", "offered"])
@pytest.mark.parametrize("text", AWKWARD)
def test_any_text_comes_back_as_it_was(text: str, begins: str, etc: Etc) -> None:
    etc.file.write_text(OTHER + begins)
    said = etc.run(f'put $settings {NAME} "$NEW" && {{ value $settings {NAME} || [ -z "$NEW" ]; }}', new=text)
    assert said.rstrip("\n") == text
    assert (etc.told()[NAME], etc.as_systemd_reads(NAME)) == (text, text)
    assert etc.file.read_text().startswith(f"{OTHER}\n")


def test_the_file_stays_its_owners_and_closed_and_no_process_is_given_the_value(etc: Etc) -> None:
    etc.file.write_text(OTHER)
    etc.file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(etc.file, 12345, 12346)
    before = etc.file.stat()
    etc.run(f'put $settings {NAME} "$NEW"; put $settings {NAME} "$NEW"', new=FIRST)
    after = etc.file.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert NAME in etc.arguments.read_text()
    assert FIRST not in etc.arguments.read_text()


@pytest.mark.parametrize("text", ["two\nlines", "it's $5", "'quoted'", '"quoted"'])
def test_what_a_settings_file_cannot_hold_is_refused_and_changes_nothing(text: str, etc: Etc) -> None:
    etc.file.write_text(f"{OTHER}\n{NAME}=before\n")
    with pytest.raises(AssertionError, match="a settings file cannot hold this text"):
        etc.run(f'put $settings {NAME} "$NEW"', new=text)
    assert etc.file.read_text() == f"{OTHER}\n{NAME}=before\n"


def keys(etc: Etc) -> list[str]:
    """The present one, and the old ones."""
    told = etc.told()
    return [told["COFFEE_SECRET_KEY"], *filter(None, told.get("COFFEE_OLD_SECRET_KEYS", "").split(","))]


def test_changing_the_secret_key_keeps_every_key_until_it_is_said_otherwise(etc: Etc) -> None:
    """There is no line for old ones; and somebody begins again before `rekey` has done its work."""
    etc.file.write_text(f"{OTHER}\nCOFFEE_SECRET_KEY={FIRST}\n")
    etc.run(f"set +e\n{CHANGE}")
    second, *old = keys(etc)
    assert old == [FIRST]
    etc.run(CHANGE)
    third, *old = keys(etc)
    assert (old, len({FIRST, second, third})) == ([second, FIRST], 3)
    etc.run(FORGET)
    assert keys(etc) == [third]
    assert etc.asked.count(["systemctl", "restart", "coffee-cloud-*"]) == 3


@pytest.mark.parametrize("line", ["COFFEE_SECRET_KEY=it's a secret of $5 and of more than that", "#COFFEE_SECRET_KEY="])
def test_a_key_that_cannot_be_listed_is_not_written_over(line: str, etc: Etc) -> None:
    etc.file.write_text(f"{OTHER}\n{line}\n")
    with pytest.raises(AssertionError, match="ended with"):
        etc.run(CHANGE)
    assert etc.file.read_text() == f"{OTHER}\n{line}\n"
    assert not [words for words in etc.asked if words[0] == "systemctl"]
