"""`coffee-cloud alerts`, for who has no console at hand."""

from click.testing import CliRunner, Result

from cloud.alerts import channel_settings
from cloud.alerts.channels.sender import NotNow
from cloud.cli import main
from tests.cloud.alerts.desk import Acting, Desk
from tests.cloud.worlds import SECRET_KEY


def alerts(desk: Desk, *words: str) -> Result:
    url = desk.world.database.url.render_as_string(hide_password=False)
    settings = {"COFFEE_SECRET_KEY": SECRET_KEY, "COFFEE_DATABASE_URL": url}
    return CliRunner().invoke(main, ["alerts", *words], env=settings)


def test_a_channel_that_nothing_reaches_is_not_listed_as_good(sqlite_desk: Desk) -> None:
    """Regression: "ok", while an alert about that channel was open."""
    channel = sqlite_desk.channel()
    assert "  ok  " in alerts(sqlite_desk, "channels").output
    sqlite_desk.senders["telegram"] = Acting(lambda *_: NotNow(30.0, "no connection"))
    sqlite_desk.world.database.transact(channel_settings.test, channel, sqlite_desk.world.now)
    sqlite_desk.pass_time(30)
    since = f"{sqlite_desk.world.now:%Y-%m-%d %H:%M}Z"
    assert f"nothing arrives since {since} (no connection)" in alerts(sqlite_desk, "channels").output
