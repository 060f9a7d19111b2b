"""A signed webhook: JSON to the merchant's own program, `Coffee-Signature: t=SECONDS,v1=HEX` over time and body.

`HEX` is the HMAC-SHA256, by the channel's secret, of the time, a dot and the body. A receiver refuses old times.
"""

import hashlib
import hmac
from dataclasses import dataclass

import msgspec

from cloud.alerts.channels.http import AGAIN_S, Answer, Http
from cloud.alerts.channels.sender import Address, Delivered, Letter, NotNow, Refused, Sending, Unknown, Why
from cloud.background.loops import Clock


@dataclass(frozen=True)
class SignedWebhook:
    """Calls addresses merchants have chosen."""

    http: Http
    now: Clock

    def send(self, address: Address, letter: Letter) -> Sending:
        """Send one call; what is not 2xx is tried again, unless it says that it never will take it (410, 401, 403)."""
        body = msgspec.json.encode({"id": letter.key, "repeated": letter.repeated, "text": letter.text, **letter.facts})
        at = int(self.now().timestamp())
        headers = {
            "Content-Type": "application/json", "Coffee-Delivery": letter.key,
            "Coffee-Signature": f"t={at},v1={signature(address.secret, at, body)}",
        }  # fmt: skip
        answer = self.http.ask("POST", address.to, body, headers)
        if not isinstance(answer, Answer):
            return answer
        if 200 <= answer.status < 300:
            return Delivered(letter.key)
        if answer.status in {401, 403, 404, 410}:
            return Refused(f"HTTP {answer.status}")
        if answer.status == 429:
            return NotNow(answer.retry_after_s or AGAIN_S, Why.TOO_MANY)
        return Unknown(f"HTTP {answer.status}")

    def change(self, address: Address, ref: str, letter: Letter) -> Sending:
        """Tell it as well."""
        return self.send(address, letter)


def signature(secret: str, at: int, body: bytes) -> str:
    """What the receiver computes too."""
    return hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
