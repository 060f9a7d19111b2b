"""What a merchant changes of the defaults: a kind switched off, or told sooner or later."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.alerts.kinds import OF_THE_PLATFORM, TERMS, Kind
from cloud.alerts.models import Rule
from cloud.database.transaction import Transaction

LONGEST_PENDING_S = 24 * 3600.0


@dataclass(frozen=True)
class RuleOfKind:
    """How a kind is treated at a merchant. Seconds."""

    enabled: bool
    pending_s: float


def rules_of(session: Session, merchant_id: str) -> Mapping[Kind, RuleOfKind]:
    """Every kind that concerns a merchant, as it stands there."""
    changed = {rule.kind: rule for rule in session.scalars(select(Rule).where(Rule.merchant_id == merchant_id))}
    return {kind: _rule(kind, changed.get(kind.value)) for kind in Kind if kind not in OF_THE_PLATFORM}


def set_rules(tx: Transaction, merchant_id: str, wanted: Mapping[Kind, RuleOfKind]) -> None:
    """Treat these kinds so from now on; a length of time is cut to a day at most."""
    for kind, rule in wanted.items():
        pending = min(max(rule.pending_s, 0.0), LONGEST_PENDING_S)
        is_default = pending == TERMS[kind].pending.total_seconds()
        tx.session.merge(
            Rule(
                merchant_id=merchant_id, kind=kind.value, enabled=rule.enabled,
                pending_s=None if is_default else pending,
            )
        )  # fmt: skip
    tx.session.flush()


def _rule(kind: Kind, row: Rule | None) -> RuleOfKind:
    default = TERMS[kind].pending.total_seconds()
    if row is None:
        return RuleOfKind(enabled=True, pending_s=default)
    return RuleOfKind(row.enabled, default if row.pending_s is None else row.pending_s)
