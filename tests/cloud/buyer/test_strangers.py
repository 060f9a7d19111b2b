"""A stranger who knows an order's number, or guesses the next one: what he cannot do to its buyer."""

import hashlib
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from cloud.buyer import services as buyer_services
from cloud.buyer.capability import COOKIE, LONGEST, NOTHING, PRESENT_FOR, Seal
from cloud.buyer.limits import RateLimit
from cloud.buyer.services import Services
from cloud.fleet.qr_key import QrKeys
from cloud.orders import making
from cloud.orders.forgetting import KEPT_FOR, Forgetting
from cloud.orders.money import PaymentState
from cloud.orders.qr_signature import sign, signed_text
from cloud.orders.states import Status
from tests.cloud.buyer.conftest import Counter
from tests.cloud.buyer.orders import DEVICE, PRICE, RULES, START, Orders, TestClock
from tests.cloud.buyer.phones import STRANGER
from tests.cloud.worlds import SECRET_KEY

PAY = "/v1/initiate-payment"
KEYS = QrKeys(SECRET_KEY)


def code(uuid: str = "q-1", size: str = "1", dice: str = "waxoqk") -> dict[str, str]:
    """What an unsigning machine shows."""
    said = {
        "deviceUuid": DEVICE,
        "drinkNo": "cappuccino",
        "size": size,
        "uuid": uuid,
        "random": dice,
        "ts": "1742198482",
    }
    salt = hashlib.md5(f"cappuccino{dice}1742198482{size}{uuid}".encode()).hexdigest()
    return said | {"salt": salt}


def signed(said: dict[str, str], clock: TestClock, good_for_s: int = 900) -> dict[str, str]:
    exp = str(int(clock().timestamp()) + good_for_s)
    text = signed_text(said["deviceUuid"], said["drinkNo"], int(said["size"]), said["uuid"], exp)
    return said | {"exp": exp, "sig": sign(KEYS.of(DEVICE, 1), text)}


@pytest.fixture
def buyer(stranger: FlaskClient) -> FlaskClient:
    """A phone that has scanned nothing yet, either."""
    client = stranger.application.test_client()
    client.environ_base[STRANGER] = "1"
    client.environ_base["REMOTE_ADDR"] = "192.0.2.7"
    return client


@pytest.fixture
def signing(services: Services) -> Services:
    object.__setattr__(services, "qr_keys", KEYS)
    return services


def scan(client: FlaskClient, said: dict[str, str]) -> TestResponse:
    return client.get("/v1/pay", query_string=said)


def led_to(response: TestResponse) -> str:
    assert response.status_code == 302, response.text
    return parse_qs(urlsplit(response.location).query)["order_id"][0]


def pays_late(orders: Orders, order_id: str) -> None:
    if not orders.payments(order_id):
        orders.pay_again(order_id)
    orders.clock.forward(RULES.fast_track_s + 1)
    orders.answered(order_id, PaymentState.CAPTURED, captured=PRICE, method="sbp")
    assert orders.order(order_id).status == Status.MANUAL_MAKE


def make(client: FlaskClient, order_id: str) -> tuple[int, str]:
    answer = client.post(f"/v1/orders/{order_id}/make")
    return answer.status_code, (answer.get_json().get("error") or {}).get("code", "")


# Pouring


def test_only_who_scanned_it_has_a_late_paid_drink_poured(
    buyer: FlaskClient, stranger: FlaskClient, orders: Orders
) -> None:
    scan(buyer, code())
    pays_late(orders, "q-1")

    assert make(stranger, "q-1") == (403, "not_yours")
    assert orders.order("q-1").status == Status.MANUAL_MAKE
    assert make(buyer, "q-1") == (200, "")
    assert orders.order("q-1").status == Status.PAID


