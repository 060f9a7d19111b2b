"""Pages of the agent's versions: what is kept, how far a rollout is, and the buttons that begin, hold and end it."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from flask import make_response, request
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as BaseResponse

from cloud.access.acts import Act
from cloud.console.releases import readers
from cloud.console.releases.readers import LOOKS, RELEASE, ROLLOUT
from cloud.console.releases.texts_en import EN
from cloud.console.releases.texts_ru import RU
from cloud.console.shell.paging import AFTER, Key
from cloud.console.shell.request_context import Done, RequestContext
from cloud.console.shell.section import Nav, Section
from cloud.database.transaction import Transaction
from cloud.releases import rollouts, standing, waves
from cloud.releases.models import Rollout, RolloutState
from cloud.releases.rollouts import CannotRelease, Plan, Turned
from protocol.bundle import number

section = Section("releases", {"ru": RU, "en": EN}, Nav("releases.show", Act.SEE_ROLLOUTS, icon="releases", order=85))
RENEWED_S = 5
FIRST_FEW = 8
"""Machines of the latest rollout on the first page; its own page has them all."""
SOAKS = (600, 3600, 4 * 3600, 86400)
MOST_NAMED = 50
"""Machines named as the first."""
COLOURS = {
    RolloutState.RUNNING.value: "", RolloutState.PAUSED.value: "warn", RolloutState.STOPPED.value: "bad",
    RolloutState.DONE.value: "good",
}  # fmt: skip


@section.page("/releases", Act.SEE_ROLLOUTS)
def show(context: RequestContext) -> str:
    """The versions, the rollout in course or the last one, and those before it."""
    with context.read() as session:
        latest, current = rollouts.latest(session), rollouts.going_on(session)
        kept, others = readers.versions(session, context.scope)
        listed = readers.every(session, Key.read(request.args.get(AFTER, "")))
    earlier = {one.version for one in kept if latest is not None and number(one.version) < number(latest.version)}
    return context.render(
        "releases/show.html", kept=kept, others=others, listed=listed, goes_on=current is not None, earlier=earlier,
        has_keys=bool(context.cloud.settings.release_keys), **_shown(context, current or latest, whole=False),
    )  # fmt: skip


@section.page("/releases/rollouts/<rollout_id>", Act.SEE_ROLLOUTS, ROLLOUT)
def rollout(context: RequestContext, rollout_id: str) -> str:
    """One rollout, machine by machine."""
    return context.render("releases/rollout.html", **_shown(context, _rollout(context, rollout_id), whole=True))


@section.page("/releases/rollouts/<rollout_id>/now", Act.SEE_ROLLOUTS, ROLLOUT)
def living(context: RequestContext, rollout_id: str) -> BaseResponse:
    """What of it changes; nothing (204) while that is what the page shows, the whole page when its buttons change."""
    one = _rollout(context, rollout_id)
    if one.state != request.args.get("was", one.state):
        return BaseResponse(status=204, headers={"HX-Refresh": "true"})
    shown = _shown(context, one, whole=request.args.get("whole") == "yes")
    if shown["seen"] == request.args.get("seen"):
        return BaseResponse(status=204)
    return make_response(context.render("releases/living.html", **shown))


@section.page("/releases/versions/<version>", Act.START_ROLLOUT, RELEASE, confirmed=True)
def plan(context: RequestContext, version: str) -> str:
    """How it is to be brought out."""
    usual = {"waves": ", ".join(waves.DEFAULT), "soak": "3600", "older": request.args.get("older", "")}
    return _form(context, version, usual)


@section.act("/releases/versions/<version>", Act.START_ROLLOUT, RELEASE)
def start(context: RequestContext, version: str) -> BaseResponse:
    """Bring it out."""
    wanted = _wanted(version)

    def work(tx: Transaction) -> Done[int]:
        turned = rollouts.start(tx, wanted, context.author.name, context.now)
        return Done(turned.rollout.id, turned.before, turned.after, turned.subject)

    try:
        rollout_id = context.perform(Act.START_ROLLOUT, context.about(), "", work)
    except waves.BadWaves:
        return make_response(_form(context, version, request.form, "releases.cannot.waves"), 422)
    except CannotRelease as cannot:
        return make_response(_form(context, version, request.form, f"releases.cannot.{cannot.code}", cannot.about), 422)
    context.say("releases.started", version=version)
    return context.go("releases.rollout", rollout_id=rollout_id)


@section.act("/releases/rollouts/<rollout_id>/pause", Act.PAUSE_ROLLOUT, ROLLOUT)
def pause(context: RequestContext, rollout_id: str) -> BaseResponse:
    """Ask no more machines until a person resumes it."""
    return _turn(context, Act.PAUSE_ROLLOUT, rollout_id, lambda tx: rollouts.pause(tx, int(rollout_id)))


@section.act("/releases/rollouts/<rollout_id>/resume", Act.RESUME_ROLLOUT, ROLLOUT)
def resume(context: RequestContext, rollout_id: str) -> BaseResponse:
    """Go on, with the machines that failed or without them."""
    again = request.form.get("again") == "yes"
    return _turn(context, Act.RESUME_ROLLOUT, rollout_id,
                 lambda tx: rollouts.resume(tx, context.now, int(rollout_id), again=again))  # fmt: skip


@section.act("/releases/rollouts/<rollout_id>/stop", Act.STOP_ROLLOUT, ROLLOUT)
def stop(context: RequestContext, rollout_id: str) -> BaseResponse:
    """For good; a machine that was asked goes on by itself."""
    why = request.form.get("why", "").strip()
    return _turn(context, Act.STOP_ROLLOUT, rollout_id,
                 lambda tx: rollouts.stop(tx, why, context.now, int(rollout_id)), why)  # fmt: skip


def _turn(
    context: RequestContext, act: Act, rollout_id: str, turn: Callable[[Transaction], Turned], why: str = ""
) -> BaseResponse:
    def work(tx: Transaction) -> Done[str]:
        turned = turn(tx)
        return Done(turned.rollout.state, turned.before, turned.after)

    try:
        state = context.perform(act, context.about(), why, work)
    except CannotRelease as cannot:
        context.say(f"releases.cannot.{cannot.code}", good=False, about=cannot.about)
    else:
        context.say(f"releases.turned.{state}")
    return context.go("releases.rollout", rollout_id=rollout_id)


def _rollout(context: RequestContext, rollout_id: str) -> Rollout:
    with context.read() as session:
        found = session.get(Rollout, int(rollout_id))
    if found is None:
        raise NotFound
    return found


def _shown(context: RequestContext, one: Rollout | None, *, whole: bool) -> dict[str, Any]:
    """What pages show of a rollout: `whole`, or its worst machines alone."""
    if one is None:
        return {"rollout": None, "colours": COLOURS}
    stands, after = (request.args.get("stands", ""), request.args.get(AFTER, "")) if whole else ("", "")
    with context.read() as session:
        found = readers.progress(session, context.scope, one, stands, after, readers.PAGE if whole else FIRST_FEW)
        latest = rollouts.latest(session)
        wait = standing.wait(session, one, context.now) if one.state == RolloutState.RUNNING.value else None
    around: dict[str, Any] = {
        "rollout": one, "whole": whole, "colours": COLOURS, "stands": stands, "after": after,
        "has_failed": found.has_failed, "is_latest": latest is not None and latest.id == one.id,
    }  # fmt: skip
    html = context.render(
        "releases/progress.html", found=found, wait=wait, looks=LOOKS, why=lambda code: _why(context, code),
        soaked_at=one.settled_at + timedelta(seconds=one.soak_s) if one.settled_at else None, **around,
    )  # fmt: skip
    seen = hashlib.sha256(html.encode()).hexdigest()[:16]
    return {**around, "living": html, "seen": seen, "renewed_s": RENEWED_S}


def _why(context: RequestContext, code: str) -> str:
    """A machine's code in words; as it came where we know none."""
    key = f"releases.why.{code}"
    return str(context.texts(key)) if code and context.texts.has(key) else code


def _wanted(version: str) -> Plan:
    form = request.form
    soak = form.get("soak", "")
    return Plan(
        version, tuple(one.strip() for one in form.get("waves", "").split(",")),
        int(soak) if soak in map(str, SOAKS) else SOAKS[1], form.get("older") == "yes", form.get("of", ""),
        [name for one in form.get("first", "").split(",")[:MOST_NAMED] if (name := one.strip())],
    )  # fmt: skip


def _form(context: RequestContext, version: str, typed: Mapping[str, str], problem: str = "", about: str = "") -> str:
    with context.read() as session:
        sizes = readers.usual_sizes(session, context.scope)
    soaks = [(str(seconds), context.texts.lasting(timedelta(seconds=seconds))) for seconds in SOAKS]
    return context.render("releases/plan.html", version=version, typed=typed, soaks=soaks, sizes=sizes, problem=problem,
                          about=about)  # fmt: skip
