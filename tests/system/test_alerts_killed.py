"""The program that sends alerts killed (-9) while a messenger has the message and we have no answer."""

from pathlib import Path

from click.testing import CliRunner
from sqlalchemy import create_engine, text

from cloud.cli import main
from simulator.messengers.faults import FaultKind
from simulator.messengers.server import Messengers
from tests.cloud.worlds import SECRET_KEY, a_world
from tests.programs import free_port
from tests.system.restartable import Restartable
from tests.waiting import wait_until

GROUP = "-100500"


def test_killed_while_it_sends_it_sends_again_and_says_so(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/coffee.db"
    with a_world(url), Messengers() as messengers:
        settings = {
            "COFFEE_DATABASE_URL": url, "COFFEE_SECRET_KEY": SECRET_KEY,
            "COFFEE_MQTT_URL": f"mqtt://127.0.0.1:{free_port()}", "COFFEE_TELEGRAM_URL": messengers.address,
            "COFFEE_TELEGRAM_TOKEN": messengers.token,
        }  # fmt: skip
        _once(settings, "add", "north", "telegram", "--", GROUP)
        channel_id = _channel(url)
        messengers.fault(FaultKind.HANGS)
        worker = Restartable("cloud", ["worker"], tmp_path / "worker", settings)
        worker.start()
        try:
            _once(settings, "test", channel_id)
            wait_until(lambda: len(messengers.messages(GROUP)) == 1, 60.0)
            worker.restart()
            wait_until(lambda: len(messengers.messages(GROUP)) == 2, 60.0)
        finally:
            worker.kill()
        first, second = messengers.messages(GROUP)
        assert "возможно, уже приходило" not in first.text
        assert "возможно, уже приходило" in second.text


def _once(settings: dict[str, str], *words: str) -> None:
    told = CliRunner().invoke(main, ["alerts", *words], env=settings)
    assert told.exit_code == 0, told.output


def _channel(url: str) -> str:
    engine = create_engine(url)
    with engine.connect() as connection:
        found: str = connection.execute(text("SELECT id FROM alert_channels")).scalar_one()
    engine.dispose()
    return found
