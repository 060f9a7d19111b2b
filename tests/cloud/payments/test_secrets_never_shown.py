"""Every way to fail, with secrets that would be recognised anywhere: in log lines, reprs, error texts, tracebacks."""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from cloud.background.loops import utc_now
from cloud.cli import main
from cloud.database.database import Database
from cloud.database.transaction import Transaction
from cloud.fleet.apply import apply, format_report
from cloud.fleet.fleet_file import FleetFileError, read_fleet
from cloud.fleet.models import Credential
from cloud.fleet.qr_key import QrKeys
from cloud.fleet.vault import SecretUnreadable, Vault
from cloud.log import JsonLines, TextLines
from cloud.operators import check
from cloud.operators.rekey import rekey
from cloud.orders.tasks import Task
from cloud.payments.provider import NewPayment, Shop
from cloud.payments.provider_clients import ProviderClients
from cloud.payments.yookassa.client import YooKassaClient
from cloud.settings import Settings, SettingsError
from protocol.reasons import Result
from simulator.custom.faults import Fault, Kind, Where
from simulator.yookassa import Shop as SimulatedShop
from simulator.yookassa.faults import Endpoint, FaultKind
from tests.cloud.fleet.fleet_texts import FLEET, with_line
from tests.cloud.payments.custom_till import SECRET as AGREED
from tests.cloud.payments.custom_till import a_custom_till
from tests.cloud.payments.scripted_provider import Answer, says, scripted_provider, self_signed
from tests.cloud.tills import Till, a_till
from tests.cloud.worlds import ACCOUNT, World
from tests.programs import free_port

SHOP_SECRET = "live_MARKER-of-the-shop"
NEXT_SECRET = "live_MARKER-of-the-next-key"
SECRET_KEY = "MARKER of the installation: long enough for a key"
OLD_KEY = "MARKER of the installation before that, long enough"
PASSWORD = "MARKER-password"
MARKER = "MARKER"
ORDER = NewPayment("o-1", "m-001", "p-1", 17900, "Латте", "https://pay.example.org/")


class Overheard:
    """Everything that was written or raised, as a person or a collector would see it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.secrets = [MARKER]

    def note(self, *things: object) -> None:
        self.lines += [f"{thing!r} {thing!s}" for thing in things]

    def failing(self, work: Callable[[], object]) -> None:
        """Do what fails, and note its traceback."""
        try:
            self.note(work())
        except Exception as error:  # noqa: BLE001  # whatever it is, it is what is looked at
            self.note(error, "".join(traceback.format_exception(error)))

    def assert_no_secret(self) -> None:
        assert self.lines, "nothing was overheard at all"
        assert not [line for line in self.lines if any(secret in line for secret in self.secrets)]


class _LoopWaiter(logging.Handler):
    def __init__(self, overheard: Overheard) -> None:
        super().__init__(logging.DEBUG)
        self._overheard = overheard

    def emit(self, record: logging.LogRecord) -> None:
        self._overheard.lines += [TextLines().format(record), JsonLines().format(record), repr(vars(record))]


@pytest.fixture
def overheard(capfd: pytest.CaptureFixture[str]) -> Iterator[Overheard]:
    """Listens to every logger, libraries' too, down to DEBUG, and to what is printed."""
    heard = Overheard()
    root, ear = logging.getLogger(), _LoopWaiter(heard)
    level = root.level
    root.addHandler(ear)
    root.setLevel(logging.DEBUG)
    yield heard
    root.setLevel(level)
    root.removeHandler(ear)
    heard.note(*capfd.readouterr())
    heard.assert_no_secret()


def client(url: str, secret: str = SHOP_SECRET, timeout_s: float = 5.0) -> YooKassaClient:
    return YooKassaClient(
        Shop(ACCOUNT, secret), url, user_agent="CoffeeRelay/test", post_read_timeout_s=timeout_s,
        get_read_timeout_s=timeout_s, connect_timeout_s=timeout_s,
    )  # fmt: skip


