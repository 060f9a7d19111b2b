"""Prometheus' text format, version 0.0.4: gauges read this moment, counters and histograms of all processes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cloud.metrics.counts import ALONE, INFINITE, SUM, Counter, Histogram, Labels

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass
class Gauge:
    """One metric: its name, what it means, and a value for each set of labels."""

    name: str
    help: str
    samples: list[tuple[dict[str, str], float]] = field(default_factory=list)

    def add(self, value: float, **labels: str) -> None:
        """One more sample."""
        self.samples.append((labels, value))


@dataclass(frozen=True)
class Counted:
    """A counter or a histogram with its totals, by the values of its labels."""

    metric: Counter | Histogram
    totals: Mapping[Labels, Mapping[int, float]]


def exposition(gauges: Iterable[Gauge], counted: Iterable[Counted] = ()) -> str:
    """The whole page."""
    lines = [line for gauge in gauges for line in _of_gauge(gauge)]
    lines += [line for one in counted for line in _of_counted(one)]
    return "".join(f"{line}\n" for line in lines)


def _of_gauge(gauge: Gauge) -> Iterator[str]:
    yield from _head(gauge.name, gauge.help, "gauge")
    for labels, value in gauge.samples:
        yield _sample(gauge.name, labels, value)


def _of_counted(one: Counted) -> Iterator[str]:
    metric = one.metric
    yield from _head(metric.name, metric.help, type(metric).__name__.lower())
    for values in sorted({*metric.known, *one.totals}):
        labels = dict(zip(metric.labels, values, strict=False))
        numbers = one.totals.get(values, {})
        if isinstance(metric, Counter):
            yield _sample(metric.name, labels, numbers.get(ALONE, 0.0))
        else:
            yield from _of_histogram(metric, labels, numbers)


def _of_histogram(metric: Histogram, labels: Mapping[str, str], numbers: Mapping[int, float]) -> Iterator[str]:
    """Each bucket holds all that was not longer than its end; the last holds all."""
    for end in metric.ends:
        held = sum(value for bucket, value in numbers.items() if ALONE < bucket <= end)
        le = "+Inf" if end == INFINITE else _number(end / 1000)
        yield _sample(f"{metric.name}_bucket", {**labels, "le": le}, held)
    yield _sample(f"{metric.name}_sum", labels, round(numbers.get(SUM, 0.0), 6))
    yield _sample(f"{metric.name}_count", labels, held)


def _head(name: str, help_: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {_escaped(help_)}"
    yield f"# TYPE {name} {kind}"


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    told = ",".join(f'{label}="{_quoted(text)}"' for label, text in labels.items())
    return f"{name}{f'{{{told}}}' if told else ''} {_number(value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
