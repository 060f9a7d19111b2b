"""`coffee-simulator machine`: options, and the program that runs one simulated machine until it is told to stop."""

import argparse
import signal
import sys
import threading
from itertools import groupby
from pathlib import Path

from simulator.machine.faults import Setting, parse_setting
from simulator.machine.power import Timing
from simulator.machine.simulator import MachineSimulator
from simulator.machine.switches import SWITCHES

_HOW_TO_SET = """\
fault switches, each NAME or NAME:SETTING[,SETTING...]
  once (usual), once=N (the N-th time), every=N, chance=0.1, on; seconds=S (how long), command=0xA2 (only such frames)
  those marked * are on until they are cleared; set otherwise they strike at such a make and stay for seconds (5)
  the panel has them all; so has its address: POST /api/faults {"name": "drop_done", "mode": "every", "n": 3},
  DELETE /api/faults/drop_done, DELETE /api/faults for all, GET /api/faults for this list, GET /api/state for the cups
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything the command takes; the help ends with every fault switch."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _HOW_TO_SET + _list_of_switches()
    parser.add_argument(
        "--tty", type=Path, metavar="SYMLINK", help="the name an agent opens: free, or a symlink (./var/machine.tty)"
    )
    parser.add_argument("--tcp", type=int, metavar="PORT", help="a port of 127.0.0.1 in place of a pty, 0 for any")
    parser.add_argument("--http", type=int, default=0, metavar="PORT", help="of the front panel, 0 for any")
    parser.add_argument("--device-uuid", default="m-001", help="the machine's name in its QR codes (m-001)")
    parser.add_argument("--cloud-url", default="http://127.0.0.1:8080", help="where its QR codes lead")
    parser.add_argument("--qr-key", metavar="HEX", help="signs its QR codes: what `coffee-cloud qr-key` prints")
    parser.add_argument("--home-url", help="where the panel's way back leads")
    parser.add_argument("--memory", type=Path, metavar="FILE", help="keeps what a real machine keeps over a power cut")
    parser.add_argument("--brew-seconds", type=float, default=6.0, help="an americano's time (6)")
    parser.add_argument("--seed", type=int, default=0, help="of everything that happens by chance (0)")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME", help="switch on at start; repeatable")


def run(args: argparse.Namespace) -> int:
    """Run until SIGINT or SIGTERM; 0, or 2 when the options make no sense."""
    if args.tty and args.tcp is not None:
        return _refuse("a machine has one line: give --tty or --tcp")
    if args.brew_seconds < 0:
        return _refuse("--brew-seconds cannot be negative")
    try:
        faults: dict[str, Setting | None] = dict(map(parse_setting, args.fault))
        simulator = MachineSimulator(
            tty=None if args.tcp is not None else args.tty or Path("var/machine.tty"),
            tcp=args.tcp,
            http=args.http,
            device_uuid=args.device_uuid,
            cloud_url=args.cloud_url,
            home_url=args.home_url,
            qr_key=bytes.fromhex(args.qr_key) if args.qr_key else None,
            memory=args.memory,
            timing=Timing(brew_s=args.brew_seconds),
            seed=args.seed,
            faults=faults,
        )
    except ValueError as error:
        return _refuse(str(error))
    return _serve(simulator)


def _serve(simulator: MachineSimulator) -> int:
    told_to_stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told_to_stop.set())
    try:
        with simulator:
            print(f"machine {simulator.controls.device_uuid} on {simulator.tty}, panel {simulator.url}", flush=True)
            told_to_stop.wait()
    except OSError as error:
        print(f"coffee-simulator machine: {error}", file=sys.stderr)
        return 1
    return 0


def _refuse(why: str) -> int:
    print(f"coffee-simulator machine: {why}", file=sys.stderr)
    return 2


def _list_of_switches() -> str:
    lines = []
    for group, switches in groupby(SWITCHES.values(), key=lambda switch: switch.group):
        lines.append(f"\n{group}")
        lines += [f"  {switch.name + ('*' if switch.lasting else ''):24}{switch.says}" for switch in switches]
    return "\n".join(lines)
