"""`coffee-cloud check`: are the settings right and does everything answer that they name? Changes nothing."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from cloud.courier.broker import client_id_of, link_of
from cloud.courier.broker_session import SHARED_GROUP
from cloud.courier.tmetr.client import Refused
from cloud.courier.tmetr.http import NotTaken, Unknown
from cloud.database.database import Database
from cloud.database.listen import ChangeListener
from cloud.fleet import accounts, silence
from cloud.fleet.accounts import Known
from cloud.fleet.custom_account import CUSTOM
from cloud.fleet.models import Control, Credential, Device, DeviceLive, FormerCredential
from cloud.fleet.vault import SecretUnreadable
from cloud.orders import trusted_outcome
from cloud.orders.at_risk import unsettled
from cloud.payments.outcomes import AuthError, NotSent, Ok, Outcome, RateLimited
from cloud.payments.provider_clients import NoCredential
from cloud.payments.yookassa.receipts import setup_problem
from cloud.settings import Settings
from cloud.wiring import Cloud, build
from protocol.topics import Channel, topic

BROKER_WAIT_S = 5.0
NOTICE_WAIT_S = 3.0
SILENT_DAYS = timedelta(days=30)
NOBODY = "coffee-cloud-check"
"""A device whose channels carry nothing."""
LOSES_COMMITS = (
    "COFFEE_DATABASE_URL names several servers, and PostgreSQL commits without waiting for a standby"
    " (synchronous_standby_names, synchronous_commit): a failover loses payments and drinks, see Failover in"
    " docs/operations.md"
)
ASKED_AT_ONCE = 8
"""Shops asked at the same time: a fleet of hundreds of merchants is looked through in seconds."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    good: bool
    words: str


def checkup(settings: Settings) -> list[Finding]:
    """Everything there is to say, good or bad."""
    cloud = build(settings)
    try:
        known, database = _database(cloud)
        shops = [finding for account in known if (finding := _of_account(cloud, account)) is not None]
        tmetr = _tmetr(cloud) if database[0].good else []
        machines = [*_two_agents(cloud), *_silent(cloud)] if database[0].good else []
    finally:
        cloud.close()
    return [Finding(True, "settings are complete"), *database, _broker(settings), *tmetr, *machines, *shops]


def _database(cloud: Cloud) -> tuple[list[Known], list[Finding]]:
    """Over the connections that do the work."""
    database = cloud.database
    try:
        with database.read() as session:
            known = list(accounts.known(session))
        if database.is_read_only():
            return [], [Finding(False, "the database is read-only: COFFEE_DATABASE_URL leads to a copy")]
        database.set_clock()
        loses_commits = database.loses_commits_at_failover()
    except SQLAlchemyError as error:
        words = (
            f"the database does not answer or was never migrated ({type(error).__name__}): run `coffee-cloud migrate`"
        )
        return [], [Finding(False, words)]
    in_use = sum(isinstance(account, Credential) for account in known)
    clock = database.clock.complaint()
    findings = [
        Finding(True, f"database answers, {in_use} payment account(s)"),
        *([Finding(False, f"{clock}; nothing of ours suffers, set it right")] if clock else []),
        *([Finding(False, LOSES_COMMITS)] if loses_commits else []),
        *_notices(database),
    ]
    return known, findings


def _notices(database: Database) -> list[Finding]:
    """Programs on one SQLite file look at the file instead."""
    if database.is_sqlite:
        return []
    listener = ChangeListener(database)
    listener.start()
    hears = listener.wait_hearing(NOTICE_WAIT_S)
    listener.stop()
    if hears:
        return [Finding(True, "the database carries notices between our programs")]
    words = "no notices come through this pooler: others' changes are found by looking each second, or by an address"
    return [Finding(True, f"{words} past it in COFFEE_DATABASE_LISTEN_URL")]


def _broker(settings: Settings) -> Finding:
    """Each thing a worker needs of it: to be let in, and to subscribe."""
    wanted = [SHARED_GROUP + topic(NOBODY, Channel.REPORT), topic(NOBODY, Channel.PRESENCE)]
    link = link_of(settings, client_id_of("check"), listens_to=wanted)
    link.start()
    try:
        connected, trouble = link.wait_connected(BROKER_WAIT_S), link.trouble
        lacking = "; no shared subscriptions there: one worker of many hears the machines" if link.lacks_shares else ""
    finally:
        link.stop()
    if not connected:
        return Finding(False, f"MQTT broker cannot be reached ({trouble}): COFFEE_MQTT_URL")
    return Finding(True, f"MQTT broker accepts us{lacking}")


def _tmetr(cloud: Cloud) -> list[Finding]:
    """Ask for a heartbeat; say nothing where no machine and no setting needs the Tmetr API."""
    with cloud.database.read() as session:
        machines = session.scalars(select(Device.device_uuid).where(Device.control == Control.TMETR_API.value)).all()
    client = cloud.tmetr()
    if client is None:
        words = f"{len(machines)} machine(s) are driven over the Tmetr API: COFFEE_TMETR_URL is not set"
        return [Finding(False, words)] if machines else []
    told = client.last_heartbeat(machines[0] if machines else "coffee-cloud-check")
    if isinstance(told, Refused) and told.status in {401, 403}:
        return [Finding(False, f"Tmetr API does not accept us ({told.why}): COFFEE_TMETR_TOKEN")]
    if isinstance(told, NotTaken | Unknown) or (isinstance(told, Refused) and machines):
        return [Finding(False, f"Tmetr API does not serve us ({told.why}): COFFEE_TMETR_URL")]
    return [Finding(True, f"Tmetr API answers, {len(machines)} machine(s) without an agent")]


