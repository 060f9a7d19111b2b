"""The command `coffee-agent`: run, enroll, doctor, status, journal.

Exit codes: 0 good, 1 it ran and the answer is bad, 2 wrong usage or settings.
"""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent import AGENT_VERSION, enrolment, log, settings, show
from agent.doctor import examination, findings
from agent.folder_lock import AlreadyRunning
from agent.journal import operator_decisions
from agent.journal.operator_decisions import Decision
from agent.journal.sqlite_file import JournalFailed
from agent.machine import profile
from agent.service import Service
from agent.settings import BadSettings, Settings
from agent.update import self_test, starting

GOOD, BAD, USAGE = 0, 1, 2
DECISION_S = 5.0
"""How long the command line waits for a running agent to act on a decision."""


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code."""
    args = _parser().parse_args(argv)
    commands = {
        "run": _run, "enroll": _enroll, "doctor": _doctor, "status": _status, "journal": _journal,
        "self-test": _self_test,
    }  # fmt: skip
    try:
        return commands[args.command](args, settings.environment(os.environ, Path.cwd()))
    except (BadSettings, profile.BadProfile) as error:
        print(f"coffee-agent: bad settings\n{error}", file=sys.stderr)
        return USAGE
    except (JournalFailed, AlreadyRunning, OSError) as error:
        print(f"coffee-agent: {error}", file=sys.stderr)
        return BAD


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="coffee-agent",
        description="The program on the coffee machine.",
        epilog="Settings come from the environment (COFFEE_AGENT_...) and from .env in the working folder.",
    )
    parser.add_argument("--version", action="version", version=f"coffee-agent {AGENT_VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("run", help="take make commands and drive the machine, until stopped")
    enroll = commands.add_parser("enroll", help="get this machine's settings from the cloud, by a code")
    enroll.add_argument("url", help="of the cloud, https://...")
    enroll.add_argument("code", help="as `coffee-cloud enroll` or the console shows it")
    enroll.add_argument("--file", type=Path, default=enrolment.SETTINGS_FILE, help="where the settings are written")
    enroll.add_argument("--serial", help="the machine's serial port, when the file does not say it yet")
    enroll.add_argument("--ca", type=Path, help="PEM file of the authority that signed the cloud's certificate; kept")
    commands.add_parser("doctor", help="look at everything the agent needs, and say what is wrong")
    commands.add_parser("status", help="what the agent on this machine is doing")
    journal = commands.add_parser("journal", help="commands and what became of them")
    journal.add_argument("what", nargs="?", choices=["list", "show"], default="list")
    journal.add_argument("id", nargs="?", help="of a command or an order, for `show`")
    journal.add_argument("--limit", type=int, default=20, help="how many commands to list (20)")
    journal.add_argument("--resume-selling", action="store_true", help="a person has looked at the machine: sell again")
    journal.add_argument("--accept-loss", action="store_true", help="go on without what a damaged journal knew")
    commands.add_parser("self-test", help="could this version run here? Asked of a new one before it is tried")
    return parser


def _run(_: argparse.Namespace, env: Mapping[str, str]) -> int:
    starting.become_chosen(settings.state_dir(env), ["run"])
    chosen = Settings.from_env(env)
    loaded = profile.load(chosen.profile)
    log.start(env)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    service = Service(chosen, loaded, env)
    service.run(stop)
    if service.is_to_restart:
        again = starting.command_line(env)
        os.execv(again[0], again)  # noqa: S606  (the command line we were called by)
    return GOOD


def _enroll(args: argparse.Namespace, _: Mapping[str, str]) -> int:
    try:
        enrolment.prove_writable(args.file)
        answer = enrolment.ask(args.url, args.code, args.ca)
        written = enrolment.write(args.file, answer, args.serial, args.ca)
    except enrolment.NotEnrolled as error:
        print(f"coffee-agent enroll: {error}", file=sys.stderr)
        return BAD
    print(f"This machine is {answer.device_uuid}; its settings are in {args.file}.")
    print(*written, sep="\n")
    return GOOD


def _doctor(_: argparse.Namespace, env: Mapping[str, str]) -> int:
    marks = set()
    for finding in examination.examine(env):
        print(finding, flush=True)
        marks.add(finding.mark)
    return USAGE if findings.WRONG in marks else BAD if findings.BAD in marks else GOOD


def _self_test(_: argparse.Namespace, env: Mapping[str, str]) -> int:
    found = self_test.problems(env)
    print(*(found or [f"version {AGENT_VERSION} could run here"]), sep="\n")
    return BAD if found else GOOD


def _status(_: argparse.Namespace, env: Mapping[str, str]) -> int:
    lines, is_good = show.status(settings.state_dir(env))
    print("\n".join(lines))
    return GOOD if is_good else BAD


def _journal(args: argparse.Namespace, env: Mapping[str, str]) -> int:
    state_dir = settings.state_dir(env)
    chosen = [
        decision
        for decision, wanted in (
            (Decision.RESUME_SELLING, args.resume_selling),
            (Decision.ACCEPT_LOSS, args.accept_loss),
        )
        if wanted
    ]
    if chosen:
        return _decide(state_dir, chosen)
    if args.what == "show":
        if not args.id:
            print("coffee-agent journal show: which command or order?", file=sys.stderr)
            return USAGE
        lines = show.command(state_dir, args.id)
        print("\n".join(lines) if lines else f"the journal knows nothing of {args.id}")
        return GOOD if lines else BAD
    print("\n".join(show.commands(state_dir, args.limit)))
    return GOOD


def _decide(state_dir: Path, chosen: list[Decision]) -> int:
    left = [operator_decisions.leave(state_dir, decision) for decision in chosen]
    waiter = threading.Event()
    for _ in range(int(DECISION_S / 0.1)):
        if not any(path.exists() for path in left):
            print("done")
            return GOOD
        waiter.wait(0.1)
    print("noted; the agent does not answer now and will act on it when it starts")
    return GOOD
