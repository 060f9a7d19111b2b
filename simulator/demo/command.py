"""`coffee-simulator demo`: the whole of Coffee Relay on one machine, for a browser, or `--once` without a person."""

import argparse
import os
import signal
import sys
import threading

from simulator.demo.front import serve
from simulator.demo.once import WentWrong, buy
from simulator.demo.programs import DidNotStart, free_port
from simulator.demo.scenarios import SCENARIOS, Scenario
from simulator.demo.stage import HURRIED, PATIENT, Stage

BREW_S = 8.0
BREW_ONCE_S = 1.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the demo."""
    parser.add_argument("--once", action="store_true", help="buy one coffee without a person, print the timeline, end")
    parser.add_argument(
        "--fault", choices=sorted(SCENARIOS), default="none", metavar="NAME",
        help="with --once: what goes wrong: " + "; ".join(f"{s.name} ({s.says})" for s in SCENARIOS.values()),
    )  # fmt: skip
    parser.add_argument("--logs", action="store_true", help="with --once: also what cloud and agent log of the order")
    parser.add_argument(
        "--one-stage", action="store_true", help="the merchant takes money at once instead of holding it"
    )
    parser.add_argument("--own-broker", action="store_true", help="use the development broker even where Mosquitto is")
    parser.add_argument(
        "--port",
        type=int,
        default=8000,
        help="of the front page, if it is free (default: %(default)s); 0: any free one, here and for all other parts",
    )


def run(args: argparse.Namespace) -> int:
    """0 when the demo ended as it should; 1 when it did not; 2 for wrong usage."""
    if (args.fault != "none" or args.logs) and not args.once:
        print("--fault and --logs go with --once; without it switch faults on at the machine's panel", file=sys.stderr)
        return 2
    _pass_by_the_proxy()
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell's background job ignores Ctrl-C
        signal.signal(number, signal.default_int_handler)
    try:
        return _once(args, SCENARIOS[args.fault]) if args.once else _for_a_person(args)
    except (DidNotStart, WentWrong) as error:
        print(f"The demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Ended before it began." if not args.once else "Ended before its end.", file=sys.stderr)
        return 1


def _pass_by_the_proxy() -> None:
    """The demo's parts, and whatever they start, reach each other without the proxy that leads to the network."""
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    if known != "*":
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(filter(None, [known, "127.0.0.1,localhost"]))


def _once(args: argparse.Namespace, scenario: Scenario) -> int:
    capture = "immediate" if args.one_stage else "on_dispense"
    with Stage(HURRIED, BREW_ONCE_S, capture=capture, own_broker=args.own_broker) as stage:
        print(
            f"Cloud, agent, simulated machine and provider, {stage.broker}. {scenario.says.capitalize()}.", flush=True
        )
        stage.wait_selling()
        try:
            timeline, wrong = buy(stage, scenario)
        except WentWrong as error:
            raise WentWrong(f"{error}\n{stage.logs()}") from error
        print(timeline.text())
        if args.logs:
            print("\n".join(["", *stage.log_lines_about(timeline.order_id)]))
        if wrong:
            print("\n".join(["NOT AS IT SHOULD BE:", *wrong, stage.logs()]))
            return 1
    print(_verdict(scenario))
    return 0


def _verdict(scenario: Scenario) -> str:
    cup = "One cup was poured" if scenario.cups else "No cup was poured"
    money = "the payment was captured" if scenario.captured else "the buyer has paid nothing"
    return f"As it should be: {scenario.status}. {cup}, {money}."


def _for_a_person(args: argparse.Namespace) -> int:
    port = free_port(args.port)
    capture = "immediate" if args.one_stage else "on_dispense"
    stage = Stage(
        PATIENT, BREW_S, home_port=port, capture=capture, own_broker=args.own_broker, usual_ports=args.port != 0,
        has_operator=True,
    )  # fmt: skip
    with stage:
        stage.wait_selling()
        front = serve(stage, port)
        print(f"Open {stage.home} in a browser and buy a coffee. Ctrl-C ends everything.", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("Ending.", flush=True)
        front.shutdown()
        front.server_close()
    return 0
