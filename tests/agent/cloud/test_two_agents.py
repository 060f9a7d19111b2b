"""Two agents under one device's name: what each of them says of it, and that it sells nothing."""

from pathlib import Path

import pytest
from msgspec import UNSET

from agent.service import Service
from agent.settings import BrokerAddress, Settings
from protocol.messages import Presence, State
from protocol.reasons import Result
from simulator.broker import Broker
from simulator.machine import MachineSimulator
from tests.agent.agents import IMPATIENT, Agents
from tests.agent.cloud_side import DEVICE, CloudSide
from tests.mosquitto import Mosquitto
from tests.simulator.broker.clients import Client
from tests.waiting import wait_until


def test_an_agent_that_is_told_of_another_with_its_name_sells_nothing_until_it_is_told_better(
    cloud: CloudSide, agents: Agents, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.rival = "s-other"
    agents.start()
    wait_until(lambda: "speaks under our name: a copied card?" in caplog.text, what="its own log to name it")
    wait_until(lambda: any("s-other" in state.reason for state in cloud.all_of(State)), what="the state to say why")
    cloud.make()
    assert (cloud.outcome().result, cloud.outcome().code) == (Result.REJECTED, "not_selling")
    cloud.rival = UNSET
    agents.stop()
    agents.start()
    cloud.wait_ready()
    cloud.make("c2", "o2")
    assert cloud.outcome("c2").result is Result.DONE


def test_each_connect_of_a_session_is_counted(cloud: CloudSide, agents: Agents, mosquitto: Mosquitto) -> None:
    agents.start()
    first = cloud.wait_online()
    thief = Client(mosquitto.port, DEVICE)
    thief.connect()
    wait_until(lambda: cloud.all_of(Presence)[-1].connection not in {UNSET, first.connection}, what="its next connect")
    thief.disconnect()
    again = cloud.wait_online()
    assert (first.connection, again.session_id) == (1, first.session_id)
    assert cloud.all_of(Presence)[-1].connection in range(2, 100)


def test_a_place_taken_by_another_is_named_where_the_broker_says_so(
    tmp_path: Path, machine: MachineSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with Broker() as broker:
        address = BrokerAddress("127.0.0.1", broker.port)
        agent = Service(Settings(DEVICE, address, machine.tty, "companion-v1", tmp_path / "state"), IMPATIENT, {})
        agent.start()
        try:
            wait_until(lambda: broker.memory.retained, what="the agent to be there")
            thief = Client(broker.port, DEVICE).connect()

            def is_named() -> bool:
                """Each throws the other off; the one that is sending just then finds a dead line and no reason."""
                if not thief.paho.is_connected():
                    thief.connect()
                return "another client has taken our name" in caplog.text

            wait_until(is_named, what="the log to name it")
            thief.disconnect()
        finally:
            agent.stop()