def every_call(shop: YooKassaClient, overheard: Overheard) -> None:
    create, refund = shop.prepare_create(ORDER, "k-1"), shop.prepare_refund("p-1", 17900, "k-2")
    overheard.note(shop, shop.shop, create, refund)
    for call in (
        lambda: shop.send(create), lambda: shop.send(refund), lambda: shop.fetch("p-1"), lambda: shop.me(),
        lambda: shop.fetch_refund("r-1"), lambda: shop.list_refunds("p-1"), lambda: shop.send(create),
    ):  # fmt: skip
        overheard.failing(call)
    shop.close()


ANSWERS = {
    "401": says({"type": "error", "code": "invalid_credentials", "description": "no"}, 401),
    "403": says({"type": "error", "code": "forbidden"}, 403),
    "400": says({"type": "error", "code": "invalid_request", "parameter": "amount"}, 400),
    "429": says({"type": "error", "code": "too_many_requests"}, 429),
    "500": says({}, 500),
    "html": Answer(502, b"<html>Bad Gateway</html>"),
    "garbage": Answer(200, b"\xff\xfe{"),
    "redirect": Answer(302, b"", {"Location": "https://elsewhere.example/"}),
    "cut short": Answer(200, b"{", promised_length=500),
    "reset": Answer(reset=True),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_nothing_of_the_shops_key_is_shown_when_the_provider_answers_badly(
    answer: Answer, overheard: Overheard
) -> None:
    with scripted_provider() as provider:
        provider.answer_with = lambda _: answer
        every_call(client(provider.url), overheard)


def test_nor_when_it_does_not_answer_or_is_not_there_or_is_somebody_else(tmp_path: Path, overheard: Overheard) -> None:
    with scripted_provider() as provider:
        provider.answer_with = lambda _: Answer(hang=True)
        every_call(client(provider.url, timeout_s=0.05), overheard)
    every_call(client(f"http://127.0.0.1:{free_port()}/v3"), overheard)
    every_call(client("http://no-such-host.invalid/v3"), overheard)
    with scripted_provider(self_signed(tmp_path)) as stranger:
        every_call(client(stranger.url), overheard)


def test_nor_when_the_key_itself_is_mistyped(overheard: Overheard) -> None:
    with scripted_provider() as provider:
        provider.answer_with = lambda _: ANSWERS["401"]
        for secret in (f"{SHOP_SECRET}я", f"{SHOP_SECRET}\u2028", f"{SHOP_SECRET}\x00", f" {SHOP_SECRET} "):
            every_call(client(provider.url, secret), overheard)
    overheard.failing(lambda: client(f"https://{ACCOUNT}:{SHOP_SECRET}@api.example.org/v3"))


def use(world: World, secret: str) -> None:
    def change(tx: Transaction) -> None:
        credential = tx.session.get_one(Credential, ("north", "Yookassa"))
        credential.secret = world.vault.lock(secret)
        credential.version += 1

    world.database.transact(change)


def through_everything(till: Till, kind: FaultKind) -> None:
    """A purchase that is returned, each of its calls failing once on its way."""
    for endpoint in (Endpoint.CREATE, Endpoint.GET, Endpoint.CANCEL):
        till.fault(kind, endpoint, times=1, seconds=0.0)
    order_id = till.world.scan()
    till.press(order_id)
    till.work(5)
    till.buyer_pays(order_id)
    till.work(10)
    till.work(10)
    till.world.publish(order_id)
    till.world.report(order_id, Result.REJECTED, "no_water")
    for _ in range(3):
        till.work(20)
    assert till.verdicts(order_id, Task.CANCEL) == ["done"]


@pytest.mark.parametrize("kind", [k for k in FaultKind if k is not FaultKind.HANG])
def test_no_step_of_a_purchase_shows_a_key_when_it_fails(
    sqlite_world: World, overheard: Overheard, kind: FaultKind
) -> None:
    use(sqlite_world, SHOP_SECRET)
    with a_till_of(sqlite_world, SHOP_SECRET) as till:
        through_everything(till, kind)


@contextmanager
def a_till_of(world: World, secret: str) -> Iterator[Till]:
    """A till whose provider knows the shop by this secret."""
    with a_till(world, shops=[SimulatedShop(id=ACCOUNT, secret=secret)]) as till:
        till.shop.session.auth = (ACCOUNT, secret)
        yield till


@pytest.mark.parametrize("kind", list(Kind))
def test_no_fault_of_a_merchants_own_page_shows_the_agreed_key(
    sqlite_world: World, overheard: Overheard, kind: Kind
) -> None:
    overheard.secrets += [AGREED, AGREED[::-1]]  # the simulated merchant's wrong key is the right one reversed
    with a_custom_till(sqlite_world) as till:
        client = till.shops.of("north", "Custom")[1]
        overheard.note(client, client.shop)
        for where in Where:
            till.merchant.faults.add(Fault(kind, where, times=2, seconds=0.3))
        order_id = till.open_payment()
        till.press(order_id, "pay")
        till.hear()
        till.work(10)
        till.work(10)
        if till.world.commands(order_id):
            till.world.publish(order_id)
            till.world.report(order_id, Result.REJECTED, "no_water")
        till.work(10)
        overheard.note(client.fetch(till.name(order_id)), client.me())
        for body in (b"{}", {"payload": AGREED, "signature": AGREED}, {"payload": AGREED, "signature": "0" * 64}):
            overheard.note(till.post(body).data)
    for row in till.world.rows(order_id):
        overheard.note(row.call_body, row.last_error)


def test_a_key_the_provider_refuses_is_not_shown(sqlite_world: World, overheard: Overheard) -> None:
    use(sqlite_world, NEXT_SECRET)
    with a_till_of(sqlite_world, SHOP_SECRET) as till:
        order_id = sqlite_world.scan()
        assert till.press(order_id).status_code == 503
        till.work(5)
        assert sqlite_world.payment(order_id).state == "creating"


def test_a_stored_secret_that_cannot_be_read_is_not_shown(sqlite_world: World, overheard: Overheard) -> None:
    other = Vault(OLD_KEY)
    locked = other.lock(SHOP_SECRET)
    overheard.note(other, QrKeys(SECRET_KEY, (OLD_KEY,)))
    for work in (Vault(SECRET_KEY).open, Vault(SECRET_KEY).rotate):
        with pytest.raises(SecretUnreadable):
            work(locked)
        overheard.failing(partial(work, locked))

    def spoil(tx: Transaction) -> None:
        tx.session.get_one(Credential, ("north", "Yookassa")).secret = locked

    sqlite_world.database.transact(spoil)
    shops = ProviderClients(
        sqlite_world.database, sqlite_world.vault, lambda *_: pytest.fail("nothing to connect with"), utc_now
    )
    overheard.failing(lambda: shops.of("north", "Yookassa"))
    overheard.note(rekey(sqlite_world.database, sqlite_world.vault), rekey(sqlite_world.database, other).words())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('secret_key = "env:NORTH_YOOKASSA_KEY"', f'secret_key = "{SHOP_SECRET} with a space"'),
        ('capture = "on_dispense"', 'capture = "x"'),
        ('secret_key = "env:NORTH_YOOKASSA_KEY"', 'secret_key = "env:TOO_LONG"'),
        ('secret_key = "env:NORTH_YOOKASSA_KEY"', 'secret_key = "file:secret.txt"'),
        ('payment_scenario = "Yookassa"', 'payment_scenario = "Nothing"'),
    ],
)
def test_a_refused_fleet_file_does_not_show_its_secrets(
    sqlite_world: World, overheard: Overheard, tmp_path: Path, old: str, new: str
) -> None:
    (tmp_path / "secret.txt").write_text(f"{SHOP_SECRET}\n\n{SHOP_SECRET}")
    path = tmp_path / "fleet.toml"
    path.write_text(with_line(FLEET, old, new))
    environ = {"NORTH_YOOKASSA_KEY": SHOP_SECRET, "TOO_LONG": SHOP_SECRET * 100}
    with pytest.raises(FleetFileError):
        apply(sqlite_world.database, sqlite_world.vault, path, environ)
    overheard.failing(lambda: apply(sqlite_world.database, sqlite_world.vault, path, environ))
    overheard.note(read_fleet(path, environ), read_fleet(path, environ).accounts)


