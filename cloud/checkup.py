"""`coffee-cloud check`: are the settings right and does everything answer that they name? Changes nothing."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from cloud.courier.broker import BrokerLink, client_id_of
from cloud.fleet.models import Credential
from cloud.fleet.vault import SecretUnreadable
from cloud.payments.outcomes import Ok
from cloud.payments.shops import NoCredential
from cloud.settings import Settings
from cloud.wiring import Cloud, build

BROKER_WAIT_S = 5.0


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    good: bool
    words: str


def checkup(settings: Settings) -> list[Finding]:
    """Everything there is to say, good or bad."""
    cloud = build(settings)
    try:
        credentials, database = _database(cloud)
        shops = [_shop(cloud, credential) for credential in credentials]
    finally:
        cloud.close()
    return [Finding(True, "settings are complete"), database, _broker(settings), *shops]


def _database(cloud: Cloud) -> tuple[list[Credential], Finding]:
    try:
        with cloud.database.read() as session:
            credentials = list(session.scalars(select(Credential)))
    except SQLAlchemyError as error:
        words = (
            f"the database does not answer or was never migrated ({type(error).__name__}): run `coffee-cloud migrate`"
        )
        return [], Finding(False, words)
    return credentials, Finding(True, f"database answers, {len(credentials)} payment account(s)")


def _broker(settings: Settings) -> Finding:
    link = BrokerLink(
        settings.mqtt_url, client_id_of("check"), user=settings.mqtt_user, password=settings.mqtt_password
    )
    link.start()
    try:
        connected = link.wait_connected(BROKER_WAIT_S)
    finally:
        link.stop()
    return Finding(
        connected, "MQTT broker accepts us" if connected else "MQTT broker cannot be reached: COFFEE_MQTT_URL"
    )


def _shop(cloud: Cloud, credential: Credential) -> Finding:
    name = f"{credential.merchant_id}/{credential.scenario} (shop {credential.account_id})"
    try:
        _, client = cloud.shops.of(credential.merchant_id, credential.scenario)
    except (NoCredential, SecretUnreadable) as error:
        return Finding(False, f"{name}: {error}")
    outcome = client.me()
    if not isinstance(outcome, Ok):
        return Finding(False, f"{name}: the provider does not accept the account ({type(outcome).__name__})")
    if outcome.value.account_id != credential.account_id:
        return Finding(False, f"{name}: the key belongs to shop {outcome.value.account_id}")
    if outcome.value.fiscalization:
        return Finding(False, f"{name}: the shop sends fiscal receipts; this version opens payments without a receipt")
    return Finding(True, f"{name}: the provider accepts the account{' (test shop)' if outcome.value.test else ''}")
