"""One running bank and one merchant for each test that asks. Its clock stands still until it is advanced."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from simulator.tbank import TBankSimulator, Terminal
from simulator.tbank.terminals import DEFAULT_TERMINAL
from tests.simulator.tbank.merchant import Listener, Merchant

START = datetime(2026, 3, 2, 7, 15, 20, tzinfo=UTC)
FISCAL = Terminal(key="FISCAL", password="fiscal_password", fiscalization=True)


@pytest.fixture
def bank() -> Iterator[TBankSimulator]:
    with TBankSimulator(terminals=(DEFAULT_TERMINAL, FISCAL), clock=lambda: START, seed="test") as bank:
        yield bank


@pytest.fixture
def merchant(bank: TBankSimulator) -> Iterator[Merchant]:
    merchant = Merchant(bank)
    yield merchant
    merchant.session.close()


@pytest.fixture
def fiscal(bank: TBankSimulator) -> Iterator[Merchant]:
    merchant = Merchant(bank, FISCAL.key, FISCAL.password)
    yield merchant
    merchant.session.close()


@pytest.fixture
def listener(bank: TBankSimulator) -> Iterator[Listener]:
    listener = Listener()
    yield listener
    bank.close()  # what is in flight is answered before nobody listens
    listener.close()
