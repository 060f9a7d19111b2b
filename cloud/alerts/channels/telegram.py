"""Telegram's bot API. Its address and a proxy are settings: in some countries it cannot be reached directly.

Its answers say more than a status: how long to wait (`retry_after`), and that a group has become a supergroup with
another number (`migrate_to_chat_id`). Both are obeyed. A token that is dead (401) or no token at all (404) says nothing
of the chat, which is missing with 400.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from cloud.alerts.channels.http import AGAIN_S, Answer, Http, token_refused
from cloud.alerts.channels.sender import Address, Delivered, Letter, Moved, NotNow, Refused, Sending, Unknown, Why

LONGEST_TEXT = 4000
"""Telegram takes 4096 characters."""
_GONE = ("message to edit not found", "message can't be edited", "message_id_invalid")
_SAME = "message is not modified"


@dataclass(frozen=True)
class Telegram:
    """One bot."""

    token: str
    url: str
    http: Http

    def send(self, address: Address, letter: Letter) -> Sending:
        """Send a new message."""
        return self._result(self.call("sendMessage", _message(address, letter)))

    def change(self, address: Address, ref: str, letter: Letter) -> Sending:
        """Change what was sent; where it is gone, send it anew."""
        answer = self.call("editMessageText", {"message_id": int(ref), **_message(address, letter)})
        said = _description(answer).lower()  # one of them comes in capitals
        if _SAME in said:
            return Delivered(ref)
        if any(words in said for words in _GONE):
            return self.send(address, letter)
        result = self._result(answer)
        return Delivered(ref) if isinstance(result, Delivered) else result

    def call(self, method: str, values: dict[str, Any], answer_s: float = 10.0) -> Answer | Sending:
        """Ask the bot API something."""
        headers = {"Content-Type": "application/json"}
        address = f"{self.url}/bot{self.token}/{method}"
        return self.http.ask("POST", address, msgspec.json.encode(values), headers, answer_s=answer_s)

    def _result(self, answer: Answer | Sending) -> Sending:
        if not isinstance(answer, Answer):
            return answer
        parameters = answer.body.get("parameters") or {}
        if answer.status == 200 and answer.body.get("ok") is True:
            return Delivered(str((answer.body.get("result") or {}).get("message_id", "")))
        if "migrate_to_chat_id" in parameters:
            return Moved(str(parameters["migrate_to_chat_id"]))
        if answer.status == 429:
            return NotNow(float(parameters.get("retry_after", answer.retry_after_s or AGAIN_S)), Why.TOO_MANY)
        if answer.status in {401, 404}:
            return token_refused()
        if answer.status in {400, 403}:
            return Refused(_description(answer)[:120] or f"HTTP {answer.status}")
        return Unknown(f"HTTP {answer.status}")


def _message(address: Address, letter: Letter) -> dict[str, Any]:
    text = letter.text if len(letter.text) <= LONGEST_TEXT else letter.text[: LONGEST_TEXT - 1] + "…"
    message: dict[str, Any] = {
        "chat_id": address.to, "text": text, "link_preview_options": {"is_disabled": True},
    }  # fmt: skip
    rows: list[list[dict[str, str]]] = [[{"text": each.label, "callback_data": each.data} for each in letter.buttons]]
    message["reply_markup"] = {"inline_keyboard": rows if letter.buttons else []}
    return message


def _description(answer: Answer | Sending) -> str:
    return str(answer.body.get("description", "")) if isinstance(answer, Answer) else ""
