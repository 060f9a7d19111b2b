"""What a drink costs where prices are Tmetr's: asked at the scan, before any transaction, never guessed."""

import logging

from cloud.courier.tmetr.client import TmetrClient
from cloud.database.database import Database
from cloud.fleet.file_fields import MAX_PRICE, MIN_PRICE
from cloud.fleet.models import Device
from cloud.orders.scanning import TMETR

log = logging.getLogger("cloud.courier")


class TmetrPrices:
    """Any thread. `client` None: no Tmetr is set up, so no such price is known."""

    def __init__(self, database: Database, client: TmetrClient | None) -> None:
        self._database = database
        self._client = client

    def ask(self, device_uuid: str, drink_no: str, size: int) -> int | None:
        """Kopecks; None when they are not Tmetr's to tell, or it does not tell."""
        with self._database.read() as session:
            device = session.get(Device, device_uuid)
        if device is None or device.price_source != TMETR or self._client is None:
            return None
        told = self._client.price(device_uuid, drink_no, size)
        if isinstance(told, int) and MIN_PRICE <= told <= MAX_PRICE:
            return told
        why = f"{told} kopecks is no price" if isinstance(told, int) else told.why
        facts = {"device": device_uuid, "drink_no": drink_no, "size": size}
        log.error("no price from Tmetr: %s", why[:200], extra=facts)
        return None
