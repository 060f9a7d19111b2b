"""The commands of `coffee-cloud` about one order: return its money, pour it, decide requests. Acts through use cases.

A person at the server is taken at his word: `--by` is a name, the console asks for a login.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn, TypeVar

import click
from sqlalchemy import select

from cloud.access.signing import Signer
from cloud.console.orders.evidence import NotEvidence
from cloud.console.orders.evidence import verify as verify_evidence
from cloud.operators.at_risk_report import roubles
from cloud.operators.forget_buyer import NotForgettable, forget_buyer
from cloud.orders import return_requests
from cloud.orders.locked_order import UnknownOrder
from cloud.orders.making import NotPourable
from cloud.orders.operator_actions import NotReturnable, NotWaiting, keep_money
from cloud.orders.pour_again import pour_again
from cloud.orders.return_requests import Asker, NotAllowed, ReturnRequest, Wanted
from cloud.orders.return_rules import RequestState, ReturnReason
from cloud.settings import Settings, SettingsError
from cloud.starting import environ, open_cloud
from cloud.wiring import Cloud

T = TypeVar("T")
BAD = 1
WRONG_USAGE = 2
KINDS = [reason.value for reason in ReturnReason]
_REFUSED = (UnknownOrder, NotReturnable, NotWaiting, NotAllowed, NotPourable, NotForgettable)
_by = click.option("--by", required=True, help="who decides; stays in the order's history")
_reason = click.option("--reason", required=True, help="why; stays in the order's history")


def add_to(main: click.Group) -> None:
    """Add the commands."""
    single = (_returning, _keeping, _pouring, _forgetting, _listing)
    for command in (*(make(open_cloud) for make in single), *_deciding(open_cloud), evidence):
        main.add_command(command)


def _returning(ready_made: Callable[[], Cloud]) -> click.Command:
    @click.command(name="return")
    @click.argument("order_id")
    @click.option(
        "--kopecks", type=click.IntRange(min=1), help="a part of a poured drink's price; without it all that is left"
    )
    @click.option("--kind", type=click.Choice(KINDS), default="other", show_default=True, help="for counting")
    @_by
    @_reason
    def command(order_id: str, kopecks: int | None, kind: str, by: str, reason: str) -> None:
        """Return the money of a poured drink, or of one that waits for a person's decision.

        Above the limits (COFFEE_RETURN_LIMIT, COFFEE_RETURN_DAY_LIMIT) it waits for a second person: `approve`.
        """
        cloud = ready_made()
        wanted = Wanted(ReturnReason(kind), reason, kopecks)
        asked = _act(cloud, "not returned", return_requests.ask, order_id, wanted, Asker(by), cloud.limits)
        if asked.state == RequestState.REQUESTED:
            click.echo(f"{asked.kopecks} kopecks are above the limit: request {asked.id} waits for a second person.")
        else:
            click.echo(f"{asked.kopecks} kopecks will be returned by the worker.")

    return command


def _keeping(ready_made: Callable[[], Cloud]) -> click.Command:
    @click.command()
    @click.argument("order_id")
    @_by
    @_reason
    def keep(order_id: str, by: str, reason: str) -> None:
        """Keep the money of a drink that no machine can tell of: you have made sure that it was poured."""
        _act(ready_made(), "nothing to keep", keep_money, order_id, by, reason)
        click.echo("The drink counts as poured; a hold is taken by the worker.")

    return keep


def _pouring(ready_made: Callable[[], Cloud]) -> click.Command:
    @click.command()
    @click.argument("order_id")
    @click.option("--by", required=True, help="who stands at the machine; stays in the order's history")
    @click.option("--reason", default="", help="why; stays in the order's history")
    def pour(order_id: str, by: str, reason: str) -> None:
        """Pour an order that was paid too late to pour by itself, or, free of charge, one that went wrong again."""
        cloud = ready_made()
        poured = _act(cloud, "not poured", pour_again, order_id, by, reason, cloud.rules)
        own = "" if poured == order_id else f" as the free order {poured}"
        click.echo(f"The command goes out by the worker{own}.")

    return pour


def _forgetting(ready_made: Callable[[], Cloud]) -> click.Command:
    @click.command()
    @click.argument("order_id")
    @click.option("--by", required=True, help="who does it; stays in the order's history")
    @click.option("--reason", required=True, help="who asked for it; stays in the order's history")
    def forget(order_id: str, by: str, reason: str) -> None:
        """Erase what the buyer of an order gave and said: address, words, what the provider sent of the payment."""
        _act(ready_made(), "not erased", forget_buyer, order_id, by, reason)
        click.echo("Erased here. Backups keep it as long as you keep them.")

    return forget


def _listing(ready_made: Callable[[], Cloud]) -> click.Command:
    @click.command()
    def returns() -> None:
        """Requests to return money that wait for a second person."""
        cloud = ready_made()
        try:
            waits = ReturnRequest.state == RequestState.REQUESTED.value
            with cloud.database.read() as session:
                found = list(session.scalars(select(ReturnRequest).where(waits).order_by(ReturnRequest.id)))
        finally:
            cloud.close()
        for request in found:
            until = request.expires_at.isoformat(timespec="minutes")
            told = f"{request.reason}: {request.words}" if request.words else request.reason
            click.echo(
                f"{request.id}  {roubles(request.kopecks)}  order {request.order_id}  {request.requested_by}  "
                f"until {until}  {told}"
            )
        if not found:
            click.echo("None waits.")

    return returns


def _deciding(ready_made: Callable[[], Cloud]) -> Iterable[click.Command]:
    @click.command()
    @click.argument("number", type=click.IntRange(1))
    @_by
    def approve(number: int, by: str) -> None:
        """Approve request NUMBER, as another person than the one who asked. The worker then returns the money."""
        decided = _act(ready_made(), "not approved", return_requests.approve, number, by)
        click.echo(f"{decided.kopecks} kopecks will be returned by the worker.")

    @click.command()
    @click.argument("number", type=click.IntRange(1))
    @_by
    @_reason
    def decline(number: int, by: str, reason: str) -> None:
        """Decline request NUMBER, or take one's own back."""
        _act(ready_made(), "not declined", return_requests.decline, number, by, reason)
        click.echo(f"Request {number} is declined.")

    return approve, decline


