"""Every test of the suite runs once per provider: add a rig here and it must pass them all."""

from collections.abc import Callable, Iterator

import pytest

from tests.cloud.payments.contract.counter import Counter
from tests.cloud.payments.contract.custom_rig import CustomRig
from tests.cloud.payments.contract.rig import ProviderRig
from tests.cloud.payments.contract.tbank_rig import TBankRig
from tests.cloud.payments.contract.till import ContractTill
from tests.cloud.payments.contract.yookassa_rig import YooKassaRig
from tests.cloud.worlds import HandClock, World

Rigged = Callable[..., ProviderRig]
RIGS: dict[str, Rigged] = {"yookassa": YooKassaRig, "tbank": TBankRig, "custom": CustomRig}


@pytest.fixture(params=RIGS)
def make_rig(request: pytest.FixtureRequest) -> Rigged:
    """Each provider in turn."""
    return RIGS[request.param]


@pytest.fixture
def rig(make_rig: Rigged) -> Iterator[ProviderRig]:
    """The provider alone, its clock standing still until it is moved."""
    made = make_rig(HandClock())
    yield made
    made.close()


@pytest.fixture
def opens_by_call() -> None:
    """For tests of opening a payment over the wire: a merchant's own page is asked nothing before its buyer comes."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left = [item for item in items if "opens_by_call" in getattr(item, "fixturenames", ()) and _rig(item) == "custom"]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def _rig(item: pytest.Item) -> object:
    return item.callspec.params.get("make_rig") if isinstance(item, pytest.Function) else None


@pytest.fixture
def counter(rig: ProviderRig) -> Counter:
    """Our side of the provider, without a cloud: opens, takes and returns payments by hand."""
    return Counter(rig)


@pytest.fixture
def till(make_rig: Rigged, sqlite_world: World) -> Iterator[ContractTill]:
    """The provider and the real parts of the cloud, on one clock."""
    made = make_rig(sqlite_world.clock, sqlite_world)
    desk = ContractTill(sqlite_world, made)
    yield desk
    desk.close()
    made.close()
