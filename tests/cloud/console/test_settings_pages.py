"""Saving in the console: one act, journalled, taken back; keys write-only; the buyer's page as it would be."""

import html
import re
from html import unescape

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from urllib3 import encode_multipart_formdata
from werkzeug.test import TestResponse

from cloud.access.models import JournalRow
from cloud.console.settings.files import MOST
from cloud.fleet.apply import apply
from cloud.fleet.models import Credential, Device, Drink
from cloud.http.request_framing import MAX_BODY, MAX_FILE
from cloud.payments.custom.ledger_view import addresses_of
from tests.cloud.console.building import OWN, Console, a_console, form_token, post
from tests.cloud.worlds import DEVICE, World

OWNER = f"owner@{OWN}"
SAID = re.compile(r'class="notice (\w+)".*?<span>(.*?)</span>')
PAGE = "https://pay.example.org"
OPERATORS_FILE = f"""
[[merchant]]
id = "{OWN}"
name = "Север"
[merchant.payment.Custom]
account_id = "north-coffee"
secret_key = "an-agreed-secret-of-forty-two-characters!!"
page_url = "{PAGE}"
status_url = "http://127.0.0.1:8099/status"
capture = "immediate"
"""


def last(console: Console) -> JournalRow:
    with console.cloud.database.read() as session:
        return session.query(JournalRow).order_by(JournalRow.id.desc()).first()  # type: ignore[return-value]


def test_a_price_is_saved_journalled_and_taken_back(console: Console) -> None:
    client = console.client(OWNER)
    post(client, f"/console/settings/drink/{DEVICE}/latte", name="Латте", price_medium="189,50", why="beans cost more")
    entry = last(console)
    assert (entry.before, entry.after, entry.why) == (
        {"price_medium": 17900},
        {"price_medium": 18950},
        "beans cost more",
    )
    assert (entry.kind, entry.device_uuid, entry.merchant_id) == ("drink", DEVICE, OWN)

    post(client, f"/console/journal/{entry.id}/undo")

    with console.cloud.database.read() as session:
        assert session.get_one(Drink, (DEVICE, "latte")).price_medium == 17900
    assert last(console).undoes == entry.id


def typed_into(page: str, action: str) -> dict[str, str]:
    """What the form at this address holds: its hidden fields and inputs."""
    [form] = re.findall(rf'<form [^>]*action="{action}"[^>]*>(.*?)</form>', page, re.DOTALL)
    inputs = [dict(re.findall(r'([\w-]+)="([^"]*)"', one)) for one in re.findall("<input [^>]*>", form)]
    return {one["name"]: unescape(one["value"]) for one in inputs if "name" in one and one.get("type") != "checkbox"}


def test_a_colleagues_price_is_not_written_over_by_a_page_that_was_open_before(console: Console) -> None:
    """Regression: whoever changed but the name took the price back to what it had been, and was told "Saved"."""
    client, at = console.client(OWNER), f"/console/settings/drink/{DEVICE}/latte"
    opened = typed_into(client.get(f"/console/settings/machine/{DEVICE}").text, at)
    post(console.client(f"manager@{OWN}"), at, name="Латте", price_medium="259")

    said = SAID.findall(client.get(post(client, at, **opened | {"name": "Латте большой"}).location or "").text)

    assert said == [("bad", "Пока вы смотрели, кто-то это изменил. Ваши изменения не сохранены.")]
    opened = typed_into(client.get(f"/console/settings/machine/{DEVICE}").text, at)
    post(client, at, **opened | {"name": "Латте большой"})
    with console.cloud.database.read() as session:
        latte = session.get_one(Drink, (DEVICE, "latte"))
        assert (latte.name, latte.price_medium) == ("Латте большой", 25900)


