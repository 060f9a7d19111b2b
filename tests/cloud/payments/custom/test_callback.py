"""The merchants' door: what is taken, what is refused and why, and that a callback moves nothing by itself."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cloud.background.loops import ThreadPool
from cloud.database.transaction import Transaction
from cloud.fleet.models import Credential, Merchant
from cloud.payments import inbox
from cloud.payments.status_poller import StatusPoller
from simulator.custom.callbacks import Mischief
from simulator.custom.signing import envelope
from tests.cloud.payments.custom_till import ACCOUNT, SECRET, CustomTill
from tests.cloud.worlds import PRICE

OTHER_SECRET = "the secret of another merchant, long enough"


def told(till: CustomTill, order_id: str, **changes: Any) -> dict[str, Any]:
    """A callback that is right in every point, but for `changes`."""
    whole = {
        "account": ACCOUNT, "payment": till.name(order_id), "order": order_id, "status": "succeeded", "amount": PRICE,
        "currency": "RUB", "time": int(till.world.now.timestamp()), "nonce": "0123456789abcdef",
    }  # fmt: skip
    return whole | changes


def say(
    till: CustomTill, order_id: str, secret: str = SECRET, purpose: str = "callback", **changes: Any
) -> tuple[int, str]:
    answer = till.post(envelope(secret, purpose, told(till, order_id, **changes)))
    body = answer.get_json()
    return answer.status_code, body.get("status") or body["error"]["code"]


def test_a_callback_is_stored_and_makes_us_ask(till: CustomTill) -> None:
    order_id = till.open_payment()
    till.work()
    assert say(till, order_id) == (200, "stored")
    assert till.world.status(order_id) == "pending"
    [notification] = till.notifications()
    assert (notification.provider, notification.verdict, notification.times) == ("Custom", "asked", 1)
    till.work()
    assert till.world.status(order_id) == "pending", "the merchant's own answer says that nobody has paid"
    assert till.world.ledger(order_id) == {}


@pytest.mark.parametrize(
    ("how", "answer"),
    [
        ({"secret": OTHER_SECRET}, (403, "wrong_signature")),
        ({"purpose": "answer"}, (403, "wrong_signature")),
        ({"account": "somebody-else"}, (403, "wrong_signature")),
        ({"account": ""}, (403, "wrong_signature")),
        ({"time": 0}, (403, "stale")),
        ({"nonce": "short"}, (400, "nonce_too_short")),
        ({"nonce": ""}, (400, "nonce_too_short")),
        ({"nonce": "n" * 65}, (400, "unreadable")),
        ({"amount": "179.00"}, (400, "unreadable")),
        ({"payment": "../../x"}, (400, "unreadable")),
        ({"account": ["x"]}, (400, "unreadable")),
    ],
)
def test_what_is_not_right_is_refused_and_nothing_is_kept_of_it(
    callbacks_only: CustomTill, how: dict[str, Any], answer: tuple[int, str]
) -> None:
    till = callbacks_only
    order_id = till.open_payment()
    assert say(till, order_id, **how) == answer
    assert till.notifications() == []
    till.work(5)
    assert till.world.status(order_id) == "pending"


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"\xff\xfe", b"[" * 60_000, b'{"payload": "{}", "signature": "x"}', b"a=b"]
)
def test_what_is_no_envelope_is_refused(callbacks_only: CustomTill, body: bytes) -> None:
    assert callbacks_only.post(body).status_code == 400
    assert callbacks_only.notifications() == []


def test_too_much_at_once_is_refused(callbacks_only: CustomTill) -> None:
    assert callbacks_only.post(b" " * 200_000).status_code == 413
    assert callbacks_only.client().get("/v1/custom-callback").status_code == 405


@pytest.mark.parametrize("off_s", [-300, 300])
def test_clocks_may_differ_by_five_minutes(callbacks_only: CustomTill, off_s: int) -> None:
    order_id = callbacks_only.open_payment()
    now = int(callbacks_only.world.now.timestamp())
    assert say(callbacks_only, order_id, time=now + off_s)[0] == 200
    assert say(callbacks_only, order_id, time=now + off_s + (1 if off_s > 0 else -1)) == (403, "stale")


def test_a_repeat_signed_anew_is_taken_and_changes_nothing(callbacks_only: CustomTill) -> None:
    till = callbacks_only
    order_id = till.open_payment()
    assert say(till, order_id) == (200, "stored")
    till.world.clock.advance(200)
    assert say(till, order_id) == (200, "stored")
    till.work()
    [notification] = till.notifications()
    assert notification.times == 2
    assert till.world.ledger(order_id) == {"captured": PRICE}
    assert len(till.world.commands(order_id)) == 1


def test_a_nonce_is_good_for_one_thing_said(callbacks_only: CustomTill) -> None:
    till = callbacks_only
    order_id = till.open_payment()
    assert say(till, order_id, status="pending") == (200, "stored")
    assert say(till, order_id, status="succeeded") == (409, "nonce_used")
    till.work()
    assert till.world.status(order_id) == "pending"


def test_a_callback_recorded_and_played_again_changes_nothing(callbacks_only: CustomTill) -> None:
    till = callbacks_only
    order_id = till.open_payment()
    till.press(order_id, "decline")
    assert till.hear() == [200]
    till.work()
    till.world.clock.advance(5)
    again = till.paid(order_id)
    for body in list(till.bodies):
        till.call_back(body)
    till.work(5)
    assert till.world.status(again) == "paid"
    till.world.clock.advance(400)
    assert {till.call_back(body) for body in list(till.bodies)} == {403}


def test_a_callback_of_one_merchant_says_nothing_of_anothers_payment(callbacks_only: CustomTill) -> None:
    till = callbacks_only
    order_id = till.open_payment()

    def add(tx: Transaction) -> None:
        tx.session.add(Merchant(id="south", name="South"))
        tx.session.flush()
        locked = till.world.vault.lock(OTHER_SECRET)
        tx.session.add(
            Credential(merchant_id="south", scenario="Custom", account_id="south", secret=locked, page_url="https://x/")
        )

    till.world.database.transact(add)
    assert say(till, order_id, OTHER_SECRET, account="south") == (200, "stored")
    assert say(till, order_id, OTHER_SECRET)[0] == 403
    assert till.world.payment(order_id).told_at is None, "nobody is asked for it"
    till.work(5)
    assert [notification.verdict for notification in till.notifications()] == ["not ours"]
    assert till.world.status(order_id) == "pending"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [({"amount": 100}, "amount"), ({"currency": "USD"}, "currency"), ({"order": "another"}, "metadata.order_id")],
)
def test_what_does_not_fit_our_books_pours_nothing(
    callbacks_only: CustomTill, changes: dict[str, Any], problem: str
) -> None:
    till = callbacks_only
    order_id = till.open_payment()
    assert say(till, order_id, **changes) == (200, "stored")
    till.work()
    assert till.world.status(order_id) == "failed"
    assert till.world.payment(order_id).problem == problem
    assert till.world.commands(order_id) == []


def test_a_payment_called_a_test_is_poured_for_like_any_other(callbacks_only: CustomTill) -> None:
    till = callbacks_only
    order_id = till.open_payment()
    assert say(till, order_id, test=True) == (200, "stored")
    till.work()
    assert till.world.payment(order_id).problem == ""
    assert len(till.world.commands(order_id)) == 1


def test_a_payment_nobody_knows_is_kept_and_answered(
    callbacks_only: CustomTill, caplog: pytest.LogCaptureFixture
) -> None:
    till = callbacks_only
    order_id = till.open_payment()
    assert say(till, order_id, payment="nobody.1772447400") == (200, "stored")
    till.work()
    assert "not ours" in caplog.text
    assert [notification.verdict for notification in till.notifications()] == ["not ours"]


def test_too_many_callbacks_of_payments_nobody_knows_are_refused(
    callbacks_only: CustomTill, monkeypatch: pytest.MonkeyPatch
) -> None:
    till = callbacks_only
    order_id = till.open_payment()
    monkeypatch.setattr(inbox, "MAX_UNPLACED", 1)
    answers = [say(till, order_id, payment="nobody.1", nonce=f"{n:016}") for n in range(2)]
    assert answers == [(200, "stored"), (503, "too_many_unknown")]
    assert say(till, order_id) == (200, "stored"), "what is known finds room"


def test_what_may_be_read_back_is_asked_about_once_it_is_stored(callbacks_only: CustomTill) -> None:
    """Without a status address the callback is the fact: asked before the commit, the books do not hold it yet."""
    till = callbacks_only
    order_id = till.open_payment()
    pool = ThreadPool("at hand", 2)
    poller = StatusPoller(till.world.database, till.shops, till.world.rules, pool, lambda: 0.0, till.world.clock)
    till.world.database.dispatchers.add(poller)
    submit = pool.submit

    def submit_and_see(work: Callable[[], None]) -> None:
        done = threading.Event()

        def work_and_say() -> None:
            work()
            done.set()

        submit(work_and_say)
        done.wait(2)  # the answer waits for the commit on SQLite; a read that comes too early is over by then

    pool.submit = submit_and_see  # type: ignore[method-assign]  # as slow as a thread may be
    assert say(till, order_id) == (200, "stored")
    pool.close()
    assert till.world.status(order_id) == "paid"


def test_odd_characters_are_kept_by_every_database(till: CustomTill) -> None:
    order_id = till.open_payment()
    assert say(till, order_id, order="a\x00b", reason="\u2028") == (200, "stored")
    assert json.loads(till.notifications()[0].body)["order"] == "a\x00b"


@pytest.mark.any_database
def test_duplicates_reordering_and_silence_pour_once(till: CustomTill) -> None:
    till.merchant.callbacks.mischief = Mischief(copies=2, reorder=True)
    order_id = till.open_payment()
    till.press(order_id, "pay")
    till.merchant.books.capture(till.name(order_id))
    assert set(till.hear()) == {200}
    till.work()
    assert till.world.status(order_id) == "paid"
    assert len(till.world.commands(order_id)) == 1
    till.merchant.callbacks.mischief = Mischief(silent=True)
    other = till.open_payment()
    till.press(other, "pay")
    till.work(2)
    assert till.world.status(other) == "paid", "polling finds what callbacks lose"


@pytest.mark.any_database
@pytest.mark.parametrize("mischief", [Mischief(wrong_key=True), Mischief(late_s=301)])
def test_a_merchant_whose_program_is_wrong_is_told_so(till: CustomTill, mischief: Mischief) -> None:
    order_id = till.open_payment()
    till.merchant.callbacks.mischief = mischief
    till.press(order_id, "pay")
    assert till.hear() == [403]
    till.merchant.callbacks.mischief = Mischief()
    assert till.hear() == [200], "sent again until it is taken"


def test_forty_callbacks_at_once_pour_once(till: CustomTill) -> None:
    order_id = till.open_payment()
    till.press(order_id, "pay")
    bodies = [
        envelope(SECRET, "callback", told(till, order_id, status="held", nonce=f"{n % 3:016}")) for n in range(40)
    ]
    with ThreadPoolExecutor(40) as pool:
        assert set(pool.map(lambda body: till.post(body).status_code, bodies)) == {200}
    till.work()
    assert till.world.status(order_id) == "paid"
    assert len(till.world.commands(order_id)) == 1
    assert sorted(notification.times for notification in till.notifications()) == [13, 13, 14]
