"""GET and POST /m/<device_uuid>: the menu behind the QR printed on a machine. Choosing a drink makes an order."""

from dataclasses import dataclass

from flask import Response, make_response, redirect, render_template, request, url_for
from markupsafe import Markup
from sqlalchemy import select
from werkzeug.wrappers import Response as BaseResponse

from cloud.buyer.assets import asset
from cloud.buyer.errors import Trouble, asked_language
from cloud.buyer.headers import is_own
from cloud.buyer.opening import find_device, open_or_find
from cloud.buyer.presenting import DeviceView, view_device
from cloud.buyer.qr import BadScan, can_be_id, read_scan
from cloud.buyer.room import Room
from cloud.buyer.texts import Texts, why_key
from cloud.fleet.availability import CLOSED, obstacle
from cloud.fleet.models import Device, DeviceLive, Drink

SIZES = (0, 1, 2)


@dataclass(frozen=True)
class Offer:
    """One drink on the menu. `why_key` says why it cannot be made now; prices are kopecks by size."""

    drink_no: str
    name: str
    prices: tuple[tuple[int, int], ...]
    why_key: str


class Menu:
    """The views of the menu."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def show(self, device_uuid: str) -> Response:
        """What the machine sells, and what of it cannot be made now."""
        device, offers, whole_why = self._offers(device_uuid)
        texts = Texts(asked_language())
        page = render_template(
            "buyer/menu.html",
            t=texts,
            asset=asset,
            device=device,
            offers=offers,
            whole_why=whole_why,
            note=Markup(device.notes["client_info"]),  # noqa: S704  # cleaned in presenting
            other_language="en" if texts.language == "ru" else "ru",
        )
        return make_response(page)

    def choose(self, device_uuid: str) -> BaseResponse:
        """Make the order of this drink and go to its page."""
        if not is_own(request, self._room.public_url):
            raise Trouble(403, "foreign", find_device(self._room, device_uuid))
        chosen = {"uuid": self._room.new_id(), "deviceUuid": device_uuid}
        try:
            scan = read_scan(
                {"drinkNo": request.form.get("drink_no", ""), "size": request.form.get("size", ""), **chosen}
            )
        except BadScan:
            raise Trouble(400, "bad_scan", find_device(self._room, device_uuid)) from None
        order_id = open_or_find(self._room, scan)
        return redirect(url_for("buyer.status_page", order_id=order_id, lang=request.args.get("lang")), 303)

    def _offers(self, device_uuid: str) -> tuple[DeviceView, list[Offer], str]:
        with self._room.database.read() as session:
            device = session.get(Device, device_uuid) if can_be_id("deviceUuid", device_uuid) else None
            if device is None:
                raise Trouble(404, "unknown_device")
            if device.status == CLOSED:
                raise Trouble(503, "closed", view_device(device))
            live = session.get(DeviceLive, device_uuid)
            drinks = session.scalars(
                select(Drink).where(Drink.device_uuid == device_uuid).order_by(Drink.position, Drink.name)
            )
            offers = [_offer(drink, obstacle(device, live, drink.drink_no)) for drink in drinks]
            # What stands in the way of a drink nobody sells stands in the way of all of them.
            whole_why = why_key(obstacle(device, live, ""))
            return view_device(device), [offer for offer in offers if offer.prices], whole_why


def _offer(drink: Drink, code: str) -> Offer:
    prices = [(size, price) for size in SIZES if (price := drink.price(size)) is not None]
    return Offer(drink.drink_no, drink.name, tuple(prices), why_key(code))