@pytest.mark.parametrize(
    ("page", "actions"),
    [
        (f"settings/{OWN}", [f"settings/{OWN}"]),
        (f"settings/machine/{DEVICE}", [f"settings/machine/{DEVICE}", f"settings/drink/{DEVICE}/latte"]),
        (f"settings/machine/{DEVICE}/text/client_info", [f"settings/machine/{DEVICE}/text/client_info"]),
    ],
)
def test_every_form_that_changes_something_tells_what_its_page_showed(
    console: Console, page: str, actions: list[str]
) -> None:
    shown = console.client(OWNER).get(f"/console/{page}").text
    for action in actions:
        assert typed_into(shown, f"/console/{action}")["seen"], action


def test_what_cannot_be_taken_is_told_and_nothing_is_saved(console: Console) -> None:
    client = console.client(OWNER)
    post(client, f"/console/settings/machine/{DEVICE}", location="x" * 300, zone="Asia/Omsk")
    with console.cloud.database.read() as session:
        assert session.get_one(Device, DEVICE).zone == "Europe/Moscow"
    assert "x" * 300 not in client.get(f"/console/settings/machine/{DEVICE}").text


@pytest.mark.parametrize(
    ("language", "typed", "said"),
    [
        ("ru", "0,50", "Средний, ₽: сумма в рублях от 1\u00a0₽ до 350\u202f000\u00a0₽, например 179 или 179,50"),
        ("en", "17O", "Medium, ₽: a sum in roubles from 1\u00a0₽ to 350\u202f000\u00a0₽, such as 179 or 179.50"),
        ("ru", "", "Средний, ₽: нужна цена хотя бы одного размера"),
    ],
)
def test_a_price_that_cannot_be_taken_is_asked_for_in_roubles_in_the_readers_words(
    console: Console, language: str, typed: str, said: str
) -> None:
    client = console.client(OWNER)
    client.set_cookie("coffee_language", language, path="/console")
    saved = post(client, f"/console/settings/drink/{DEVICE}/latte", name="Латте", price_medium=typed)
    assert SAID.findall(client.get(saved.location or "").text) == [("bad", said)]


def test_every_field_a_person_can_miss_is_asked_for_in_the_readers_words(console: Console) -> None:
    client = console.client("admin")  # the contract is asked of nobody else
    machine, merchant = f"/console/settings/machine/{DEVICE}", f"/console/settings/{OWN}"
    missed: list[tuple[str, dict[str, str]]] = [
        (machine, {"location": "x" * 300, "serial_no": "x" * 65, "logo_url": "ftp://x", "zone": "Mars"}),
        (f"{machine}/text/client_info", {"client_info": "x" * 5000}),
        (f"{machine}/drinks", {"drink_no": "x" * 129, "name": "x", "price_small": "10"}),
        (f"{machine}/drinks", {"drink_no": "latte", "name": "x", "price_small": "10"}),
        (merchant, {"name": "", "contact_email": "x", "valid_until": "31.12.2030", "zone": "Mars"}),
    ]
    for path, form in missed:
        said = SAID.findall(client.get(post(client, path, **form).location or "").text)
        assert [kind for kind, _ in said] == ["bad"] * (4 if len(form) == 4 else 1), path
        assert [words for _, words in said if re.search("must|printable|character|already", words)] == []


def test_what_is_told_after_an_act_is_escaped_once(console: Console) -> None:
    client = console.client(OWNER)
    shown = client.get(post(client, f"/console/settings/machine/{DEVICE}", status="<b>&").location or "").text
    assert "not &#39;&lt;b&gt;&amp;&#39;" in shown


def test_keys_are_taken_and_shown_nowhere(console: Console) -> None:
    client = console.client(OWNER)
    post(client, f"/console/settings/{OWN}/keys/Yookassa", account_id="100500", secret_key="live_verysecret",
         capture="immediate", status_check="polling")  # fmt: skip
    with console.cloud.database.read() as session:
        known = session.get_one(Credential, (OWN, "Yookassa"))
        assert console.world.vault.open(known.secret) == "live_verysecret"
        assert known.version == 2
    entry = last(console)
    changed = {"capture": "immediate", "version": 2, "secret_key": "changed"}
    assert entry.after == {**(entry.before or {}), **changed}
    for path in (f"/console/settings/{OWN}", f"/console/settings/{OWN}/keys/Yookassa", "/console/journal"):
        assert "verysecret" not in client.get(path).text