def test_applying_a_key_tells_that_it_changed_and_not_to_what(sqlite_world: World, overheard: Overheard) -> None:
    for secret in (SHOP_SECRET, NEXT_SECRET, NEXT_SECRET):
        report = apply(sqlite_world.database, sqlite_world.vault, FLEET, {"NORTH_YOOKASSA_KEY": secret})
        overheard.note(report, format_report(report))
    plain = with_line(FLEET, "env:NORTH_YOOKASSA_KEY", SHOP_SECRET)
    overheard.note(format_report(apply(sqlite_world.database, sqlite_world.vault, plain, {}, dry_run=True)))


def test_no_setting_shows_a_secret(overheard: Overheard) -> None:
    good = {
        "COFFEE_SECRET_KEY": SECRET_KEY, "COFFEE_OLD_SECRET_KEYS": OLD_KEY, "COFFEE_MQTT_PASSWORD": PASSWORD,
        "COFFEE_DATABASE_URL": f"postgresql://coffee:{PASSWORD}@127.0.0.1:1/coffee",
        "COFFEE_MQTT_URL": f"mqtt://coffee:{PASSWORD}@127.0.0.1:1",
    }  # fmt: skip
    overheard.note(Settings.from_env(good))
    bad = {"COFFEE_SECRET_KEY": MARKER, "COFFEE_BIND": "x"}
    for name in ("COFFEE_DATABASE_URL", "COFFEE_MQTT_URL"):
        bad[name] = f"nonsense://coffee:{PASSWORD}@x"
    with pytest.raises(SettingsError):
        Settings.from_env(bad)
    overheard.failing(lambda: Settings.from_env(bad))


