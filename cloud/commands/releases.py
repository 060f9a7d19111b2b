"""`coffee-cloud release ...`: keys and bundles, where they are made; versions and their rollouts, at the server."""

import getpass
import os
import re
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn, TypeVar

import click
from sqlalchemy import select

from cloud.access.acts import Act
from cloud.access.journal import Author, Entry, Subject, record
from cloud.database.transaction import Transaction
from cloud.releases import bundling, rollouts, standing, waves
from cloud.releases.bundling import CannotBundle
from cloud.releases.models import Release, Rollout, RolloutState
from cloud.releases.rollouts import CannotRelease, Plan, Turned
from cloud.releases.waves import Wait
from cloud.starting import open_cloud
from cloud.wiring import Cloud

T = TypeVar("T")
BAD = 1
Opens = Callable[[], Cloud]
SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
WAITS_FOR = {
    Wait.ANSWERS: "machines that were asked",
    Wait.MOMENT: "machines that had orders or were busy a moment ago",
    Wait.AWAY: "machines that are offline, to ask them",
    Wait.ANOTHER: "a machine of a later wave to try it, none asked so far has it",
    Wait.GONE: "machines that have it and are offline or run another version since, a day at the most",
    Wait.SOAK: "the soak of the machines that have it",
}
_file = click.Path(exists=True, dir_okay=False, path_type=Path)
_folder = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group()
def release() -> None:
    """New versions of the agent (docs/operations.md, Updating agents)."""


@release.command()
@click.argument("file", type=click.Path(path_type=Path))
def key(file: Path) -> None:
    """Make a release key: its private half into FILE, its public half printed. Keep FILE off every server."""
    pem, public = bundling.new_key()
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(pem)
    except OSError as error:
        _fail(str(error))
    click.echo(public)


@release.command()
@click.option("--key", "key_file", type=_file, required=True, help="as `release key` made it")
@click.option("--source", type=_folder, default=Path(), help="a checkout; else this folder")
@click.option("--machine", "machines", multiple=True, help="only for these; may be given again")
@click.option("--ready-within", default="2m", show_default=True, help="connected and ready by then, or rolled back")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="else coffee-agent-VERSION.bundle")
def bundle(key_file: Path, source: Path, machines: tuple[str, ...], ready_within: str, output: Path | None) -> None:
    """Make and sign a bundle of the agent in a checkout. Run it where the key is."""
    try:
        signer = bundling.read_key(key_file.read_bytes())
        patience = float(_seconds(ready_within))
        manifest, made = bundling.make(source, signer, machines=machines, ready_within_s=patience)
        path = output or Path(f"coffee-agent-{manifest.version}.bundle")
        path.write_bytes(made)
    except (CannotBundle, OSError) as error:
        _fail(str(error))
    click.echo(f"{path}: version {manifest.version}, {len(made)} bytes, {len(manifest.files)} files")


def add_to(main: click.Group) -> None:
    """Add the commands."""
    for command in (add, list_releases, start, status, pause, resume, stop):
        command.context_settings["obj"] = open_cloud
        release.add_command(command)
    main.add_command(release)


@click.command()
@click.pass_obj
@click.argument("file", type=_file)
def add(opens: Opens, file: Path) -> None:
    """Keep the bundle FILE, for agents to fetch. Its signature is checked against COFFEE_RELEASE_KEYS."""

    def work(tx: Transaction, cloud: Cloud) -> Release:
        author, now = _author(), cloud.clock()
        release, is_new = rollouts.add(tx, file.read_bytes(), cloud.settings.release_keys, author.who, now)
        if is_new:
            about = Subject("release", release.version)
            record(tx, Entry("release_add", author, about, after={"sha256": release.sha256}), now)
        return release

    made = _do(opens, work)
    click.echo(f"{made.version} is there. Bring it out: coffee-cloud release start {made.version}")


@click.command(name="list")
@click.pass_obj
def list_releases(opens: Opens) -> None:
    """The versions that are kept."""

    def work(tx: Transaction, _: Cloud) -> list[Release]:
        return list(tx.session.scalars(select(Release).order_by(Release.added_at)))

    for one in _do(opens, work):
        click.echo(f"{one.version:12} {one.size:8} bytes  {one.added_at:%Y-%m-%d %H:%M}  {one.added_by}")


@click.command()
@click.pass_obj
@click.argument("version")
@click.option("--waves", "waves_text", default=",".join(waves.DEFAULT), show_default=True, help="numbers or shares")
@click.option("--soak", default="1h", show_default=True, help="so long each wave is looked at before the next")
@click.option("--first", multiple=True, help="a machine that is asked before others; may be given again")
@click.option("--merchant", default="", help="only machines of this merchant")
@click.option("--allow-older", is_flag=True, help="also where a newer version runs: this is the way back")
def start(opens: Opens, version: str, waves_text: str, soak: str, first: tuple[str, ...], merchant: str,
          allow_older: bool) -> None:  # fmt: skip
    """Bring VERSION over the fleet, wave by wave; it stops by itself when a machine fails."""
    plan = Plan(
        version, tuple(wave.strip() for wave in waves_text.split(",")), _seconds(soak), allow_older, merchant, first
    )
    _act(opens, Act.START_ROLLOUT, lambda tx, now: rollouts.start(tx, plan, _author().who, now))
    click.echo("Started. How far it is: coffee-cloud release status")