def test_no_key_is_read_from_the_host_by_way_of_a_form(console: Console) -> None:
    answer = post(
        console.client(OWNER), f"/console/settings/{OWN}/keys/TBank", account_id="1", secret_key="file:/etc/hostname"
    )
    assert answer.status_code == 200
    with console.cloud.database.read() as session:
        assert session.get(Credential, (OWN, "TBank")) is None


def test_the_preview_is_the_buyers_page_with_the_text_cleaned(console: Console) -> None:
    note = "<b>Тёплый привет</b><script>alert(1)</script>"
    for field in ("client_info", "client_info_make_failed", "client_error_info"):
        answer = post(
            console.client(OWNER), f"/console/settings/machine/{DEVICE}/preview/{field}?lang=en", **{field: note}
        )
        assert "<b>Тёплый привет</b>" in answer.text, field
        assert "alert(1)" not in answer.text
        assert "frame-ancestors 'self'" in answer.headers["Content-Security-Policy"]
    with console.cloud.database.read() as session:
        assert session.get_one(Device, DEVICE).client_info is None


@pytest.mark.parametrize("field", ["client_error_info", "client_info_make_failed"])
def test_without_a_text_the_preview_says_whom_to_call_as_the_page_does(console: Console, field: str) -> None:
    """Regression: an emptied text looked as if it left buyers with nobody to call."""
    client = console.client(OWNER)
    post(client, f"/console/settings/{OWN}", contact_email="help@north.example")
    address = f"/console/settings/machine/{DEVICE}/preview/{field}?lang=en"

    assert ">help@north.example</a>" in post(client, address, **{field: ""}).text
    assert "help@north.example" not in post(client, address, **{field: "Call 812"}).text


MACHINES = 300
ONE_MORE = """
[[device]]
device_uuid = "m-{number:05}"
merchant = "north"
location = "Торговый центр «Галерея», {number} этаж"
payment_scenario = "Yookassa"
"""
DRINK = """
[[device.drink]]
drink_no = "{number}"
name = "Капучино с карамельным сиропом, {number}"
prices = {{ small = 14900, medium = 17900, large = 19900 }}
"""


def a_large_file(text: str) -> str:
    """What the console itself gives of so many machines is about as long."""
    menu = "".join(DRINK.format(number=number) for number in range(4))
    return text + "".join(ONE_MORE.format(number=number) + menu for number in range(MACHINES))


def load(client: FlaskClient, at: str, token: str = "", **parts: str | tuple[str, bytes]) -> TestResponse:
    """As the forms of these pages do."""
    body, kind = encode_multipart_formdata({"csrf_token": token or form_token(client), **parts})
    return client.post(at, data=body, content_type=kind)


def test_a_file_of_hundreds_of_machines_is_looked_at_and_applied(console: Console) -> None:
    client, at = console.client(OWNER), f"/console/settings/{OWN}/import"
    text = a_large_file(client.get(f"/console/settings/{OWN}/fleet.toml").text)
    looked = load(client, at, file=("fleet.toml", text.encode()))
    assert looked.status_code == 200
    assert looked.text.count("<li><b>") >= MACHINES
    [form] = re.findall(rf'<form [^>]*action="{at}"[^>]*>', looked.text)
    assert 'enctype="multipart/form-data"' in form
    applied = load(client, at, text=text.replace("\n", "\r\n"), go="1")
    assert applied.status_code == 200
    with console.cloud.database.read() as session:
        found = session.scalar(select(func.count()).select_from(Device).where(Device.merchant_id == OWN))
    assert found is not None
    assert found > MACHINES


def test_a_file_that_is_too_large_is_refused_in_words_and_a_strangers_before_it_is_read(console: Console) -> None:
    client, at = console.client(OWNER), f"/console/settings/{OWN}/import?lang=en"
    assert "larger than 3.5 MB" in load(client, at, file=("fleet.toml", b"#" * (MOST + 1))).text
    assert load(client, at, file=("fleet.toml", b"#" * MAX_FILE)).status_code == 413
    token = form_token(client)
    client.delete_cookie("coffee_console", path="/console")
    assert load(client, at, token, file=("fleet.toml", b"#" * MAX_BODY)).status_code == 413


