"""A reconciled day in words for a person, and as JSON for a program. Pure."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from cloud.operators.at_risk_report import roubles
from cloud.payments.reconcile.cups import Comparison
from cloud.payments.reconcile.days import ZONE, Day
from cloud.payments.reconcile.kinds import MEANINGS, NO_MONEY, Kind
from cloud.payments.reconcile.models import FoundDifference, Reconciliation, State
from cloud.payments.reconcile.reconciler import Report

_WORDS = {
    State.OPEN.value: "UNEXPLAINED",
    State.MENDING.value: "ASKED AGAIN",
    State.EXPLAINED.value: "explained",
    State.CLOSED.value: "settled",
}
_FIGURES = (
    "payments_there", "payments_here", "refunds_there", "taken_there", "taken_here", "returned_there", "returned_here",
)  # fmt: skip


def as_text(day: Day, reports: Sequence[Report]) -> str:
    """For a terminal."""
    head = f"{day.date}, a day in {ZONE.key}: {day.start:%Y-%m-%d %H:%M} to {day.end:%Y-%m-%d %H:%M} UTC"
    return "\n".join([head, *(line for report in reports for line in _lines(report))])


def as_json(day: Day, reports: Sequence[Report]) -> str:
    """For a program; kopecks, times as ISO 8601 in UTC."""
    told = {
        "day": day.date.isoformat(),
        "zone": ZONE.key,
        "from": day.start.isoformat(),
        "until": day.end.isoformat(),
        "clean": all(report.is_clean for report in reports),
        "shops": [_shop(report) for report in reports if report.row.scenario],
        "machines": [_shop(report) for report in reports if not report.row.scenario],
    }
    return json.dumps(told, ensure_ascii=False, indent=2)


def _lines(report: Report) -> Iterator[str]:
    row = report.row
    yield ""
    name = f"{row.scenario}, shop {row.account_id}" if row.scenario else "machines"
    yield f"{row.merchant_id}, {name}: {_verdict(report)}"
    if row.scenario:
        yield from _sums(row)
    for found in report.findings:
        yield from _finding(found)


def _verdict(report: Report) -> str:
    bad = sum(found.state in {State.OPEN, State.MENDING} for found in report.findings)
    words = f"{bad} not explained" if bad else "all explained" if report.findings else "all agree"
    if not report.row.scenario:
        words = _of_machines(words, report.comparison)
    if not report.row.complete:
        words += f"; NOT COMPLETE: {report.row.problem}"
    elif report.row.problem:
        words += f"; {report.row.problem}"
    return words


def _of_machines(verdict: str, of: Comparison) -> str:
    """The verdict and of how many it is: a machine without two counts for this day to judge agrees with nothing."""
    left = of.machines - of.compared
    words = f"{verdict}; {of.compared} of {of.machines} machines compared" if of.compared else "nothing to compare"
    return f"{words}; {left} without counts to compare" if left else words


def _sums(row: Reconciliation) -> Iterator[str]:
    yield f"  payments  {row.payments_there} there, {row.payments_here} here; {row.refunds_there} refunds there"
    yield f"  taken     {roubles(row.taken_there)} there, {roubles(row.taken_here)} here"
    yield f"  returned  {roubles(row.returned_there)} there, {roubles(row.returned_here)} here"


def _finding(found: FoundDifference) -> Iterator[str]:
    meaning = MEANINGS[Kind(found.kind)]
    about = {"order": found.order_id, "payment": found.payment_id, "at the provider": found.provider_id,
             "machine": found.device_uuid}  # fmt: skip
    sides = {"here": found.here, "there": found.there}
    parts = [f"{name} {value}" for name, value in about.items() if value]
    parts += [f"{side} {_amount(found.kind, value)}" for side, value in sides.items() if value is not None]
    yield f"  {_WORDS[found.state]}  {found.kind}  " + ", ".join(parts)
    yield f"      {meaning.sentence}" + (f" ({found.detail})" if found.detail else "")
    if found.state in {State.OPEN, State.MENDING}:
        yield f"      -> {meaning.to_do} (number {found.id})"
    if found.closed_note:
        yield f"      {found.closed_by}: {found.closed_note}"


def _amount(kind: str, value: int) -> str:
    return str(value) if Kind(kind) in NO_MONEY else roubles(value)


def _shop(report: Report) -> dict[str, Any]:
    row = report.row
    return {
        "merchant": row.merchant_id,
        "scenario": row.scenario,
        "account_id": row.account_id,
        "complete": row.complete,
        "problem": row.problem,
        "clean": report.is_clean,
        **({name: getattr(row, name) for name in _FIGURES} if row.scenario else asdict(report.comparison)),
        "findings": [_told(found) for found in report.findings],
    }


def _told(found: FoundDifference) -> dict[str, Any]:
    meaning = MEANINGS[Kind(found.kind)]
    columns = ("kind", "state", "order_id", "payment_id", "provider_id", "device_uuid", "here", "there", "detail")
    told = {name: getattr(found, name) for name in columns}
    return told | {
        "number": found.id,
        "sentence": meaning.sentence,
        "to_do": meaning.to_do,
        "first_seen_at": found.first_seen_at.isoformat(),
    }