@click.command()
@click.pass_obj
def status(opens: Opens) -> None:
    """How far the rollout in course is, or the latest. Ends with 1 when it has stopped."""

    def work(tx: Transaction, cloud: Cloud) -> tuple[list[str], bool]:
        rollout = rollouts.going_on(tx.session) or rollouts.latest(tx.session)
        if rollout is None:
            return ["Nothing was ever brought out."], True
        return _told(tx, rollout, cloud.clock()), rollout.state != "stopped"

    lines, is_good = _do(opens, work)
    click.echo("\n".join(lines))
    if not is_good:
        sys.exit(BAD)


@click.command()
@click.pass_obj
def pause(opens: Opens) -> None:
    """Ask no more machines until `resume`."""
    _act(opens, Act.PAUSE_ROLLOUT, lambda tx, _: rollouts.pause(tx))
    click.echo("Paused. Machines asked already go on.")


@click.command()
@click.pass_obj
@click.option("--again", is_flag=True, help="ask also the machines that failed; else they are left out")
def resume(opens: Opens, again: bool) -> None:
    """Go on with the latest rollout, if it was paused or has stopped."""
    _act(opens, Act.RESUME_ROLLOUT, lambda tx, now: rollouts.resume(tx, now, again=again))
    click.echo("It goes on.")


@click.command()
@click.pass_obj
@click.option("--reason", default="", help="why; stays in the journal")
def stop(opens: Opens, reason: str) -> None:
    """Ask no more machines. The way back is `start` with the version before and --allow-older."""
    _act(opens, Act.STOP_ROLLOUT, lambda tx, now: rollouts.stop(tx, reason, now), reason)
    click.echo("Stopped. Machines asked already go on.")


def _told(tx: Transaction, rollout: Rollout, now: datetime) -> list[str]:
    began = f"{rollout.asked_at:%Y-%m-%d %H:%M} by {rollout.asked_by}"
    lines = [
        f"{rollout.version}: {rollout.state}, wave {rollout.wave + 1} of {', '.join(rollout.waves)}; since {began}"
    ]
    if rollout.why:
        lines.append(f"why: {rollout.why}")
    if rollout.state == RolloutState.RUNNING.value:
        lines.append(f"waits for: {_waits_for(tx, rollout, now)}")
    by_wave: dict[int, list[str]] = {}
    for wave, step, count in rollouts.counts(tx.session, rollout.id):
        by_wave.setdefault(wave, []).append(f"{count} {step}")
    lines += [f"  wave {wave + 1}: {', '.join(steps)}" for wave, steps in sorted(by_wave.items())]
    return lines + [
        f"  {one.device_uuid} {one.state}: {one.code} {one.words}".rstrip()
        for one in rollouts.troubles(tx.session, rollout.id)
    ]


def _waits_for(tx: Transaction, rollout: Rollout, now: datetime) -> str:
    wait, machines = standing.wait(tx.session, rollout, now)
    if wait is Wait.SOAK and rollout.settled_at is not None:
        return f"the end of the soak, {rollout.settled_at + timedelta(seconds=rollout.soak_s):%Y-%m-%d %H:%M}"
    return f"{WAITS_FOR[wait]} ({machines})"


def _act(opens: Opens, act: Act, turn: Callable[[Transaction, datetime], Turned], why: str = "") -> None:
    """Do it, and write it down, in one transaction."""

    def work(tx: Transaction, cloud: Cloud) -> None:
        now = cloud.clock()
        turned = turn(tx, now)
        record(tx, Entry(act, _author(), turned.subject, why, turned.before, turned.after), now)

    _do(opens, work)


def _do(opens: Opens, work: Callable[[Transaction, Cloud], T]) -> T:
    cloud = opens()
    try:
        return cloud.database.transact(work, cloud)
    except (CannotRelease, waves.BadWaves) as error:
        _fail(str(error))
    finally:
        cloud.close()


def _seconds(text: str) -> int:
    said = re.fullmatch(r"([0-9]{1,6})([smhd]?)", text)
    if said is None:
        raise click.BadParameter(f"{text}: seconds, or such as 30m, 2h or 1d")
    return int(said.group(1)) * SECONDS[said.group(2)]


def _author() -> Author:
    return Author(f"cli:{getpass.getuser()}"[:64], "coffee-cloud")


def _fail(words: str) -> NoReturn:
    click.echo(words, err=True)
    sys.exit(BAD)
