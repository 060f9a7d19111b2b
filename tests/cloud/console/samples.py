"""One thing of the merchant `north` for every kind of thing that routes are about. A room with a kind of its own adds
how to make one here; the walk in `test_every_route.py` then holds its routes.
"""

from collections.abc import Callable

from tests.cloud.console.building import OWN, Console
from tests.cloud.console.made import a_claim, a_request
from tests.cloud.worlds import DEVICE

SAMPLES: dict[str, Callable[[Console], str]] = {
    "claim": a_claim,
    "return_request": a_request,
    "device": lambda _: DEVICE,
    "merchant": lambda _: OWN,
    "order": lambda console: console.world.pay(),
}
