"""The bot API of the messenger MAX (platform-api.max.ru): messages with buttons, changed in place.

A dead token is 401; 404 is a chat or a message that is not there.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from cloud.alerts.channels.http import AGAIN_S, Answer, Http, token_refused
from cloud.alerts.channels.sender import Address, Delivered, Letter, NotNow, Refused, Sending, Unknown, Why

LONGEST_TEXT = 3900
"""MAX takes 4000 characters."""


@dataclass(frozen=True)
class MaxMessenger:
    """One bot."""

    token: str
    url: str
    http: Http

    def send(self, address: Address, letter: Letter) -> Sending:
        """Send a new message."""
        to = {"chat_id": address.to, "disable_link_preview": "true"}  # of the console there is a login page to see
        return self._result(self.call("POST", "/messages", to, _message(letter)))

    def change(self, address: Address, ref: str, letter: Letter) -> Sending:
        """Change what was sent; where it is gone, send it anew."""
        answer = self.call("PUT", "/messages", {"message_id": ref}, _message(letter))
        if isinstance(answer, Answer) and answer.status == 404:
            return self.send(address, letter)
        result = self._result(answer)
        return Delivered(ref) if isinstance(result, Delivered) else result

    def call(
        self, verb: str, path: str, params: dict[str, str], body: dict[str, Any] | None = None, answer_s: float = 10.0
    ) -> Answer | Sending:
        """Ask the bot API something."""
        headers = {"Authorization": self.token, "Content-Type": "application/json"}
        payload = None if body is None else msgspec.json.encode(body)
        return self.http.ask(verb, self.url + path, payload, headers, params, answer_s)

    def _result(self, answer: Answer | Sending) -> Sending:
        if not isinstance(answer, Answer):
            return answer
        if answer.status == 200 and answer.body.get("success") is not False:
            body = (answer.body.get("message") or {}).get("body") or {}
            return Delivered(str(body.get("mid", "")))
        if answer.status == 429:
            return NotNow(answer.retry_after_s or AGAIN_S, Why.TOO_MANY)
        if answer.status == 401:
            return token_refused()
        if answer.status in {400, 403, 404}:
            return Refused(str(answer.body.get("message", ""))[:120] or f"HTTP {answer.status}")
        return Unknown(f"HTTP {answer.status}")


def _message(letter: Letter) -> dict[str, Any]:
    buttons = [{"type": "callback", "text": each.label, "payload": each.data} for each in letter.buttons]
    keyboard = [{"type": "inline_keyboard", "payload": {"buttons": [buttons]}}] if buttons else []
    text = letter.text if len(letter.text) <= LONGEST_TEXT else letter.text[: LONGEST_TEXT - 1] + "…"
    return {"text": text, "attachments": keyboard}