def test_a_file_is_looked_at_first_and_speaks_of_its_merchant_only(console: Console) -> None:
    client = console.client(OWNER)
    text = client.get(f"/console/settings/{OWN}/fleet.toml").text
    changed = text.replace('location = ""', 'location = "Hall"', 1)
    assert "Hall" in post(client, f"/console/settings/{OWN}/import", text=changed).text
    with console.cloud.database.read() as session:
        assert session.get_one(Device, DEVICE).location == ""

    post(client, f"/console/settings/{OWN}/import", text=changed, go="1")

    with console.cloud.database.read() as session:
        assert session.get_one(Device, DEVICE).location == "Hall"
    foreign = text.replace(f'id = "{OWN}"', 'id = "south"').replace(f'merchant = "{OWN}"', 'merchant = "south"')
    post(client, f"/console/settings/{OWN}/import", text=foreign, go="1")
    with console.cloud.database.read() as session:
        assert session.get_one(Device, DEVICE).merchant_id == OWN


def test_a_file_takes_no_name_of_ours_at_the_broker(sqlite_world: World) -> None:
    """Regression: its owner enrolled or revoked it, and every worker was refused."""
    with a_console(sqlite_world, mqtt_user="coffee-cloud") as console:
        client = console.client(OWNER)
        text = client.get(f"/console/settings/{OWN}/fleet.toml").text
        machine = f'[[device]]\ndevice_uuid = "coffee-cloud"\nmerchant = "{OWN}"\npayment_scenario = "Yookassa"\n'
        shown = post(client, f"/console/settings/{OWN}/import", text=f"{text}\n{machine}", go="1").text
        assert "own name at the broker" in shown
        with console.cloud.database.read() as session:
            assert session.get(Device, "coffee-cloud") is None


def own_page(console: Console, **addresses: str) -> str:
    """The owner saves where his own payment page is; what he is told."""
    form = {"account_id": "north-coffee", "capture": "immediate", "status_check": "polling",
            "secret_key": "an-agreed-secret-of-forty-two-characters!!", "page_url": PAGE}  # fmt: skip
    return post(console.client(OWNER), f"/console/settings/{OWN}/keys/Custom", **form | addresses).text


KEYS = f"/console/settings/{OWN}/keys/Custom"
WITH_HOLD = {"status_url": f"{PAGE}/status", "action_url": f"{PAGE}/action", "capture": "on_dispense"}


def stored_addresses(console: Console) -> tuple[str, str, str]:
    with console.cloud.database.read() as session:
        known = session.get_one(Credential, (OWN, "Custom"))
        return known.page_url, known.status_url, known.action_url


def test_addresses_are_shown_and_what_nobody_touched_stays(console: Console) -> None:
    """Regression: saving anything emptied them, and nobody asked the merchant's page any more whether money came."""
    client = console.client(OWNER)
    own_page(console, **WITH_HOLD)
    opened = typed_into(client.get(KEYS).text, KEYS)
    assert (opened["page_url"], opened["status_url"], opened["secret_key"]) == (PAGE, f"{PAGE}/status", "")

    post(client, KEYS, **opened | {"page_url": f"{PAGE}/new", "capture": "on_dispense"})
    assert stored_addresses(console) == (f"{PAGE}/new", f"{PAGE}/status", f"{PAGE}/action")
    post(client, KEYS, account_id="north-coffee", capture="immediate")
    assert stored_addresses(console) == (f"{PAGE}/new", f"{PAGE}/status", f"{PAGE}/action"), "no field, no change"

    opened = typed_into(client.get(KEYS).text, KEYS)
    post(client, KEYS, **opened | {"action_url": "", "capture": "immediate"})
    assert stored_addresses(console) == (f"{PAGE}/new", f"{PAGE}/status", "")


