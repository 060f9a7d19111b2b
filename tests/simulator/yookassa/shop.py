"""A shop for tests: calls the simulated API over real HTTP, exactly as written, and reads the samples."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests

from simulator.yookassa import YooKassaSimulator

START = datetime(2026, 3, 2, 7, 15, 20, 104_000, tzinfo=UTC)  # when the samples were made
SAMPLES = Path(__file__).parent / "samples"
COFFEE: dict[str, Any] = {
    "amount": {"value": "150.00", "currency": "RUB"},
    "confirmation": {"type": "redirect", "return_url": "https://pay.example.com/m/17/r/7f3a"},
    "description": "Капучино 200 мл, автомат 17",
    "metadata": {"order_id": "ord_01JNABCDEF", "machine_id": "17"},
}
SBP: dict[str, Any] = {"payment_method_data": {"type": "sbp"}}


def sample(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def error_of(answer: requests.Response) -> tuple[int, dict[str, Any]]:
    """The code and the body without its random id, to compare with a sample."""
    return answer.status_code, {name: value for name, value in answer.json().items() if name != "id"}


def sample_error(name: str) -> tuple[int, dict[str, Any]]:
    body = sample(f"errors/{name}")
    body.pop("id", None)
    return int(name[:3]), body


class TestShop:
    """Makes up a fresh key for each call that gives none."""

    __test__ = False

    def __init__(self, simulator: YooKassaSimulator, shop_id: str = "100500", secret: str = "test_secret") -> None:
        self.simulator = simulator
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.auth = (shop_id, secret)

    def get(self, path: str, **query: str) -> requests.Response:
        return self.session.get(self.simulator.url + path, params=query, timeout=10)

    def post(
        self,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        key: str | None = None,
        timeout: float = 10,
        content_type: str = "application/json",
    ) -> requests.Response:
        headers = {"Content-Type": content_type, "Idempotence-Key": uuid4().hex if key is None else key}
        data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        return self.session.post(self.simulator.url + path, data=data, headers=headers, timeout=timeout)

    def create(self, **changes: Any) -> dict[str, Any]:
        return self._good(self.post("/payments", COFFEE | changes))

    def payment(self, payment_id: str) -> dict[str, Any]:
        return self._good(self.get(f"/payments/{payment_id}"))

    def paid(self, **changes: Any) -> dict[str, Any]:
        """A payment whose buyer has paid: by SBP where that was asked for, else by card."""
        created = self.create(**changes)
        method = changes.get("payment_method_data", {}).get("type", "bank_card")
        self.simulator.pay(created["id"], method=method)
        return self.payment(created["id"])

    def captured(self, **changes: Any) -> dict[str, Any]:
        return self.paid(capture=True, **changes)

    def refund(self, payment_id: str, value: str = "150.00", **more: Any) -> requests.Response:
        body = {"payment_id": payment_id, "amount": {"value": value, "currency": "RUB"}} | more
        return self.post("/refunds", body)

    def sim(self, method: str, path: str, body: Any = None) -> requests.Response:
        return self.session.request(method, f"{self.simulator.address}/sim{path}", json=body, timeout=10)

    def fault(self, **fault: Any) -> None:
        self._good(self.sim("POST", "/faults", fault))

    def booked(self, payment_id: str) -> dict[str, int]:
        books = self._good(self.sim("GET", "/books"))
        (money,) = (entry["kopecks"] for entry in books["payments"] if entry["id"] == payment_id)
        return dict(money)

    @staticmethod
    def _good(answer: requests.Response) -> dict[str, Any]:
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


def ids(items: list[dict[str, Any]]) -> list[str]:
    return [item["id"] for item in items]


def walk(shop: TestShop, path: str, **query: str) -> list[list[str]]:
    """The ids of each page of a list, to its end."""
    pages = []
    while True:
        page = shop.get(path, **query).json()
        pages.append(ids(page["items"]))
        if "next_cursor" not in page:
            return pages
        query["cursor"] = page["next_cursor"]
