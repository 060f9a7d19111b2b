"""The chats as a person sees them: every message with its buttons, which can be pressed, and what letters said."""

from flask import Blueprint, Response, abort, redirect, render_template, request
from flask.typing import ResponseReturnValue

from simulator.messengers.chats import Chats

PERSON = "42"
"""The person who presses here."""


def create_blueprint(chats: Chats) -> Blueprint:
    """The page and its style."""
    blueprint = Blueprint("page", __name__, template_folder="templates", static_folder="static")

    @blueprint.get("/")
    def show() -> str:
        names = dict.fromkeys(message.chat for message in chats.messages())
        return render_template("messengers.html", chats={name: chats.messages(name) for name in names})

    @blueprint.post("/press")
    def press() -> ResponseReturnValue:
        ref, data = request.form.get("ref", ""), request.form.get("data", "")
        message = next((each for each in chats.messages() if each.ref == ref), None)
        if message is None or data not in {each["data"] for each in message.buttons}:
            abort(404)
        chats.press(message, data, PERSON)
        return redirect("/")

    @blueprint.post("/write")
    def write() -> ResponseReturnValue:
        chats.write(request.form.get("chat", "") or PERSON, PERSON, request.form.get("text", "")[:200])
        return redirect("/")

    @blueprint.after_request
    def guard(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = "default-src 'self'"
        return response

    return blueprint
