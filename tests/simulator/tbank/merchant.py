"""A merchant for tests: calls the simulated bank over real HTTP, signed as the bank wants it, and hears its news."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

from simulator.tbank import TBankSimulator

ORDER: dict[str, Any] = {"Amount": 15000, "OrderId": "ord_01JNABCDEF", "Description": "Капучино 200 мл, автомат 17"}


def token(message: dict[str, Any], password: str) -> str:
    """By the words of the description, not by the simulator's code."""
    flat = {name: value for name, value in message.items() if name != "Token" and not isinstance(value, dict | list)}
    flat["Password"] = password
    texts = [json.dumps(flat[k]) if isinstance(flat[k], bool) else str(flat[k]) for k in sorted(flat)]
    return hashlib.sha256("".join(texts).encode()).hexdigest()


class Merchant:
    """`call` signs; `raw` sends what it is given."""

    def __init__(self, bank: TBankSimulator, key: str = "1234567890123DEMO", password: str = "test_password") -> None:
        self.bank, self.key, self.password = bank, key, password
        self.session = requests.Session()
        self.session.trust_env = False

    def call(self, method: str, **message: Any) -> dict[str, Any]:
        whole = {"TerminalKey": self.key, **message}
        answer = self.raw(method, json.dumps(whole | {"Token": token(whole, self.password)}).encode())
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def raw(self, method: str, body: bytes, kind: str = "application/json") -> requests.Response:
        return self.session.post(f"{self.bank.url}/{method}", data=body, headers={"Content-Type": kind}, timeout=10)

    def open(self, **more: Any) -> str:
        told = self.call("Init", **(ORDER | more))
        assert told["Success"], told
        return str(told["PaymentId"])

    def held(self, **more: Any) -> str:
        payment_id = self.open(**({"PayType": "T"} | more))
        self.bank.pay(payment_id)
        return payment_id

    def taken(self, method: str = "card", **more: Any) -> str:
        payment_id = self.open(**({"PayType": "O"} | more))
        self.bank.pay(payment_id, method)
        return payment_id

    def status(self, payment_id: str) -> str:
        return str(self.call("GetState", PaymentId=payment_id)["Status"])

    def sim(self, method: str, path: str, body: Any = None) -> requests.Response:
        return self.session.request(method, f"{self.bank.address}/sim{path}", json=body, timeout=10)


class Listener(ThreadingHTTPServer):
    """Takes notifications; `answers` (status, body) are used up first, then 200 `OK`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.heard: list[dict[str, Any]] = []
        self.answers: list[tuple[int, bytes]] = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/tbank-webhook"

    @property
    def statuses(self) -> list[str]:
        return [news["Status"] for news in self.heard]

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Listener

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, words = self.server.answers.pop(0) if self.server.answers else (200, b"OK")
        self.send_response(status)
        self.send_header("Content-Length", str(len(words)))
        self.end_headers()
        self.wfile.write(words)
        self.server.heard.append(json.loads(body))

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""