@pytest.mark.parametrize("dice", ["waxoqk", "guessd"])
def test_scanning_it_after_it_was_paid_gives_no_right(
    buyer: FlaskClient, stranger: FlaskClient, orders: Orders, dice: str
) -> None:
    scan(buyer, code())
    pays_late(orders, "q-1")

    assert led_to(scan(stranger, code(dice=dice))) == "q-1", "the same order is shown"
    assert make(stranger, "q-1") == (403, "not_yours")


def test_the_buyer_must_stand_at_the_machine_and_its_next_code_says_so(
    buyer: FlaskClient, stranger: FlaskClient, orders: Orders, clock: TestClock
) -> None:
    scan(buyer, code())
    pays_late(orders, "q-1")
    clock.forward(PRESENT_FOR.total_seconds())
    assert make(buyer, "q-1") == (403, "not_here")
    page = buyer.get("/v1/order-status-page?order_id=q-1").text
    assert "Отсканируйте код на его экране ещё раз" in page
    assert "<form" not in page

    assert led_to(scan(buyer, code("q-2"))) == "q-1", "to the drink that waits"
    assert stranger.get("/v1/order-status/q-2").status_code == 404
    assert make(buyer, "q-1") == (200, "")


def test_the_printed_menu_leads_to_the_drink_that_waits(buyer: FlaskClient, orders: Orders, clock: TestClock) -> None:
    scan(buyer, code())
    pays_late(orders, "q-1")
    clock.forward(PRESENT_FOR.total_seconds())

    assert led_to(buyer.get(f"/m/{DEVICE}")) == "q-1"
    assert make(buyer, "q-1") == (200, "")


def test_who_scanned_a_late_paid_drink_of_another_buys_at_that_machine_all_the_same(
    buyer: FlaskClient, stranger: FlaskClient, orders: Orders
) -> None:
    """Regression: every code of the machine, and its menu, led to the drink that only the other may have poured."""
    scan(buyer, code())
    pays_late(orders, "q-1")
    orders.clock.forward(1)
    scan(stranger, code())

    assert led_to(scan(stranger, code("q-2"))) == "q-2"
    assert stranger.get(f"/m/{DEVICE}").status_code == 200
    assert led_to(scan(buyer, code("q-3"))) == "q-1"


def test_where_the_machine_signs_only_its_own_code_counts(
    buyer: FlaskClient, stranger: FlaskClient, orders: Orders, clock: TestClock, signing: Services
) -> None:
    scan(stranger, code())
    scan(buyer, signed(code(), clock))
    pays_late(orders, "q-1")
    scan(stranger, code())

    assert make(stranger, "q-1") == (403, "not_yours")
    assert make(buyer, "q-1") == (200, "")


@pytest.mark.parametrize("slow_by_s", [0, 3600])
def test_a_slow_clock_takes_nothing_from_the_buyers_of_a_machine_that_need_not_sign(
    buyer: FlaskClient, orders: Orders, clock: TestClock, signing: Services, slow_by_s: int
) -> None:
    """Regression: what was signed too long ago opened orders that nobody could have poured, or complain of."""
    scan(buyer, signed(code(), clock, 900 - slow_by_s))
    pays_late(orders, "q-1")

    assert "<form" in buyer.get("/v1/order-status-page?order_id=q-1").text
    assert buyer.get("/v1/order-claim?order_id=q-1").status_code == 200
    assert make(buyer, "q-1") == (200, "")


@pytest.mark.parametrize("is_over_at_once", [True, False])
def test_a_photograph_of_a_code_that_is_over_gives_no_right(
    buyer: FlaskClient, stranger: FlaskClient, orders: Orders, clock: TestClock, signing: Services,
    is_over_at_once: bool,
) -> None:  # fmt: skip
    shown = signed(code(), clock, -1 if is_over_at_once else 600)
    scan(buyer, shown)
    orders.pay_again("q-1")
    if not is_over_at_once:
        clock.forward(601)
        assert led_to(scan(stranger, shown)) == "q-1"
    pays_late(orders, "q-1")

    assert led_to(scan(stranger, shown)) == "q-1"
    assert make(stranger, "q-1")[0] == 403
    assert orders.order("q-1").status == Status.MANUAL_MAKE


