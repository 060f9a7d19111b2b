"""How the bank posts a notification: accepted is HTTP 200 whose body is `OK` and nothing else."""

import requests

from simulator.shell.delivery import HttpPost


class NotAcknowledged(requests.RequestException):
    """HTTP 200, but the body is not `OK`."""


class OkPost(HttpPost):
    """Posts one body and tells the HTTP status."""

    def _judge(self, status: int, said: bytes) -> None:
        if status == requests.codes.ok and said != b"OK":
            raise NotAcknowledged