COMMANDS = [["check"], ["rekey"], ["migrate"], ["qr-key", "nobody"], ["apply", "fleet.toml"], ["apply", "broken.toml"]]


@pytest.mark.parametrize("away", [False, True], ids=["database there", "database away"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_shows_a_secret(
    overheard: Overheard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], away: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check, "BROKER_WAIT_S", 0.05)
    url = f"postgresql://coffee:{PASSWORD}@127.0.0.1:{free_port()}/coffee" if away else f"sqlite:///{tmp_path}/c.db"
    if not away:
        world = World(Database(url), vault=Vault(OLD_KEY)).found()
        use(world, SHOP_SECRET)
        world.database.close()
    (tmp_path / "fleet.toml").write_text(FLEET)
    (tmp_path / "broken.toml").write_text(with_line(FLEET, '"env:NORTH_YOOKASSA_KEY"', f'"{SHOP_SECRET}" = '))
    environ = {
        "COFFEE_SECRET_KEY": SECRET_KEY, "COFFEE_DATABASE_URL": url, "NORTH_YOOKASSA_KEY": SHOP_SECRET,
        "COFFEE_MQTT_URL": f"mqtt://coffee:{PASSWORD}@127.0.0.1:{free_port()}", "COFFEE_MQTT_PASSWORD": PASSWORD,
        "COFFEE_YOOKASSA_URL": f"http://127.0.0.1:{free_port()}/v3",
    }  # fmt: skip
    root = logging.getLogger()
    handlers = list(root.handlers)
    result = CliRunner().invoke(main, command, env=environ)
    root.handlers[:] = handlers  # the program sets up its own
    overheard.note(result.output, result.exception, *traceback.format_exception(result.exception))