def _act(cloud: Cloud, failed: str, use_case: Callable[..., T], *facts: object) -> T:
    """What the use case gives, now; its refusal ends the program in words."""
    try:
        return cloud.database.transact(use_case, *facts, cloud.clock())
    except _REFUSED as error:
        _fail(f"{failed}: {error}")
    finally:
        cloud.close()


@click.group()
def evidence() -> None:
    """Files that prove what happened to an order; the console makes them."""


@evidence.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def verify(file: Path) -> None:
    """Tell whether FILE was signed by us and not changed since. Needs the settings, no database."""
    try:
        document = verify_evidence(file.read_text(encoding="utf-8"), _signer())
    except (NotEvidence, UnicodeDecodeError) as error:
        _fail(f"NOT TRUE: {error}")
    order = document["order"]
    click.echo(f"true: order {order['id']}, made {document['made_at']}, signed by us and not changed since")
    for words in document["verdict"].values():
        click.echo(words)


@evidence.command()
def key() -> None:
    """Print the public key with which anybody can check such a file (Ed25519, base64)."""
    click.echo(_signer().public_key)


def _signer() -> Signer:
    try:
        settings = Settings.from_env(environ())
    except SettingsError as error:
        click.echo(f"Settings are wrong:\n{error}", err=True)
        sys.exit(WRONG_USAGE)
    return Signer(settings.secret_key, settings.old_secret_keys)


def _fail(words: str) -> NoReturn:
    click.echo(words, err=True)
    sys.exit(BAD)
