"""Real programs killed and stopped at random: every promise is kept, and one that is not is found and told."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from cloud.orders.models import Order
from tests.chaos.campaign import Campaign, Options, a_campaign
from tests.chaos.timeline import Timeline
from tests.mosquitto import a_mosquitto
from tests.postgres import PostgresServer
from tests.real_parts import MOSQUITTO, missing
from tests.system.promises import wait_kept

SHORT = Options(seed=3430, seconds=10.0, agents=2, webs=1, every_s=0.7, settle_s=180.0, hurry=True)
WHOLE = Options(seed=1, seconds=300.0)

pytestmark = [pytest.mark.xdist_group("chaos"), pytest.mark.mosquitto, pytest.mark.postgres]


def campaign_of(options: Options, folder: Path, server: PostgresServer) -> Iterator[Campaign]:
    if MOSQUITTO.where is None or MOSQUITTO.is_address:
        missing(f"{MOSQUITTO}; it must be killed here")
    memory = folder / "broker" / "mosquitto.db"
    with (
        server.fresh_database() as url,
        a_mosquitto(memory.parent) as broker,
        a_campaign(options, folder, broker, memory, url, Timeline(print)) as campaign,
    ):
        yield campaign


@pytest.fixture(scope="module")
def shared(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    yield from campaign_of(SHORT, tmp_path_factory.mktemp("chaos"), postgres_server)


@pytest.fixture
def campaign(shared: Campaign, request: pytest.FixtureRequest) -> Campaign:
    request.node.user_properties += [("real part", "Mosquitto"), ("real part", "PostgreSQL")]
    return shared


@pytest.mark.timeout(400)
def test_a_short_campaign_keeps_every_promise(campaign: Campaign) -> None:
    campaign.trouble()
    result = campaign.settle()
    assert not result.broken, campaign.tell(result)
    assert result.judged
    assert result.done.counts


@pytest.mark.timeout(400)
def test_a_broken_promise_is_found_and_the_story_of_its_order_told(campaign: Campaign) -> None:
    """Somebody writes into our books that the money of a poured drink went back. It did not."""
    world = campaign.world
    world.mend()
    bought = world.buy()
    assert wait_kept(world, bought).status == "successful"
    lie = update(Order).where(Order.id == bought.order_id).values(goodwill=True)
    world.database.transact(lambda tx: tx.session.execute(lie))
    result = campaign.settle(within_s=1.0)
    assert f"the merchant keeps {bought.price} of {bought.price}" in result.broken[bought.order_id]
    assert "goodwill, though the drink was never given up" in result.broken[bought.order_id]
    (payment,) = world.payments(bought)
    told = campaign.tell(result)
    for says in (f"{payment.id}: ", " paid_in_time: pending -> paid", " machine_done: make_pending -> successful"):
        assert says in told
    assert any(" agent m-001 " in line and bought.order_id in line for line in told.splitlines())
    assert told.endswith(f"BROKEN: {bought.order_id}")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_whole_campaign_keeps_every_promise(postgres_server: PostgresServer, tmp_path: Path) -> None:
    for campaign in campaign_of(WHOLE, tmp_path, postgres_server):
        campaign.trouble()
        result = campaign.settle()
        assert not result.broken, campaign.tell(result)
