"""`python -m bench.fleet`: thousands of simulated agents, the shipped broker, orders, the broker killed meanwhile."""

import argparse
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench import surroundings
from bench.fleet.measuring import FleetResult, Sale, at_rest, come_online, sell
from bench.fleet.stage import FleetStage
from bench.orders import Prepared, device_uuid
from bench.stage import DATABASES, Deployment, Missing

MOST_P99_MS, MOST_LAG_MS, MOST_HELLOS, LEAST_POURED, MOST_ROWS = 3000.0, 5000.0, 2.0, 98.0, 1.1
"""What is promised: paid to finished, state lag, hellos a connection, poured though the broker died, rows a message."""


def main(arguments: list[str] | None = None) -> int:
    """0 when what is promised was kept, 1 when it was not."""
    options = _parser().parse_args(arguments)
    try:
        result = _measure(options)
    except Missing as missing:
        _say(f"left out: {missing}")
        return 1
    faults = judged(result)
    print(table(result, faults))
    if options.record:
        command = ["python -m bench.fleet", *(sys.argv[1:] if arguments is None else arguments)]
        _record(result, faults, " ".join(command), options.record)
    return 1 if faults else 0


def judged(result: FleetResult) -> list[str]:
    """What is promised and was not kept."""
    faults = [f"the broker refused {result.refused}"] if result.refused else []
    if result.arrival.welcomed < result.agents:
        faults.append(f"only {result.arrival.welcomed} of {result.agents} agents were welcomed")
    if result.arrival.hellos_a_connection > MOST_HELLOS:
        faults.append(f"{result.arrival.hellos_a_connection} hellos a connection")
    if (sale := result.sale) is not None:
        faults += _of_sale(sale)
        if sale.paid_to_finished is None or sale.paid_to_finished.p99 > MOST_P99_MS:
            faults.append("paid to finished: p99 of 3 s exceeded")
        if sale.state_lag is None or sale.state_lag.p99 > MOST_LAG_MS:
            faults.append("state lag: p99 of 5 s exceeded")
        if sale.rows_a_message > MOST_ROWS:
            faults.append(f"{sale.rows_a_message} rows a message")
    if (killed := result.killed) is not None:
        faults += [f"broker killed: {fault}" for fault in _of_sale(killed)]
        if killed.poured_percent < LEAST_POURED:
            faults.append(f"broker killed: {killed.poured_percent} % poured")
        if killed.hellos > MOST_HELLOS * killed.connects:
            faults.append(f"broker killed: {killed.hellos} hellos for {killed.connects} connections")
    return faults


def _of_sale(sale: Sale) -> list[str]:
    faults = [f"{sale.poured_but_lost} poured cups called not made"] if sale.poured_but_lost else []
    return [*faults, f"{sale.poured_twice} cups poured twice"] if sale.poured_twice else faults


def table(result: FleetResult, faults: list[str]) -> str:
    """Markdown that is readable as it is."""
    where = f"{result.deployment}, {result.workers} worker{'s' * (result.workers > 1)}"
    rows = {
        f"{result.agents} agents, {where}{', TLS' if result.tls else ''}": "",
        "all welcomed after, s": f"{result.arrival.seconds}",
        "hellos a connection": f"{result.arrival.hellos_a_connection}",
    } | {f"at rest: {name}, % of a processor": f"{used}" for name, used in result.rest.items()}
    for words, sale in (("", result.sale), ("broker killed: ", result.killed)):
        rows |= _told(words, sale, result.orders_a_second) if sale is not None else {}
    rows |= {f"memory of {name}, MiB": f"{told.pss:.0f}" for name, told in result.memory.items() if told is not None}
    rows["promises not kept"] = "; ".join(faults) or "none"
    return "\n".join(["| | |", "| --- | ---: |", *(f"| {name} | {value} |" for name, value in rows.items())])


def _told(words: str, sale: Sale, rate: float) -> dict[str, str]:
    took, lag = sale.paid_to_finished, sale.state_lag
    return {
        f"{words}orders, at {rate:g}/s": f"{sale.orders}",
        f"{words}paid to finished, p50 / p99 ms": f"{took.p50:.0f} / {took.p99:.0f}" if took else "",
        f"{words}poured, %": f"{sale.poured_percent}",
        f"{words}how they ended": ", ".join(f"{count} {status}" for status, count in sale.statuses.items()),
        f"{words}poured cups called not made": f"{sale.poured_but_lost}",
        f"{words}state lag, p50 / p99 ms": f"{lag.p50:.0f} / {lag.p99:.0f}" if lag else "",
        f"{words}states replaced by older ones": f"{sale.states_set_back}",
        f"{words}hellos / connections": f"{sale.hellos} / {sale.connects}",
        f"{words}rows a message": f"{sale.rows_a_message or ''}",
        f"{words}processor, %": ", ".join(f"{name} {used}" for name, used in sale.cpu.items()),
    }


def _measure(options: argparse.Namespace) -> FleetResult:
    count = round(options.rate * options.seconds)
    plans = [
        [Prepared(first + i, device_uuid((7 * i) % options.agents)) for i in range(count)] for first in (1, 1 + count)
    ]
    prepared = [order for plan in plans[: 1 + (not options.no_kill)] for order in plan]
    deployment = Deployment(options.database)
    with FleetStage(
        deployment, options.agents, prepared, options.workers, tls=options.tls, a_second=options.connects
    ) as stage:
        _say(f"{options.agents} agents connect, {options.connects:g} a second")
        arrival = come_online(stage, options.agents)
        _say(f"{arrival.welcomed} welcomed after {arrival.seconds} s; at rest for {options.rest:g} s")
        rest = at_rest(stage, options.rest) if options.rest else {}
        sale = killed = None
        if count:
            _say(f"{options.rate:g} orders/s for {options.seconds:g} s")
            sale = sell(stage, plans[0], options.rate, kills_broker=False, say=_say)
        if count and not options.no_kill:
            killed = sell(stage, plans[1], options.rate, kills_broker=True, say=_say)
        refused = stage.fleet_of_agents.take().refused
        return FleetResult(
            str(deployment), options.agents, stage.workers, options.tls, options.rate, arrival, rest, sale, killed,
            stage.weights(), refused,
        )  # fmt: skip


def _record(result: FleetResult, faults: list[str], command: str, folder: Path) -> None:
    at = datetime.now(UTC)
    told = {
        "at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "command": command,
        "commit": surroundings.commit(),
        "machine": surroundings.machine(),
        "software": surroundings.software(),
        "load": surroundings.load(),
        "result": result,
        "promises_not_kept": faults,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"fleet-{at:%Y%m%dT%H%M%S}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n")
    _say(f"recorded in {path}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.fleet", description=__doc__)
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--database", choices=DATABASES, default=str(Deployment.POSTGRESQL))
    parser.add_argument("--workers", type=int, default=1, help="worker processes, on PostgreSQL")
    parser.add_argument("--rate", type=float, default=10.0, help="orders a second; 0 for a fleet nobody buys from")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long they are sold, twice")
    parser.add_argument("--rest", type=float, default=20.0, help="seconds nobody buys, before")
    parser.add_argument(
        "--connects", type=float, default=250.0, help="agents that connect in a second at the beginning"
    )
    parser.add_argument("--tls", action="store_true", help="agents come by the machines' listener, not by loopback")
    parser.add_argument("--no-kill", action="store_true", help="leave the broker alone")
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="write fleet-<date>.json there")
    return parser


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
