"""Pages about rules: which kinds of trouble a merchant wants to hear of, and how soon."""

from collections.abc import Mapping
from math import isfinite

from flask import request
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response as BaseResponse

from cloud.access.acts import Act
from cloud.access.journal import Subject, difference
from cloud.alerts.kinds import Kind
from cloud.alerts.rule_settings import RuleOfKind, rules_of, set_rules
from cloud.console.alerts import readers
from cloud.console.alerts.channels import owner_named_in_form
from cloud.console.alerts.routes import section
from cloud.console.shell.request_context import Done, RequestContext
from cloud.database.transaction import Transaction

__all__ = ["section"]


@section.page("/alerts/rules", Act.EDIT_ALERTS)
def rules(context: RequestContext) -> str:
    """What is watched, for one merchant."""
    with context.read() as session:
        owners = readers.merchants(session, context.scope)
        chosen = request.args.get("of", owners[0][0] if owners else "")
        if not context.scope.covers(chosen):
            raise BadRequest
        found = rules_of(session, chosen)
    return context.render("alerts/rules.html", rules=found, owners=owners, chosen=chosen)


@section.act("/alerts/rules/save", Act.EDIT_ALERTS)
def save_rules(context: RequestContext) -> BaseResponse:
    """What is watched from now on."""
    owner = owner_named_in_form(context)

    def work(tx: Transaction) -> Done[None]:
        before = rules_of(tx.session, owner)
        set_rules(tx, owner, {kind: _wanted(kind, rule) for kind, rule in before.items()})
        return Done(None, *difference(entry_of(before), entry_of(rules_of(tx.session, owner))))

    context.perform(Act.EDIT_ALERTS, Subject("alert_rules", owner, owner), "", work)
    context.say("alerts.saved")
    return context.go("alerts.rules", of=owner)


def _minutes(text: str) -> float | None:
    """Seconds, from minutes as a person writes them; None where that is no length of time."""
    try:
        seconds = float(text.replace(",", ".")) * 60
    except ValueError:
        return None
    return seconds if isfinite(seconds) else None


def _wanted(kind: Kind, rule: RuleOfKind) -> RuleOfKind:
    pending_s = _minutes(request.form.get(f"pending-{kind.value}", ""))
    return RuleOfKind(f"on-{kind.value}" in request.form, rule.pending_s if pending_s is None else pending_s)


def entry_of(rules: Mapping[Kind, RuleOfKind]) -> dict[str, object]:
    """What the journal keeps of them."""
    return {kind.value: [rule.enabled, rule.pending_s] for kind, rule in rules.items()}
