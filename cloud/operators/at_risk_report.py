"""Money at risk as a table for a person, and as JSON for a program. Pure."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime

from cloud.orders.at_risk import AtRisk, MoneyAtRisk, Next
from cloud.payments.reconcile.differences import Difference
from cloud.payments.reconcile.kinds import MEANINGS as OF_KINDS

MOST_LISTED = 1000
"""Payments told one by one; the sums are of all."""
MEANINGS = {
    Next.POURING: "the drink is being made, or its command is on the way",
    Next.WAITING_FOR_BUYER: "paid late: can be poured from the page, else goes back",
    Next.WAITING_FOR_EVIDENCE: "nobody knows yet whether it was poured",
    Next.CAPTURE_DUE: "poured: the hold is being taken",
    Next.RETURN_OPEN: "goes back, not asked for yet",
    Next.RETURN_ASKED: "goes back, the provider has not finished",
    Next.PERSON: "nothing moves it by itself: look at it now",
    Next.DIFFERENCE: "reconciliation found it, and nobody has explained it: look at it now",
    Next.ASKED_AGAIN: "reconciliation found it; the provider is being asked again",
}


NOT_ALL = "NOT ALL IS KNOWN YET: after a restore the providers' lists are being read, and what was paid comes back."


def as_text(
    sums: Sequence[AtRisk], each: Sequence[MoneyAtRisk], found: Sequence[Difference] = (), lacking: Sequence[str] = ()
) -> str:
    """For a terminal."""
    return "\n".join([*([NOT_ALL, *lacking] if lacking else []), *_lines(sums, each, found)])


def as_json(
    sums: Sequence[AtRisk], each: Sequence[MoneyAtRisk], found: Sequence[Difference] = (), lacking: Sequence[str] = ()
) -> str:
    """For a program; kopecks, seconds, times as ISO 8601 in UTC. `payments` and `differences` are the oldest."""
    told = {
        "restores": list(lacking),
        "kopecks": sum(risk.kopecks for risk in sums),
        "oldest_s": max((risk.oldest_s for risk in sums), default=0.0),
        "actions": [asdict(risk) for risk in sums],
        "payments": [
            asdict(money) | {"since": money.since.isoformat(), "return_since": _iso(money.return_since)}
            for money in each[:MOST_LISTED]
        ],
        "differences": [
            asdict(one) | {"since": one.since.isoformat(), "day": one.day.isoformat()} for one in found[:MOST_LISTED]
        ],
    }
    return json.dumps(told, ensure_ascii=False, indent=2)


def roubles(kopecks: int) -> str:
    """`-15050` → `-150.50`."""
    return f"{'-' if kopecks < 0 else ''}{abs(kopecks) // 100}.{abs(kopecks) % 100:02d}"


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _lines(sums: Sequence[AtRisk], each: Sequence[MoneyAtRisk], found: Sequence[Difference]) -> Iterator[str]:
    if not sums:
        yield "No money is at risk."
        return
    yield f"{'next':<22}{'roubles':>12}{'payments':>10}{'oldest':>12}"
    for risk in sums:
        figures = f"{roubles(risk.kopecks):>12}{risk.payments:>10}{_age(risk.oldest_s):>12}"
        yield f"{risk.action:<22}{figures}  {MEANINGS[risk.action]}"
    yield from [_one(money) for money in each if money.action is Next.PERSON][:MOST_LISTED]
    yield from map(_difference, found[:MOST_LISTED])


def _one(money: MoneyAtRisk) -> str:
    known = f"payment {money.payment_id}, at the provider {money.provider_payment_id or '-'}"
    why = "" if money.has_credential else ", no key of its shop that can be read"
    why += ", the provider refuses the key of its shop" if money.key_is_refused else ""
    why += f", refused {money.refusals} times" if money.refusals else ""
    since = f"{money.state} since {money.since:%Y-%m-%d %H:%M} UTC"
    return f"  {money.order_id}: {roubles(money.kopecks)} {since}, {known}{why}"


def _difference(one: Difference) -> str:
    where = f"{one.merchant_id}, {one.scenario}, shop {one.account_id}, {one.day}"
    known = f"payment {one.payment_id or '-'}, at the provider {one.provider_id or '-'}"
    what = f"  number {one.number}, {one.kind}: {roubles(one.kopecks)}, order {one.order_id or '-'}, {known} ({where})"
    return f"{what}\n      -> {OF_KINDS[one.kind].to_do}"


def _age(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
