"""Three ejabberd nodes behind HAProxy, killed one after the other while drinks are ordered: each is poured, once."""

from collections.abc import Iterator

import pytest

from tests.ejabberd import NODES, Cluster, a_cluster
from tests.postgres import PostgresServer
from tests.system.promises import wait_kept
from tests.system.restartable import wait_who_says
from tests.system.world import World

pytestmark = pytest.mark.long
PATIENT = {"COFFEE_MAKE_DEADLINE_S": "30", "COFFEE_ACK_TIMEOUT_S": "40", "COFFEE_MAKE_TIMEOUT_S": "60"}
"""As long as in earnest, nearly: the way through another node is found within seconds."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with a_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module")
def world(
    cluster: Cluster,
    postgres_server: PostgresServer,
    migrated_postgres: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """Two workers: without shared subscriptions one of them hears the machine."""
    folder = tmp_path_factory.mktemp("world")
    with (
        postgres_server.fresh_database(like=migrated_postgres) as url,
        World(folder, cluster, url, workers=2, limits=PATIENT) as running,
    ):
        yield running


def is_poured_although(world: World, cluster: Cluster, dies: int) -> None:
    """The node dies right after the command went out."""
    bought = world.order()
    payment_id = world.payment_of(bought)
    world.provider.pay(payment_id)
    wait_who_says(world.workers, "make published", bought.order_id)
    cluster.kill_node(dies)
    ended = wait_kept(world, bought)
    assert (ended.status, ended.touched) == ("successful", 1), world.logs()


@pytest.mark.long
def test_each_node_dies_and_comes_back(world: World, cluster: Cluster) -> None:
    for number in (*NODES, *NODES):
        is_poured_although(world, cluster, dies=number)
        cluster.start_node(number)


def test_two_of_three_nodes_die_in_turn(world: World, cluster: Cluster) -> None:
    """They stay dead: the last test of this cluster."""
    is_poured_although(world, cluster, dies=1)
    is_poured_although(world, cluster, dies=2)