def test_a_code_that_was_good_and_is_forgotten_stays_over(
    buyer: FlaskClient, orders: Orders, clock: TestClock, signing: Services
) -> None:
    shown = signed(code(), clock)
    scan(buyer, shown)
    clock.forward(RULES.order_expiration_s + 1)
    orders.database.transact(making.handle_deadline, "q-1", RULES, clock())
    Forgetting(orders.database).step(clock() + KEPT_FOR)

    assert scan(buyer, shown).status_code == 410


# Who came first with the number


def test_who_opens_the_next_number_first_keeps_nobody_from_the_drink(
    buyer: FlaskClient, stranger: FlaskClient, orders: Orders
) -> None:
    assert led_to(scan(stranger, code(size="2", dice="guessd"))) == "q-1"

    mine = led_to(scan(buyer, code()))

    assert (orders.order(mine).size, orders.order("q-1").size) == (1, 2)
    assert led_to(scan(buyer, code())) == mine, "scanned again it is the same"
    assert led_to(scan(stranger, code(size="2", dice="guessd"))) == "q-1"


def test_nor_with_the_same_drink_nor_when_a_payment_is_open(
    buyer: FlaskClient, stranger: FlaskClient, orders: Orders
) -> None:
    scan(stranger, code(dice="guessd"))
    orders.pay_again("q-1")

    mine = led_to(scan(buyer, code()))
    pays_late(orders, mine)

    assert make(stranger, mine) == (403, "not_yours")
    assert make(buyer, mine) == (200, "")


def test_what_the_machine_signed_takes_its_number_back(
    buyer: FlaskClient, stranger: FlaskClient, orders: Orders, clock: TestClock, signing: Services
) -> None:
    scan(stranger, code(size="2"))
    clock.forward(600)

    assert led_to(scan(buyer, signed(code(), clock))) == "q-1"

    order = orders.order("q-1")
    assert (order.size, order.price, order.version) == (1, PRICE, 2)
    assert (order.expires_at - clock()).total_seconds() == RULES.order_expiration_s
    assert scan(stranger, code(size="2")).status_code == 409


def test_what_others_pay_for_already_is_left_to_them(
    buyer: FlaskClient, stranger: FlaskClient, orders: Orders, clock: TestClock, signing: Services
) -> None:
    scan(stranger, code(size="2"))
    orders.pay_again("q-1")

    mine = led_to(scan(buyer, signed(code(), clock)))

    assert mine != "q-1"
    assert orders.order(mine).size == 1


def test_one_phone_is_told_that_its_number_is_another_drink(buyer: FlaskClient, orders: Orders) -> None:
    scan(buyer, code())

    assert scan(buyer, code(size="2", dice="others")).status_code == 409


def test_numbers_of_a_menu_are_nobody_elses(buyer: FlaskClient, stranger: FlaskClient, orders: Orders) -> None:
    chosen = buyer.post(f"/m/{DEVICE}", data={"drink_no": "cappuccino", "size": "1"})
    number = parse_qs(urlsplit(chosen.location).query)["order_id"][0]
    bare = {name: code(number)[name] for name in ("deviceUuid", "drinkNo", "size", "uuid")}

    assert led_to(scan(stranger, bare)) != number


def test_other_numbers_count_as_new_orders(stranger: FlaskClient, orders: Orders) -> None:
    def status(number: int) -> int:
        stranger.delete_cookie(COOKIE)
        return scan(stranger, code(dice=f"dice-{number}")).status_code

    assert [status(number) for number in range(6)] == [302] * 5 + [429]


# Paying


