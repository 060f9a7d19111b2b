"""What a buyer can pay with: the payment methods and the provider's published test cards. Data and look-ups only."""

from dataclasses import dataclass

NETWORK = "payment_network"
PROVIDER = "yoo_money"


@dataclass(frozen=True, slots=True)
class Method:
    """`hold`: two-stage payments work. `refund_at_once`: the refund is final as soon as it is asked for.

    `max_amount` in kopecks; `fee` is the provider's commission in hundredths of a percent, before VAT.
    """

    type: str
    title: str
    hold: bool
    refund_at_once: bool
    max_amount: int
    fee: int


METHODS = {
    method.type: method
    for method in (
        Method("bank_card", "Банковская карта", True, True, 35_000_000, 350),
        Method("sbp", "СБП", False, False, 70_000_000, 40),
        Method("yoo_money", "ЮMoney", True, True, 25_000_000, 350),
        Method("sberbank", "SberPay", True, True, 70_000_000, 350),
        Method("tinkoff_bank", "T-Pay", True, True, 70_000_000, 350),
    )
}
VAT_ON_FEE = 22  # percent, since 2026-01-01


def income(amount: int, method: str) -> int:
    """What the shop receives of `amount` kopecks: less the commission and the VAT on it."""
    fee_with_vat = amount * METHODS[method].fee * (100 + VAT_ON_FEE)  # in millionths
    return amount - (fee_with_vat + 500_000) // 1_000_000


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Why a payment or refund was cancelled, and by which party."""

    party: str
    reason: str


@dataclass(frozen=True, slots=True)
class Card:
    """A published test card; `decline` is what the bank answers to it, None when it pays."""

    pan: str
    brand: str
    three_d_secure: bool = False
    decline: Cancellation | None = None

    @property
    def first6(self) -> str:
        return self.pan[:6]

    @property
    def last4(self) -> str:
        return self.pan[-4:]

    @property
    def grouped(self) -> str:
        return " ".join(self.pan[start : start + 4] for start in range(0, len(self.pan), 4))


PAYING_CARDS = (
    Card("5555555555554477", "MasterCard", three_d_secure=True),
    Card("5555555555554444", "MasterCard"),
    Card("4793128161644804", "Visa", three_d_secure=True),
    Card("4111111111111111", "Visa"),
    Card("2200000000000004", "Mir", three_d_secure=True),
    Card("2202474301322987", "Mir"),
    Card("6759649826438453", "Unknown"),
    Card("4175001000000017", "Visa"),
    Card("370000000000002", "AmericanExpress"),
    Card("3528000700000000", "JCB"),
    Card("36700102000000", "DinersClub"),
)

# Per reason: the party that refuses, then the MasterCard, Visa and Mir numbers.
_DECLINES = (
    ("insufficient_funds", NETWORK, "5555555555554600", "4562265587712390", "2200000000000053"),
    ("3d_secure_failed", NETWORK, "5555555555554592", "4839665499603842", "2200000000000012"),
    ("call_issuer", NETWORK, "5555555555554535", "4926946416239025", "2200000000000020"),
    ("card_expired", NETWORK, "5555555555554543", "4141435412630840", "2200000000000038"),
    ("fraud_suspected", NETWORK, "5555555555554568", "4483274282299972", "2200000000000046"),
    ("general_decline", NETWORK, "5555555555554527", "4889971706588753", "2202202212312379"),
    ("invalid_card_number", NETWORK, "5555555555554618", "4951017853630544", "2201382000000013"),
    ("invalid_csc", NETWORK, "5555555555554626", "4194180666146368", "2200770212727079"),
    ("issuer_unavailable", NETWORK, "5555555555554501", "4654130848359150", "2201382000000021"),
    ("payment_method_limit_exceeded", NETWORK, "5555555555554576", "4565231022577548", "2201382000000039"),
    ("payment_method_restricted", NETWORK, "5555555555554550", "4233961169071671", "2201382000000047"),
    ("country_forbidden", PROVIDER, "5555555555554584", "4969751510013864", "2201382000000054"),
    ("fraud_suspected", PROVIDER, "5555555555554634", "4119098878796485", "2201696981989955"),
)

DECLINED_CARDS = tuple(
    Card(pan, brand, decline=Cancellation(party, reason))
    for reason, party, *pans in _DECLINES
    for pan, brand in zip(pans, ("MasterCard", "Visa", "Mir"), strict=True)
)
CARDS = {card.pan: card for card in PAYING_CARDS + DECLINED_CARDS}


@dataclass(frozen=True, slots=True)
class Instrument:
    """What one payment was, or was to be, paid with; the bank's references are there once money moved."""

    method: str
    card: Card | None = None
    rrn: str = ""
    auth_code: str = ""
    sbp_operation_id: str = ""
