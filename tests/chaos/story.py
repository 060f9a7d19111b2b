"""One order from every side, in order of time: buyer, cloud, provider, agent, machine, and what was done to them."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from cloud.orders.models import MakeCommand, OrderChange
from cloud.orders.models import Payment as OurPayment
from cloud.orders.outbox import OutboxRow
from tests.chaos.hands import CHAOS
from tests.chaos.timeline import Line, Timeline
from tests.system.restartable import Restartable
from tests.system.world import Bought, World

_AROUND = timedelta(seconds=5)
"""What was done so long before the order's first sign and after its last belongs to its story."""
_LONGEST = 220
_CLOUD_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)\.(\d{3}) ")
_AGENT_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) ")


def story(world: World, bought: Bought, timeline: Timeline) -> list[str]:
    """Lines for a person."""
    told = timeline.lines()
    lines = [line for line in told if line.order_id == bought.order_id]
    lines += [*_books(world, bought), *_provider(world, bought), *_logs(world, bought, timeline.began)]
    if not lines:
        return ["nobody has ever heard of it"]
    first, last = min(lines).at - _AROUND, max(lines).at + _AROUND
    lines += [line for line in told if line.who == CHAOS and first <= line.at <= last]
    return [timeline.text(line)[:_LONGEST] for line in sorted(lines)]


def _books(world: World, bought: Bought) -> Iterator[Line]:
    """Our own history, commands and promises."""
    of = bought.order_id
    with world.database.read() as session:
        for change in session.scalars(select(OrderChange).where(OrderChange.order_id == of)):
            move = f"{change.event}: {change.status_before or '-'} -> {change.status_after} {change.reason}"
            yield Line(change.at, "history", f"{move} (by {change.actor}) {change.evidence or ''}", of)
        for command in session.scalars(select(MakeCommand).where(MakeCommand.order_id == of)):
            yield Line(command.issued_at, "command", f"issued, deadline {command.deadline_at:%H:%M:%S.%f}", of)
        for row in session.scalars(select(OutboxRow).where(OutboxRow.order_id == of)):
            end = f"{row.verdict} at {row.settled_at:%H:%M:%S}" if row.settled_at else f"open: {row.last_error}"
            yield Line(row.created_at, "promise", f"{row.task}, {row.attempts} attempts, {end}", of)


def _provider(world: World, bought: Bought) -> Iterator[Line]:
    entries, refunds, _ = world.provider.provider.snapshot()
    for payment, history in entries:
        if payment.request.metadata.get("order_id") != bought.order_id:
            continue
        for line in history:
            yield Line(line.at, "provider", f"{payment.id}: {line.what}", bought.order_id)
        for refund in refunds:
            if refund.payment_id == payment.id:
                what = f"refund {refund.id} of {refund.amount}: {refund.status}"
                yield Line(refund.created_at, "provider", what, bought.order_id)


def _logs(world: World, bought: Bought, began: datetime) -> Iterator[Line]:
    """Lines of the programs' logs that name the order or one of its payments."""
    with world.database.read() as session:
        payments = session.scalars(select(OurPayment).where(OurPayment.order_id == bought.order_id)).all()
    names = {bought.order_id, *(payment.id for payment in payments)}
    names |= {payment.provider_payment_id for payment in payments if payment.provider_payment_id}
    programs = {f"web {number}": web for number, web in enumerate(world.webs)}
    programs |= {f"worker {number}": worker for number, worker in enumerate(world.workers)}
    programs |= {f"agent {bought.device}": world.agents[bought.device]}
    for who, program in programs.items():
        for at, what in _timed(program, began):
            if any(name in what for name in names):
                yield Line(at, who, what, bought.order_id)


def _timed(program: Restartable, began: datetime) -> Iterator[tuple[datetime, str]]:
    for line in program.output().splitlines():
        if cloud := _CLOUD_TIME.match(line):
            hour, minute, second, thousandths = map(int, cloud.groups())
            at = began.replace(hour=hour, minute=minute, second=second, microsecond=thousandths * 1000)
            yield at + timedelta(days=at < began - timedelta(hours=12)), line[cloud.end() :]
        elif agent := _AGENT_TIME.match(line):
            local = datetime.strptime(agent[1], "%Y-%m-%d %H:%M:%S").astimezone()
            yield local.astimezone(UTC) + timedelta(milliseconds=int(agent[2])), line[agent.end() :]
