"""The real parts of the tests are what they claim to be, and end with the tests."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from playwright.sync_api import expect

from tests.chromium import Pages
from tests.mosquitto import Mosquitto, a_mosquitto
from tests.programs import Program, answers
from tests.waiting import wait_until


def connect(broker: Mosquitto) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="house")
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    wait_until(client.is_connected, what="the connection")
    return client


def hang_up(client: mqtt.Client) -> None:
    client.disconnect()
    client.loop_stop()


def test_a_killed_mosquitto_comes_back_on_its_port_with_what_it_saved(mosquitto: Mosquitto, tmp_path: Path) -> None:
    client = connect(mosquitto)
    client.publish("house/door", b"open", qos=1, retain=True).wait_for_publish(10)
    hang_up(client)
    saved = tmp_path / "mosquitto" / "mosquitto.db"
    wait_until(lambda: saved.exists() and b"house/door" in saved.read_bytes(), what="the broker to save")
    mosquitto.kill()
    assert not answers(mosquitto.port)

    mosquitto.start()

    heard: list[bytes] = []
    client = connect(mosquitto)
    client.on_message = lambda _client, _data, message: heard.append(bytes(message.payload))
    client.subscribe("house/door", qos=1)
    wait_until(lambda: heard == [b"open"], what="the retained message")
    hang_up(client)


def test_each_broker_has_its_own_port(mosquitto: Mosquitto, tmp_path: Path) -> None:
    with a_mosquitto(tmp_path / "second") as second:
        assert answers(mosquitto.port)
        assert answers(second.port)
        assert second.port != mosquitto.port
    assert not answers(second.port)


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_an_empty_database(postgres_url: str, turn: int) -> None:
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE cup (id int)")


def test_a_page_runs_scripts_on_a_russian_phone(pages: Pages) -> None:
    page = pages.open()
    page.set_content(
        "<meta name=viewport content=width=device-width><p id=where></p>"
        "<script>where.textContent = navigator.language + innerWidth</script>"
    )
    expect(page.locator("#where")).to_have_text("ru-RU390")


def test_an_uncaught_error_in_a_page_is_remembered(pages: Pages) -> None:
    page = pages.open(locale="en-GB")
    page.set_content("<script>throw new Error('spilt')</script>")
    wait_until(lambda: page.evaluate("1") == 1 and pages.uncaught, what="the error to be noticed")
    assert "spilt" in pages.uncaught.pop()


_STARTS = {
    "by a test": "from tests.programs import Program\nprogram = Program(['sleep', '600'], log=folder / 'log')",
    "by a test, and hangs": "from tests.programs import Program\n"
    "program = Program(['sh', '-c', 'trap \"\" TERM; exec sleep 600'], log=folder / 'log', patience=1)",
    "by demo or bench": "from bench.programs import Running\n"
    "program = Running('p', ['/bin/sleep', '600'], folder, {})\nprogram.start()",
}


@pytest.mark.parametrize("start", _STARTS.values(), ids=_STARTS)
def test_a_program_ends_with_the_process_that_started_it_however_that_ends(start: str, tmp_path: Path) -> None:
    told = tmp_path / "pid"
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"from pathlib import Path\nfolder = Path({str(tmp_path)!r})\n{start}\n"
            "(folder / 'pid').write_text(str(program.pid))\n"
            "program.wait(600)",
        ],
        cwd=Path(__file__).parents[2],
    )
    wait_until(lambda: told.exists() and told.read_text(), what="the program to start")
    os.kill(int(told.read_text()), 0)

    parent.send_signal(signal.SIGKILL)
    parent.wait(10)

    wait_until(lambda: not is_alive(int(told.read_text())), what="the orphan to end")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_program_that_ends_at_once_is_reported_with_what_it_wrote(tmp_path: Path) -> None:
    program = Program(["sh", "-c", "echo no beans; exit 3"], log=tmp_path / "log")
    with pytest.raises(AssertionError, match="no beans"):
        program.wait_until_ready(lambda: False)