def test_what_was_typed_into_the_form_of_keys_outlives_a_refusal_but_for_the_secret(console: Console) -> None:
    refused = own_page(console, **WITH_HOLD | {"page_url": "ftp://pay.example.org"})
    assert 'class="problem"' in refused
    shown = typed_into(refused, KEYS)
    told = [shown[name] for name in ("account_id", "page_url", "status_url", "action_url", "secret_key")]
    assert told == ["north-coffee", "ftp://pay.example.org", f"{PAGE}/status", f"{PAGE}/action", ""]
    assert re.search(r'<input[^>]*name="secret_key"[^>]* required', refused), "nothing is stored yet"


def test_keys_that_a_colleague_has_changed_are_not_written_over(console: Console) -> None:
    client = console.client(OWNER)
    own_page(console, **WITH_HOLD)
    opened = typed_into(client.get(KEYS).text, KEYS)
    own_page(console, **WITH_HOLD | {"page_url": f"{PAGE}/moved"})

    said = SAID.findall(client.get(post(client, KEYS, **opened | {"capture": "on_dispense"}).location or "").text)

    assert said == [("bad", "Пока вы смотрели, кто-то это изменил. Ваши изменения не сохранены.")]
    assert stored_addresses(console)[0] == f"{PAGE}/moved"


def leads_into_public_net_only(console: Console) -> bool | None:
    found = addresses_of(console.cloud.database, "north-coffee")
    return None if found is None else found.public_only


@pytest.mark.parametrize(
    "inside", ["http://127.0.0.1:9090", "https://10.0.0.5/x", "https://[::1]", "https://localhost"]
)
def test_an_owner_does_not_lead_us_into_our_own_network(console: Console, inside: str) -> None:
    """Regression: our worker called the host's own services at an address that an owner had saved."""
    assert "Адрес состояния: адрес в открытой сети: https://" in own_page(console, status_url=inside)
    assert leads_into_public_net_only(console) is None


def test_what_is_wrong_with_keys_is_told_in_the_readers_words(console: Console) -> None:
    """Regression: "line 8, merchant.payment.Custom.page_url: must begin with ..." of a file that nobody had written."""
    told = own_page(console, page_url="http://pay.example.org", secret_key="short")
    assert "Страница оплаты: адрес в открытой сети: https://" in told
    assert "Секретный ключ: латинские буквы" in told
    assert "line 8" not in told
    other = html.unescape(own_page(console, account_id="not an account"))
    assert "по-английски, в терминах fleet.toml): Номер магазина (терминала): must be 1 to 64" in other


def test_a_file_that_is_refused_says_in_whose_words(console: Console) -> None:
    told = post(console.client(OWNER), f"/console/settings/{OWN}/import", text="[[device]]\nnothing = 1\n").text
    assert "Что не так (по-английски" in told


def test_a_file_nested_without_end_is_refused_as_any_broken_one(console: Console) -> None:
    """Regression: its parser ran out of stack, and the page was that of an error of ours."""
    told = post(console.client(OWNER), f"/console/settings/{OWN}/import", text=f"a = {'[' * 5000}{']' * 5000}")
    assert (told.status_code, "it is nested too deep" in told.text) == (200, True)


def test_addresses_are_of_who_chose_them_last(console: Console) -> None:
    vault, database = console.world.vault, console.cloud.database
    apply(database, vault, OPERATORS_FILE, {})
    assert leads_into_public_net_only(console) is False

    own_page(console, status_url="http://127.0.0.1:8099/status", secret_key="another-secret-of-forty-characters-or-so!")
    assert leads_into_public_net_only(console) is False, "a new key changes no address"

    own_page(console, status_url=f"{PAGE}/status")
    assert leads_into_public_net_only(console) is True

    file = OPERATORS_FILE.replace("http://127.0.0.1:8099", PAGE)
    apply(database, vault, file, {}, dry_run=True)
    assert leads_into_public_net_only(console) is True
    with database.read() as session:
        before = session.get_one(Credential, (OWN, "Custom")).version
    apply(database, vault, file, {})
    with database.read() as session:
        assert session.get_one(Credential, (OWN, "Custom")).version > before, "running workers connect anew"
    assert leads_into_public_net_only(console) is False
