"""The API v3 over HTTP: which shop calls, for which act, what fault strikes it, and the answer as JSON."""

from collections.abc import Callable

import msgspec
from flask import Blueprint, Response, request

from simulator.shell.faults import FaultBoard
from simulator.shell.service import break_connection, drip
from simulator.yookassa import problems
from simulator.yookassa.faults import Endpoint, Fault, FaultKind
from simulator.yookassa.objects import Artist, Json, list_object, me_object, receipt_object, refund_object
from simulator.yookassa.problems import Problem, Rejected
from simulator.yookassa.provider import Call, Provider
from simulator.yookassa.shops import Shop, ShopTable

JSON_TYPE = "application/json;charset=UTF-8"
HTML_502 = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"

View = Callable[..., Json]


class Api:
    """The views, and the faults that strike them."""

    def __init__(self, shops: ShopTable, provider: Provider, artist: Artist, faults: FaultBoard[Fault]) -> None:
        self._shops = shops
        self._provider = provider
        self._artist = artist
        self._faults = faults

    def blueprint(self) -> Blueprint:
        blueprint = Blueprint("api", __name__, url_prefix="/v3")
        for method, rule, endpoint, view in (
            ("POST", "/payments", Endpoint.CREATE, self.create),
            ("GET", "/payments", Endpoint.LIST, self.list_payments),
            ("GET", "/payments/<payment_id>", Endpoint.GET, self.get_payment),
            ("POST", "/payments/<payment_id>/capture", Endpoint.CAPTURE, self.capture),
            ("POST", "/payments/<payment_id>/cancel", Endpoint.CANCEL, self.cancel),
            ("POST", "/refunds", Endpoint.REFUND, self.refund),
            ("GET", "/refunds", Endpoint.LIST_REFUNDS, self.list_refunds),
            ("GET", "/refunds/<refund_id>", Endpoint.GET_REFUND, self.get_refund),
            ("GET", "/me", Endpoint.ME, self.me),
            ("POST", "/receipts", Endpoint.RECEIPTS, self.create_receipt),
            ("GET", "/receipts", Endpoint.RECEIPTS, self.list_receipts),
        ):
            name = f"{method.lower()} {rule}".replace(".", "_")
            blueprint.add_url_rule(rule, name, self._served(endpoint, view), methods=[method])
        return blueprint

    def create(self, shop: Shop) -> Json:
        return self._artist.payment(self._provider.create(_call(shop)))

    def get_payment(self, shop: Shop, payment_id: str) -> Json:
        return self._artist.payment(self._provider.get_payment(shop, payment_id))

    def capture(self, shop: Shop, payment_id: str) -> Json:
        return self._artist.payment(self._provider.capture(_call(shop), payment_id))

    def cancel(self, shop: Shop, payment_id: str) -> Json:
        return self._artist.payment(self._provider.cancel(_call(shop), payment_id))

    def list_payments(self, shop: Shop) -> Json:
        page = self._provider.list_payments(shop, request.args)
        return list_object([self._artist.payment(payment) for payment in page.items], page.next_cursor)

    def refund(self, shop: Shop) -> Json:
        return refund_object(self._provider.refund(_call(shop)))

    def get_refund(self, shop: Shop, refund_id: str) -> Json:
        return refund_object(self._provider.get_refund(shop, refund_id))

    def list_refunds(self, shop: Shop) -> Json:
        page = self._provider.list_refunds(shop, request.args)
        return list_object([refund_object(refund) for refund in page.items], page.next_cursor)

    def me(self, shop: Shop) -> Json:
        return me_object(shop)

    def create_receipt(self, shop: Shop) -> Json:
        return receipt_object(self._provider.create_receipt(_call(shop)))

    def list_receipts(self, shop: Shop) -> Json:
        page = self._provider.list_receipts(shop, request.args)
        return list_object([receipt_object(receipt) for receipt in page.items], page.next_cursor)

    def _served(self, endpoint: Endpoint, view: View) -> Callable[..., Response]:
        def serve(**names: str) -> Response:
            try:
                shop = self._authenticated()
                fault = self._faults.strike(endpoint)
                if fault and not fault.after_commit and (answer := self._suffer(fault)):
                    return answer
                body = view(shop, **names)
            except Rejected as rejected:
                return self._problem(rejected.problem)
            if fault and fault.after_commit and (answer := self._suffer(fault)):
                return answer
            if fault and fault.kind is FaultKind.STRANGERS:
                body = with_strangers(body)
            if fault and fault.kind is FaultKind.INCOME_UNTOLD:
                body = without_income(body)
            return _json(body)

        return serve

    def _authenticated(self) -> Shop:
        given = request.authorization
        shop = None
        if given is not None and given.type == "basic":
            shop = self._shops.authenticate(given.username or "", given.password or "")
        if shop is None:
            raise Rejected(problems.BAD_CREDENTIALS)
        # An empty body (capture, cancel) needs no type.
        if request.method == "POST" and request.content_length and request.mimetype != "application/json":
            raise Rejected(problems.WRONG_CONTENT_TYPE)
        return shop

    def _suffer(self, fault: Fault) -> Response | None:
        """The answer this fault puts in place of the true one; None to go on with that."""
        match fault.kind:
            case FaultKind.HANG:
                self._faults.hang(fault.seconds)
                return None
            case FaultKind.STRANGERS | FaultKind.INCOME_UNTOLD:
                return None
            case FaultKind.DRIP:
                drip(fault.seconds)
                return Response("a long story")
            case FaultKind.RESET:
                break_connection()
                return Response(status=500)
            case FaultKind.HTML_502:
                return Response(HTML_502, 502, content_type="text/html")
            case FaultKind.ACCEPTED_202:
                waiting = "Request accepted, but not processed yet"
                return _json({"type": "processing", "description": waiting, "retry_after": fault.retry_after}, 202)
            case FaultKind.TOO_MANY_REQUESTS:
                return self._problem(problems.too_many_requests(fault.retry_after))
            case FaultKind.ERROR_500:
                return self._problem(problems.SERVER_ERROR)

    def _problem(self, problem: Problem) -> Response:
        return _json(problem.body(self._provider.ids.error()), problem.status)


def with_strangers(body: Json) -> Json:
    """The object with fields and a payment method that no document knows; what it means is unchanged."""
    changed = body | {"x_new_field": {"nested": [1, None, "text"]}, "risk_score": 0.5}
    if isinstance(changed.get("payment_method"), dict):
        changed["payment_method"] = {"type": "quantum_wallet", "id": body["id"], "saved": False, "qubits": 8}
    return changed


def without_income(body: Json) -> Json:
    """A payment, or a list of them, that does not tell the provider's commission."""
    kept = {name: value for name, value in body.items() if name != "income_amount"}
    items = kept.get("items")
    return kept | {"items": [without_income(item) for item in items]} if isinstance(items, list) else kept


def _call(shop: Shop) -> Call:
    return Call(shop, request.headers.get("Idempotence-Key", ""), request.path, request.get_data())


def _json(body: Json, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, content_type=JSON_TYPE)
