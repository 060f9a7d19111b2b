"""The two bot APIs and the merchant's program, as far as alerts use them, over HTTP."""

from typing import Any

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from protocol import json_text
from simulator.messengers.chats import Chats, Message
from simulator.messengers.faults import Fault, FaultKind
from simulator.shell.faults import FaultBoard
from simulator.shell.service import break_connection

DONE_ALL_THE_SAME = frozenset({FaultKind.LOST_ANSWER, FaultKind.HANGS})


class Bots:
    """Answers as the real ones do."""

    def __init__(self, token: str, chats: Chats, faults: FaultBoard[Fault]) -> None:
        self.token = token
        self._chats = chats
        self._faults = faults

    def blueprint(self) -> Blueprint:
        """All routes."""
        blueprint = Blueprint("bots", __name__)
        blueprint.add_url_rule("/bot<token>/<method>", "telegram", self._telegram, methods=["POST"])
        blueprint.add_url_rule("/max/messages", "max", self._max, methods=["POST", "PUT"])
        blueprint.add_url_rule("/max/updates", "max_updates", self._max_updates, methods=["GET"])
        blueprint.add_url_rule("/max/answers", "max_answers", self._max_answers, methods=["POST"])
        blueprint.add_url_rule("/program/<name>", "program", self._program, methods=["POST"])
        return blueprint

    def _telegram(self, token: str, method: str) -> ResponseReturnValue:
        if ":" not in token:
            return jsonify(ok=False, error_code=404, description="Not Found"), 404
        if token != self.token:
            return jsonify(ok=False, error_code=401, description="Unauthorized"), 401
        said: dict[str, Any] = json_text.decode(request.get_data(), dict[str, Any])
        if method == "getUpdates":
            return jsonify(ok=True, result=self._chats.updates(max(0, int(said.get("offset", 0)) - 1)))
        if method == "answerCallbackQuery":
            self._chats.answers.append(said)
            return jsonify(ok=True, result=True)
        fault = self._faults.strike(method)
        if fault is not None and fault.kind not in DONE_ALL_THE_SAME:
            return _telegram_fault(fault)
        keyboard = said.get("reply_markup", {}).get("inline_keyboard", [])
        buttons = [{"text": each["text"], "data": each["callback_data"]} for row in keyboard for each in row]
        message = self._done(said.get("chat_id", ""), str(said.get("message_id", "")), said["text"], buttons)
        if message is None:
            return jsonify(ok=False, error_code=400, description="Bad Request: message to edit not found"), 400
        self._lose_answer(fault)
        return jsonify(ok=True, result={"message_id": int(message.ref)})

    def _max(self) -> ResponseReturnValue:
        if request.headers.get("Authorization") != self.token:
            return jsonify(code="verify.token", message="Invalid access_token"), 401
        fault = self._faults.strike("messages")
        if fault is not None and fault.kind not in DONE_ALL_THE_SAME:
            return _max_fault(fault)
        said: dict[str, Any] = json_text.decode(request.get_data(), dict[str, Any])
        rows = [row for part in said.get("attachments", []) for row in part["payload"]["buttons"]]
        buttons = [{"text": each["text"], "data": each["payload"]} for row in rows for each in row]
        message = self._done(request.args.get("chat_id", ""), request.args.get("message_id", ""), said["text"], buttons)
        if message is None:
            return jsonify(code="not.found", message="message not found"), 404
        self._lose_answer(fault)
        return jsonify(success=True, message={"body": {"mid": message.ref}})

    def _max_updates(self) -> ResponseReturnValue:
        after = int(request.args.get("marker", "0"))
        found = self._chats.max_updates(after)
        return jsonify(updates=found, marker=after + len(found))

    def _max_answers(self) -> ResponseReturnValue:
        said: dict[str, Any] = json_text.decode(request.get_data(), dict[str, Any])
        self._chats.answers.append({"callback_query_id": request.args.get("callback_id"), "text": said["notification"]})
        return jsonify(success=True)

    def _program(self, name: str) -> ResponseReturnValue:
        fault = self._faults.strike("program")
        if fault is not None and fault.kind not in DONE_ALL_THE_SAME:
            return "", {FaultKind.TOO_MANY: 429, FaultKind.REFUSED: 410}.get(fault.kind, 500)
        signed = request.headers.get("Coffee-Signature", "")
        body = request.get_data()
        said: dict[str, Any] = json_text.decode(body, dict[str, Any])
        self._chats.post(name, said["text"], [], signature=signed, body=body, said=said)
        self._lose_answer(fault)
        return ""

    def _lose_answer(self, fault: Fault | None) -> None:
        if fault is not None and fault.kind is FaultKind.HANGS:
            self._faults.hang(fault.seconds)
        if fault is not None:
            break_connection()

    def _done(self, chat: str, ref: str, text: str, buttons: list[dict[str, str]]) -> Message | None:
        return self._chats.change(ref, text, buttons) if ref else self._chats.post(chat, text, buttons)


def _telegram_fault(fault: Fault) -> ResponseReturnValue:
    match fault.kind:
        case FaultKind.TOO_MANY:
            waits = {"retry_after": int(fault.seconds)}
            return jsonify(ok=False, error_code=429, description="Too Many Requests", parameters=waits), 429
        case FaultKind.MOVED:
            to = {"migrate_to_chat_id": int(fault.to)}
            words = "Bad Request: group chat was upgraded to a supergroup chat"
            return jsonify(ok=False, error_code=400, description=words, parameters=to), 400
        case FaultKind.REFUSED:
            words = "Forbidden: bot was kicked from the group chat"
            return jsonify(ok=False, error_code=403, description=words), 403
        case _:
            return jsonify(ok=False, error_code=500, description="Internal Server Error"), 500


def _max_fault(fault: Fault) -> ResponseReturnValue:
    if fault.kind is FaultKind.TOO_MANY:
        return jsonify(code="too.many.requests", message="rate"), 429, {"Retry-After": str(int(fault.seconds))}
    if fault.kind is FaultKind.REFUSED:
        return jsonify(code="chat.denied", message="the bot is not in this chat"), 403
    return jsonify(code="internal", message="error"), 500
