"""URL builders compiled once in a test process, not once in each of the thousand applications made there."""

from typing import Any

from werkzeug.routing import Rule

_compile = Rule._compile_builder
_compiled: dict[object, Any] = {}


def compile_once() -> None:
    """For every route added after this."""
    Rule._compile_builder = _known_builder  # type: ignore[assignment, method-assign]


def _known_builder(rule: Rule, append_unknown: bool = True) -> Any:
    """A builder knows nothing of its route but what is asked for here; it is bound to the route by who asks."""
    converters = tuple((name, type(converter)) for name, converter in rule._converters.items())
    key = (rule.rule, tuple(rule._trace), converters, repr(rule.defaults), append_unknown)
    if key not in _compiled:
        _compiled[key] = _compile(rule, append_unknown)
    return _compiled[key]
