"""What the fields of messages may hold: how long a text is, how large a number, which moments there are."""

from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta

STORABLE = r"^[^\x00]*$"
"""No text holds NUL: PostgreSQL refuses it, and such a message could never be settled."""
Id = Annotated[str, Meta(min_length=1, max_length=255, pattern=STORABLE)]
DrinkNo = Annotated[str, Meta(min_length=1, max_length=128, pattern=STORABLE)]
Label = Annotated[str, Meta(max_length=64, pattern=STORABLE)]
Kopecks = Annotated[int, Meta(ge=0, le=10_000_000_00)]
Moment = Annotated[datetime, Meta(tz=True)]
FIRST_MOMENT, LAST_MOMENT = datetime(1900, 1, 1, tzinfo=UTC), datetime(2900, 1, 1, tzinfo=UTC)
"""A clock that was never set says 1970. Beyond these nothing is meant, and reckoning with it would overflow."""
Ordinal = Annotated[int, Meta(ge=1, le=1_000_000)]
Count = Annotated[int, Meta(ge=0, le=2**40)]
Code = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_:.-]{0,64}$(?!\n)")]
"""A reject, fault or agent code; empty where there is nothing to explain."""
Words = Annotated[str, Meta(max_length=500, pattern=STORABLE)]
CupSize = Annotated[int, Meta(ge=0, le=2)]
"""0 small, 1 medium, 2 large (`reasons.Size`)."""
SettingValue = bool | Annotated[int, Meta(ge=-(2**53), le=2**53)] | float | Words
Fact = (
    bool | Annotated[int, Meta(ge=-(2**53), le=2**53)] | float | Annotated[str, Meta(max_length=128, pattern=STORABLE)]
)
