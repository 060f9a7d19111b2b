"""What every message over MQTT has: a kind, a version, moments in UTC."""

from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import force_setattr

from protocol import VERSION
from protocol.fields import FIRST_MOMENT, LAST_MOMENT, Ordinal


class Message(Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Every message names its kind and its version."""

    v: Ordinal = VERSION

    def __post_init__(self) -> None:
        """Whatever zone a time was written in, from here on it is UTC, and within the years that can be meant."""
        for name in self.__struct_fields__:
            moment = getattr(self, name)
            if isinstance(moment, datetime) and moment.tzinfo is not None:
                if moment.tzinfo is not UTC:
                    force_setattr(self, name, moment := _in_utc(moment))
                if not FIRST_MOMENT <= moment < LAST_MOMENT:
                    raise ValueError(f"{name}: no moment of our time")


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("before the first year or after the last") from error
