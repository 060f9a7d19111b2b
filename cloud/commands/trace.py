"""`coffee-cloud trace`: an order's whole way by time, from the database and from the log lines of every program."""

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud.access.person import Scope
from cloud.console.orders.rows import named
from cloud.console.orders.timeline import Line
from cloud.console.orders.whole import WholeOrder, whole_order
from cloud.orders.models import MakeCommand
from cloud.orders.stage_times import stages_of
from cloud.starting import BAD, open_cloud
from protocol import json_text

EVERYTHING = Scope(everything=True)
_PRIORITY = re.compile(r"^<\d>")
"""Of systemd, before a line of the agent's."""
_SHOWN_BEFORE = frozenset({"at", "level", "logger", "message", "order_id", "traceback", "exception"})


@dataclass(frozen=True)
class Step:
    """One line of the trace."""

    at: datetime
    words: str


def add_to(main: click.Group) -> None:
    """Add the commands."""

    @main.command()
    @click.argument("number")
    @click.argument("logs", nargs=-1, type=click.File(encoding="utf-8", errors="replace"))
    def trace(number: str, logs: tuple[TextIO, ...]) -> None:
        """Tell an order's whole way, by its NUMBER or its payment's.

        LOGS are files of JSON lines of web, worker and agent, `-` for standard input: those of this order stand in
        between, found by its number and those of its commands and payments.
        """
        cloud = open_cloud()
        try:
            with cloud.database.read() as session:
                found = named(session, EVERYTHING, number)
                whole = whole_order(session, EVERYTHING, found[0], cloud.clock()) if len(found) == 1 else None
                commands = _commands(session, whole)
        finally:
            cloud.close()
        if whole is None:
            click.echo(f"no order is called {number}" if not found else f"several: {', '.join(found)}", err=True)
            sys.exit(BAD)
        _tell(whole, commands, logs)


def _commands(session: Session, whole: WholeOrder | None) -> list[MakeCommand]:
    if whole is None:
        return []
    of_order = select(MakeCommand).where(MakeCommand.order_id == whole.order.id)
    return list(session.scalars(of_order.order_by(MakeCommand.attempt)))


def _tell(whole: WholeOrder, commands: list[MakeCommand], logs: Iterable[TextIO]) -> None:
    order = whole.order
    click.echo(f"order {order.id}  {order.status} {order.reason}".rstrip())
    click.echo(f"machine {order.device_uuid}, {order.drink_no} size {order.size}, {order.price} kopecks")
    if commands:
        stages = ", ".join(f"{stage} {seconds:.3f} s" for stage, seconds in stages_of(order, commands[-1]))
        click.echo(f"stages: {stages or 'none is over'}")
    ids = {order.id, *(command.id for command in commands)}
    ids |= {name for payment in whole.payments for name in (payment.id, payment.provider_payment_id) if name}
    undated: list[str] = []
    steps = [Step(line.at, _words_of(line)) for line in whole.lines]
    steps += [step for log in logs for step in steps_of(log, ids, undated)]
    for step in sorted(steps, key=lambda step: step.at):
        click.echo(f"{step.at.astimezone(UTC).isoformat(' ', 'milliseconds').removesuffix('+00:00')}  {step.words}")
    for words in undated:
        click.echo(f"{'without a date':23}  {words}")


def _words_of(line: Line) -> str:
    told = {"by": line.name, "reason": line.reason, "words": line.words, "kopecks": line.kopecks, **line.evidence}
    return _joined(f"{line.who:8} {line.what}", told)


def steps_of(log: Iterable[str], ids: set[str], undated: list[str]) -> Iterator[Step]:
    """The lines about any of these; those that are not our JSON go to `undated`."""
    for raw in log:
        if not any(name in raw for name in ids):
            continue
        text = _PRIORITY.sub("", raw.strip())
        try:
            told = json_text.decode(text, dict[str, Any])
            at = datetime.fromisoformat(told["at"])
        except (json_text.NotJson, ValueError, TypeError, KeyError):
            undated.append(text)
            continue
        if at.tzinfo is not None and ids & {value for value in told.values() if isinstance(value, str)}:
            facts = {name: value for name, value in told.items() if name not in _SHOWN_BEFORE}
            yield Step(at, _joined(f"log      {told.get('logger', '')}: {told.get('message', '')}", facts))


def _joined(words: str, facts: dict[str, Any]) -> str:
    told = " ".join(f"{name}={value}" for name, value in facts.items() if value not in ("", None))
    return " ".join(f"{words} {told}".split("\n")).rstrip()