def test_anybody_may_pay_and_only_who_scanned_names_the_email(
    buyer: FlaskClient, stranger: FlaskClient, orders: Orders, counter: Counter
) -> None:
    buyer.get(scan(buyer, code()).location)
    theirs = {"order_id": "q-1", "email": "stranger@example.org"}

    answer = stranger.post(PAY, json=theirs)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (403, "not_yours")
    assert stranger.post(PAY, json={"order_id": "q-1"}).status_code == 200
    assert buyer.post(PAY, json={"order_id": "q-1", "email": "buyer@example.org"}).status_code == 200
    assert [got.get("email") for got in counter.checkout_got] == [None, "buyer@example.org"]


def test_a_program_without_cookies_goes_on_naming_it(stranger: FlaskClient, orders: Orders, counter: Counter) -> None:
    """A merchant's own page opened the order, and no phone has come back with what it scanned."""
    scan(stranger, code())
    stranger.delete_cookie(COOKIE)

    assert stranger.post(PAY, json={"order_id": "q-1", "email": "buyer@example.org"}).status_code == 200


def test_presses_of_a_stranger_lock_nobody_out(buyer: FlaskClient, stranger: FlaskClient, orders: Orders) -> None:
    scan(buyer, code())
    buyer.environ_base["REMOTE_ADDR"] = stranger.environ_base["REMOTE_ADDR"] = "203.0.113.9"
    pressed = [stranger.post(PAY, json={"order_id": "q-1"}).status_code for _ in range(buyer_services.ACTS_BURST + 5)]

    assert pressed[-1] == 429
    assert buyer.post(PAY, json={"order_id": "q-1"}).status_code == 200


def test_a_flood_from_elsewhere_leaves_a_machine_to_its_buyers(
    stranger: FlaskClient, services: Services, orders: Orders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(services.__dict__, "of_device", RateLimit(burst=3, per_s=0))

    def status(number: int, address: str) -> int:
        monkeypatch.setitem(services.__dict__, "visitor", lambda: address)
        stranger.delete_cookie(COOKIE)
        return scan(stranger, code(f"far-{number}")).status_code

    assert [status(n, f"203.0.{n}.1") for n in range(4)] == [302, 302, 302, 429]
    assert status(9, "192.0.2.1") == 302


# The cookie


def test_a_cookie_is_ours_or_nothing() -> None:
    seal, held = Seal("k" * 32), NOTHING.holding("q-1", START, is_signed=True)
    written = seal.write(held)

    assert seal.read(written).of_order("q-1") == held.of_order("q-1")
    assert Seal("n" * 32, ("k" * 32,)).read(written) == held
    assert Seal("n" * 32).read(written) == NOTHING
    for forged in (
        written[:-1],
        written.replace("_1.", "_0."),
        "",
        ".",
        "1..",
        "ж",
        "1.o_x_1_1." + "0" * 32,
        "x" * 9999,
    ):
        assert seal.read(forged) == NOTHING, forged


def test_only_so_much_is_remembered() -> None:
    held = NOTHING
    for number in range(50):
        held = held.holding("ж" * 255 + str(number), START, is_signed=True).at_machine(
            f"m-{number}", START, is_signed=True
        )

    assert (len(held.orders), len(held.machines)) == (30, 8)
    assert len(Seal("k" * 32).write(held)) < LONGEST
    assert Seal("k" * 32).read(Seal("k" * 32).write(held)) == held


def test_what_nobody_paid_is_over_long_after_its_row_is_gone(
    buyer: FlaskClient, orders: Orders, clock: TestClock
) -> None:
    buyer.get(scan(buyer, code()).location)
    clock.forward(RULES.order_expiration_s + 1)
    orders.database.transact(making.handle_deadline, "q-1", RULES, clock())
    Forgetting(orders.database).step(clock() + KEPT_FOR)

    assert scan(buyer, code()).status_code == 410
    assert buyer.get("/v1/order-status-page?order_id=q-1").status_code == 410
    assert buyer.get("/v1/order-status/q-1").status_code == 404
    assert buyer.post(PAY, json={"order_id": "q-1"}).status_code == 410