def _two_agents(cloud: Cloud) -> list[Finding]:
    """Machines that sell nothing because two agents speak under one name."""
    with cloud.database.read() as session:
        found = session.scalars(select(DeviceLive).where(DeviceLive.two_agents_since.is_not(None))).all()
    since = "two agents take turns under its name since"
    advice = "so it sells nothing; a copied card? give each machine its own name, then `coffee-cloud resume"
    return [
        Finding(False, f"device {live.device_uuid}: {since} {live.two_agents_since} UTC, {advice} {live.device_uuid}`")
        for live in found
    ]


def _silent(cloud: Cloud) -> list[Finding]:
    """Machines that never tell an outcome: what their merchant has chosen, and what that came to lately."""
    since = cloud.clock() - SILENT_DAYS
    with cloud.database.read() as session:
        devices = session.execute(
            select(Device, DeviceLive).outerjoin(DeviceLive, DeviceLive.device_uuid == Device.device_uuid)
        ).all()
        silent = [device for device, live in devices if silence.never_tells(device.control, live)]
        came_to = {device.device_uuid: trusted_outcome.came_to(session, device.device_uuid, since) for device in silent}
    return [
        Finding(
            device.unobserved != silence.NOT_CHOSEN,
            f"device {device.device_uuid}: {silence.cost(device.unobserved)}"
            " (in {} days {} drinks, {:.2f} roubles)".format(SILENT_DAYS.days, *came_to[device.device_uuid]),
        )
        for device in silent
    ]


def receipt_warnings(cloud: Cloud) -> list[str]:
    """Find accounts in use whose payments and receipts do not fit the provider's shop; skip those without an answer."""
    with cloud.database.read() as session:
        credentials = list(session.scalars(select(Credential)))
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        findings = list(pool.map(lambda credential: _receipts(cloud, credential), credentials))
    return [finding for finding in findings if finding]


def _receipts(cloud: Cloud, credential: Credential) -> str:
    if not _is_used(cloud, credential):
        return ""
    try:
        outcome = cloud.clients.of(credential.merchant_id, credential.scenario)[1].me()
    except (NoCredential, SecretUnreadable):
        return ""
    fiscalization = outcome.value.fiscalization if isinstance(outcome, Ok) else None
    wrong = setup_problem(credential.scenario, credential.receipt, fiscalization)
    return f"payment {credential.scenario} of merchant {credential.merchant_id}: {wrong}" if wrong else ""


def _is_used(cloud: Cloud, credential: Credential) -> bool:
    """Whether a machine sells by it; accounts that were left behind are nobody's trouble."""
    sells = (Device.merchant_id == credential.merchant_id, Device.payment_scenario == credential.scenario)
    with cloud.database.read() as session:
        return session.scalar(select(Device.device_uuid).where(*sells).limit(1)) is not None


def _of_account(cloud: Cloud, account: Known) -> Finding | None:
    """One in use is asked; of one that was left only what is still open there matters."""
    if isinstance(account, Credential):
        return _shop(cloud, account)
    with cloud.database.read() as session:
        payments, kopecks = unsettled(session, accounts.of(account))
    return _left_shop(cloud, account, f"{payments} payment(s) with {kopecks / 100:.2f} roubles") if payments else None


def _left_shop(cloud: Cloud, account: FormerCredential, open_: str) -> Finding:
    name = f"{account.merchant_id}/{account.scenario} (left shop {account.account_id}): {open_} not settled"
    try:
        outcome = cloud.clients.at(accounts.of(account)).me()
    except NoCredential as error:
        return Finding(False, f"{name}; {error}")
    if account.scenario == CUSTOM and not account.status_url:
        return Finding(True, f"{name}; the merchant only calls back")
    if not isinstance(outcome, Ok):
        return Finding(False, f"{name}; {_unheard(outcome)}")
    return Finding(True, f"{name}; its key is still accepted")


def _unheard(outcome: Outcome[Any]) -> str:
    """What an operator looks at next: only a refused key is the key's fault."""
    match outcome:
        case AuthError():
            words = "the provider does not accept the account"
        case NotSent():
            words = "the provider cannot be reached, so nobody was asked whether the key is right"
        case RateLimited():
            words = "the provider has had too many questions, ask again later"
        case _:
            words = "the provider gave no answer that can be read"
    return f"{words} ({type(outcome).__name__})"


def _shop(cloud: Cloud, credential: Credential) -> Finding:
    name = f"{credential.merchant_id}/{credential.scenario} (shop {credential.account_id})"
    try:
        _, client = cloud.clients.of(credential.merchant_id, credential.scenario)
    except (NoCredential, SecretUnreadable) as error:
        return Finding(False, f"{name}: {error}")
    if credential.scenario == CUSTOM and not credential.status_url:
        return Finding(True, f"{name}: the merchant only calls back, so nobody was asked whether the key is right")
    outcome = client.me()
    if not isinstance(outcome, Ok):
        return Finding(False, f"{name}: {_unheard(outcome)}")
    if outcome.value.account_id != credential.account_id:
        return Finding(False, f"{name}: the key belongs to shop {outcome.value.account_id}")
    wrong = setup_problem(credential.scenario, credential.receipt, outcome.value.fiscalization)
    if wrong and _is_used(cloud, credential):
        return Finding(False, f"{name}: {wrong}")
    return Finding(True, f"{name}: the provider accepts the account{' (test shop)' if outcome.value.test else ''}")
