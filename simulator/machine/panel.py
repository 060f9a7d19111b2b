"""The machine's front panel for a browser, and the same controls as JSON for tests and scripts. Loopback only.

Draws nothing itself: the page polls `/api/state` and moves; words for people are in `panel_words`.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
from flask import Flask, Response, jsonify, render_template, request
from werkzeug.exceptions import HTTPException

from protocol import json_text
from protocol.reasons import Size
from simulator.machine.controls import Controls, NoSuchDrink
from simulator.machine.faults import BadSetting, UnknownSwitch, setting_of
from simulator.machine.jobs import Sale
from simulator.machine.panel_words import GROUPS, WORDS, say
from simulator.machine.switches import SWITCHES

_MAX_BODY = 16 * 1024
_SHOWN_FIRST = ("no_water", "no_beans", "no_milk", "door_open", "silent", "mid_pour_crash", "unplugged", "slow")
_OFTEN = ("", "once:1", "once:2", "every:2", "every:3", "chance:0.2", "on:")
"""How often a switch of the whole list can be told to strike; "" is as it usually does."""
_THIS_MACHINE = frozenset({"127.0.0.1", "localhost"})
"""Where a cloud is that no phone reaches."""
_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; base-uri 'none'; object-src 'none'"


class BadRequest(ValueError):
    """The body is not what the call needs."""


def create_app(controls: Controls, home_url: str | None = None, on_repair: Callable[[], None] | None = None) -> Flask:
    """The panel of one machine; `home_url` is where its way back leads.

    `on_repair`: what else is mended when everything is, though no switch be on.
    """
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = _MAX_BODY
    _pages(app, controls, home_url, repairs_more=on_repair is not None)
    _looking(app, controls)
    _acting(app, controls, on_repair or _nothing)
    _answers_to_errors(app)
    return app


def _pages(app: Flask, controls: Controls, home_url: str | None, *, repairs_more: bool) -> None:
    @app.get("/")
    def panel() -> str:
        lang = "en" if request.args.get("lang") == "en" else "ru"
        first = [SWITCHES[name] for name in _SHOWN_FIRST]
        groups = [
            (title[lang], [switch for switch in SWITCHES.values() if switch.group == group])
            for group, title in GROUPS.items()
        ]
        page = {
            "lang": lang, "words": WORDS[lang], "menu": controls.menu(), "device": controls.device_uuid,
            "repairs_more": repairs_more,
        }  # fmt: skip
        return render_template(
            "panel.html",
            page=page,
            lang=lang,
            first=first,
            groups=groups,
            often=_OFTEN,
            home_url=home_url,
            phones_reach_it=urlsplit(controls.cloud_url).hostname not in _THIS_MACHINE,
            say=say,
            w=WORDS[lang],
        )

    @app.get("/health")
    def health() -> Response:
        return jsonify(status="healthy")

    @app.after_request
    def guard(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        return response


def _looking(app: Flask, controls: Controls) -> None:
    @app.get("/api/state")
    def state() -> Response:
        return jsonify(controls.state())

    @app.get("/api/menu")
    def menu() -> Response:
        return jsonify(controls.menu())

    @app.get("/api/faults")
    def faults() -> Response:
        active = controls.switches()
        return jsonify(
            [
                {
                    "name": switch.name,
                    "group": switch.group,
                    "says": switch.says,
                    "says_ru": switch.says_ru,
                    "lasting": switch.lasting,
                    "setting": msgspec.to_builtins(active.get(switch.name)),
                }
                for switch in SWITCHES.values()
            ]
        )


def _acting(app: Flask, controls: Controls, on_repair: Callable[[], None]) -> None:
    @app.post("/api/faults")
    def switch_on() -> Response:
        body = _body()
        name = _text(body, "name")
        options = {key: body.get(key) for key in ("n", "chance", "seconds", "command")}
        unknown = body.keys() - options.keys() - {"name", "mode"}
        if unknown:
            raise BadSetting(f"unknown: {', '.join(sorted(unknown))}")
        controls.switch_on(name, setting_of(name, body.get("mode"), **options))
        return faults_that_are_on()

    @app.delete("/api/faults/<name>")
    def switch_off(name: str) -> Response:
        controls.switch_off(name)
        return faults_that_are_on()

    @app.delete("/api/faults")
    def switch_all_off() -> Response:
        controls.switch_all_off()
        on_repair()
        return faults_that_are_on()

    def faults_that_are_on() -> Response:
        return jsonify({name: msgspec.to_builtins(setting) for name, setting in controls.switches().items()})

    @app.post("/api/qr")
    def qr() -> Response:
        body = _body()
        size = body.get("size", 1)
        if size not in tuple(Size) or isinstance(size, bool):
            raise BadRequest("size is 0, 1 or 2")
        link = controls.offer(_text(body, "drink_no"), Size(size))
        return jsonify(url=link.url, order_uuid=link.order_uuid, svg=link.svg())

    @app.post("/api/power")
    def power() -> Response:
        controls.cut_power()
        return jsonify(controls.state())

    @app.post("/api/local-drink")
    def local_drink() -> tuple[Response, int]:
        body = _body()
        kind = {"cash": Sale.PAID, "test": Sale.TEST}.get(str(body.get("kind", "cash")))
        if kind is None:
            raise BadRequest("kind is cash or test")
        if not controls.local_drink(_text(body, "drink_no"), kind):
            return _error("busy", "the machine cannot start this drink now"), 409
        return jsonify(controls.state()), 200


def _answers_to_errors(app: Flask) -> None:
    @app.errorhandler(UnknownSwitch)
    @app.errorhandler(NoSuchDrink)
    def unknown(error: Exception) -> tuple[Response, int]:
        return _error("unknown", str(error)), 404

    @app.errorhandler(BadSetting)
    @app.errorhandler(BadRequest)
    def malformed(error: Exception) -> tuple[Response, int]:
        return _error("bad_request", str(error)), 400

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> tuple[Response, int]:
        return _error(error.name.lower().replace(" ", "_"), error.description or error.name), error.code or 500


def _error(code: str, message: str) -> Response:
    return jsonify(error={"code": code, "message": message})


def _body() -> dict[str, Any]:
    try:
        body = json_text.loads(request.get_data())
    except json_text.NotJson:
        body = None
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    return body


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{key} must be a text")
    return value


def _nothing() -> None: ...
