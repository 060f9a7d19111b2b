"""Hypothesis strategies for any message, read off its declaration, so that a new kind or field is tested unasked."""

from datetime import UTC, timedelta
from functools import cache
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from protocol.fields import FIRST_MOMENT, LAST_MOMENT

MAX_LIST = 4
"""Long lists find nothing that short ones do not; the longest have tests of their own."""
_storable = st.characters(codec="utf-8", exclude_characters="\x00")


@cache
def any_of(declared: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Any valid instance: optional fields there or not, every value within its declared range."""
    return _of(inspect.type_info(declared))


def _of(kind: inspect.Type) -> st.SearchStrategy[Any]:
    match kind:
        case inspect.StructType():
            return _struct(kind)
        case inspect.UnionType():
            return st.one_of([_of(one) for one in kind.types])
        case inspect.ListType():
            return st.lists(_of(kind.item_type), max_size=MAX_LIST)
        case inspect.DictType():
            return st.dictionaries(_of(kind.key_type), _of(kind.value_type), max_size=MAX_LIST)
        case inspect.IntType():
            return st.integers(kind.ge, kind.le)
        case inspect.StrType():
            return _text(kind)
        case inspect.FloatType():
            return st.floats(kind.ge, kind.le, allow_nan=False, allow_infinity=False)
        case inspect.DateTimeType(tz=True):
            first, behind = FIRST_MOMENT.replace(tzinfo=None), LAST_MOMENT.replace(tzinfo=None)
            return st.datetimes(first, behind - timedelta(microseconds=1), timezones=st.just(UTC))
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case inspect.EnumType():
            return st.sampled_from(list(kind.cls))
        case inspect.LiteralType():
            return st.sampled_from(list(kind.values))
    raise AssertionError(f"a field of a kind these tests have not met: {kind}")


def _text(kind: inspect.StrType) -> st.SearchStrategy[str]:
    shortest, longest = kind.min_length or 0, kind.max_length or 64
    if kind.pattern and "A-Z" in kind.pattern:
        return st.text("azAZ09_:.-", min_size=0 if "{0," in kind.pattern else 1, max_size=64)
    return st.text(_storable, min_size=shortest, max_size=longest)


def _struct(kind: inspect.StructType) -> st.SearchStrategy[Any]:
    fields = [field for field in kind.fields if field.name != "v"]
    required = {field.name: _of(field.type) for field in fields if field.required}
    optional = {field.name: _of(field.type) for field in fields if not field.required}
    return st.fixed_dictionaries(required, optional=optional).map(lambda values: kind.cls(**values))
