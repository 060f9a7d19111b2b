"""GET and POST /m/<device_uuid>: the menu behind the QR printed on a machine. Choosing a drink makes an order."""

from dataclasses import dataclass, replace

from flask import Response, make_response, render_template, request, url_for
from markupsafe import Markup
from sqlalchemy import select
from werkzeug.wrappers import Response as BaseResponse

from cloud.buyer.assets import asset, style
from cloud.buyer.errors import Trouble, asked_language
from cloud.buyer.headers import is_own
from cloud.buyer.open_order import find_device, lead_to, open_or_find, waiting_here
from cloud.buyer.order_reader import view_device
from cloud.buyer.order_view import DeviceView
from cloud.buyer.poster import as_pdf, as_svg, draw
from cloud.buyer.qr import BadScan, can_be_id, read_scan
from cloud.buyer.services import Services
from cloud.buyer.texts import Texts, why_key
from cloud.fleet.availability import NOT_SENT, OFFLINE, TWO_AGENTS, closed_code, obstacle
from cloud.fleet.models import Device, DeviceLive, Drink, Merchant
from cloud.fleet.qr_key import SIGNED
from cloud.orders.qr_signature import QrCode
from cloud.orders.scanning import is_contract_over
from protocol.reasons import AgentCode, RejectCode

SIZES = (0, 1, 2)
OF_THE_WHOLE = frozenset(
    {OFFLINE, TWO_AGENTS, NOT_SENT, AgentCode.MACHINE_OFFLINE, AgentCode.NOT_SELLING}
    | {RejectCode.BUSY, "rinsing", "cleaning"}
)
"""Codes that say nothing about the one drink that was asked for."""
OF_A_MENU = "menu"
"""The mark of orders made here: no code in a link has it, so a link with their id proves nothing."""
PASSES = frozenset({RejectCode.BUSY, "rinsing", "cleaning"})
"""Worth waiting for: the drink can be chosen, and the order's page says how long."""


@dataclass(frozen=True)
class Offer:
    """One drink on the menu. `why_key` says why it cannot be made now; prices are kopecks by size."""

    drink_no: str
    name: str
    prices: tuple[tuple[int, int], ...]
    why_key: str


class Menu:
    """The views of the menu."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def show(self, device_uuid: str) -> BaseResponse:
        """What the machine sells, and what of it cannot be made now; or the paid drink that waits for this phone.

        That one waits also where nothing is sold.
        """
        machine = self._device(device_uuid)
        held = self._services.held().at_machine(device_uuid, self._services.clock(), is_signed=False)
        if waiting := waiting_here(self._services, device_uuid, held):
            return self._services.remember(lead_to(waiting, 302), held)
        device, offers, whole_why = self._offers(machine)
        texts = Texts(asked_language())
        page = render_template(
            "buyer/menu.html",
            t=texts,
            asset=asset,
            style=style,
            device=device,
            offers=offers,
            whole_why=whole_why,
            note=Markup(device.notes["client_info"]),  # noqa: S704  # cleaned in order_reader
            other_language="en" if texts.language == "ru" else "ru",
        )
        return self._services.remember(make_response(page), held)

    def poster(self, device_uuid: str, kind: str) -> Response:
        """The printed code that leads here, as a page to print."""
        device = self._device(device_uuid)
        self._refuse_signed(device)
        address = self._services.public_url + url_for("buyer.menu", device_uuid=device_uuid)
        shapes = draw(address, device.location, device.device_uuid, Texts(asked_language()))
        body = as_svg(shapes) if kind == "svg" else as_pdf(shapes)
        response = Response(body, mimetype="image/svg+xml" if kind == "svg" else "application/pdf")
        response.headers["Content-Disposition"] = f"inline; filename=poster.{kind}"
        return response

    def choose(self, device_uuid: str) -> BaseResponse:
        """Make the order of this drink and go to its page."""
        if not is_own(request, self._services.public_url):
            raise Trouble(403, "foreign", find_device(self._services, device_uuid))
        chosen = {"uuid": self._services.new_id(), "deviceUuid": device_uuid}
        try:
            scan = read_scan(
                {"drinkNo": request.form.get("drink_no", ""), "size": request.form.get("size", ""), **chosen}
            )
        except BadScan:
            raise Trouble(400, "bad_scan", find_device(self._services, device_uuid)) from None
        order_id, held = open_or_find(self._services, replace(scan, code=QrCode(marks=OF_A_MENU)))
        return self._services.remember(lead_to(order_id), held)

    def _offers(self, device: Device) -> tuple[DeviceView, list[Offer], str]:
        if closed_code(device, ""):
            raise Trouble(503, "closed", find_device(self._services, device.device_uuid))
        self._refuse_signed(device)
        with self._services.database.read() as session:
            merchant = session.get(Merchant, device.merchant_id)
        if merchant is None or is_contract_over(merchant, self._services.clock()):
            raise Trouble(403, "contract_over", find_device(self._services, device.device_uuid))
        return self._on_sale(device)

    def _device(self, device_uuid: str) -> Device:
        with self._services.database.read() as session:
            device = session.get(Device, device_uuid) if can_be_id("deviceUuid", device_uuid) else None
        if device is None:
            raise Trouble(404, "unknown_device")
        return device

    def _refuse_signed(self, device: Device) -> None:
        """It sells only by the code on its screen."""
        if device.qr == SIGNED:
            raise Trouble(403, "qr_unsigned", find_device(self._services, device.device_uuid))

    def _on_sale(self, device: Device) -> tuple[DeviceView, list[Offer], str]:
        """The machine is asked about the first drink on sale: one that does not answer makes none of them."""
        with self._services.database.read() as session:
            live = session.get(DeviceLive, device.device_uuid)
            its_drinks = select(Drink).where(Drink.device_uuid == device.device_uuid)
            drinks = [d for d in session.scalars(its_drinks.order_by(Drink.position, Drink.name)) if _prices(d)]
        told = {drink.drink_no: obstacle(device, live, drink) for drink in drinks}
        # What stands in the way of a drink nobody sells stands in the way of all of them.
        whole = obstacle(device, live, "")
        if drinks:
            asked = next((drink for drink in drinks if not closed_code(device, drink)), drinks[0])
            first = self._services.asking.of_drink(device, asked.drink_no, SIZES[0])
            if first in OF_THE_WHOLE or first == whole:
                whole = first
            elif not first:  # its word now corrects what was said before
                told = {drink_no: "" if code == whole else code for drink_no, code in told.items()}
                whole = ""
            told[asked.drink_no] = first
        closed = "" if whole in PASSES else whole
        offers = [_offer(drink, closed or told[drink.drink_no]) for drink in drinks]
        return view_device(device), offers, why_key(whole)


def _prices(drink: Drink) -> tuple[tuple[int, int], ...]:
    """Kopecks by size; sizes that are not sold are left out."""
    return tuple((size, price) for size in SIZES if (price := drink.price(size)) is not None)


def _offer(drink: Drink, code: str) -> Offer:
    return Offer(drink.drink_no, drink.name, _prices(drink), "" if code in PASSES else why_key(code))
