"""Buys one coffee inside the booted Debian, as `python -m tests.deploy.one_coffee`; says what became of all of it."""

from typing import Any

import requests

from tests.waiting import wait_until

CLOUD, PROVIDER, MACHINE = "http://shop.test", "http://127.0.0.1:8090", "http://127.0.0.1:8091"
SELLS_WITHIN_S, ENDS_WITHIN_S = 120.0, 60.0
FINAL = {"successful", "make_failed", "not_paid", "failed"}


def get(url: str) -> Any:
    answer = requests.get(url, timeout=30)
    answer.raise_for_status()
    return answer.json()


def opened() -> tuple[str, str]:
    """The order and its payment, once the machine sells."""
    found: list[tuple[str, str]] = []

    def is_open() -> bool:
        asked = requests.post(f"{MACHINE}/api/qr", json={"drink_no": "americano", "size": 1}, timeout=30).json()
        if requests.get(asked["url"], timeout=30).status_code != 200:
            return False
        order = str(asked["order_uuid"])
        answer = requests.post(f"{CLOUD}/v1/initiate-payment", json={"order_id": order}, timeout=60)
        if answer.status_code == 200:
            found.append((order, str(answer.json()["redirect_url"]).rpartition("=")[2]))
        return bool(found)

    wait_until(is_open, SELLS_WITHIN_S, what="the machine to sell")
    return found[0]


def booked(payment: str) -> str:
    """What the provider says of it."""
    books = get(f"{PROVIDER}/sim/books")
    return next(str(one["object"]["status"]) for one in books["payments"] if one["id"] == payment)


def main() -> None:
    order, payment = opened()
    requests.post(f"{PROVIDER}/sim/pay/{payment}", json={}, timeout=30).raise_for_status()
    status = f"{CLOUD}/v1/order-status/{order}"
    wait_until(lambda: get(status)["status"] in FINAL, ENDS_WITHIN_S, what="the order's end")
    wait_until(lambda: booked(payment) in {"succeeded", "canceled"}, ENDS_WITHIN_S, what="the money's end")
    cups = [cup for cup in get(f"{MACHINE}/api/state")["cups"] if cup["order_uuid"] == order]
    print(f"order {get(status)['status']}, payment {booked(payment)}, cups {len(cups)}")


if __name__ == "__main__":
    main()
