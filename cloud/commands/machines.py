"""The commands of `coffee-cloud` about one machine: jobs for its agent, closing and opening. Acts through use cases."""

import sys
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import NoReturn, TypeVar

import click

from cloud.courier import device_jobs
from cloud.courier.device_jobs import DeviceJob, Kind, NotNow, State, Wanted
from cloud.database.transaction import Transaction
from cloud.fleet import closing
from cloud.fleet.closing import NoSuchThing
from cloud.starting import open_cloud
from cloud.wiring import Cloud
from protocol.fields import SettingValue
from protocol.reasons import RinseProgram

T = TypeVar("T")
BAD = 1
Opens = Callable[[], Cloud]
LOOK_S = 0.5
AFTER_THE_END = timedelta(seconds=10)
"""A worker that lives has ended the job by then; none may run."""
LONGEST = timedelta(minutes=3)
"""A rinse or a cup that takes longer is told of by `coffee-cloud jobs`."""
WHY_NOT = {
    device_jobs.BUSY: "an order is being made; ask again when it has ended",
    device_jobs.ASKED_ALREADY: "another job of this machine has not ended yet",
    device_jobs.NO_AGENT: "this machine has no agent",
    device_jobs.NO_DRINK: "this machine does not sell that drink in that size",
}
_by = click.option("--by", required=True, help="who asks; stays with the job")
_device = click.argument("device_uuid")


@click.command()
@click.pass_obj
@_device
@click.option("--program", type=click.Choice([each.value for each in RinseProgram]), default="rinse", show_default=True)
@_by
def rinse(opens: Opens, device_uuid: str, program: str, by: str) -> None:
    """Have DEVICE_UUID rinse or clean itself."""
    _run(opens, device_uuid, Wanted(Kind.RINSE, program=RinseProgram(program)), by)


@click.command()
@click.pass_obj
@_device
@_by
def restart(opens: Opens, device_uuid: str, by: str) -> None:
    """Start the agent of DEVICE_UUID anew."""
    _run(opens, device_uuid, Wanted(Kind.RESTART), by)


@click.command()
@click.pass_obj
@_device
@click.argument("values", nargs=-1)
@_by
def settings(opens: Opens, device_uuid: str, values: tuple[str, ...], by: str) -> None:
    """Let VALUES (`timers.max_brew=240`) stand in place of the profile's of DEVICE_UUID; none: the profile's alone."""
    _run(opens, device_uuid, Wanted(Kind.SETTINGS, values=dict(map(_setting, values))), by)


@click.command(name="test-cup")
@click.pass_obj
@_device
@click.argument("drink_no")
@click.option("--size", type=click.IntRange(0, 2), default=1, show_default=True)
@_by
def test_cup(opens: Opens, device_uuid: str, drink_no: str, size: int, by: str) -> None:
    """Have DEVICE_UUID pour DRINK_NO for nothing. A good cup opens what closed by itself."""
    _run(opens, device_uuid, Wanted(Kind.TEST_CUP, drink_no=drink_no, size=size), by)


@click.command()
@click.pass_obj
@_device
@click.option("--by", required=True, help="who has looked at the machine; stays among its events")
@click.option("--accept-loss", is_flag=True, help="also when its damaged journal was put aside")
def resume(opens: Opens, device_uuid: str, by: str, accept_loss: bool) -> None:
    """Let DEVICE_UUID sell again, after a person has looked: what stopped or closed it, two agents under its name."""
    cloud = opens()
    try:
        job_id = device_jobs.new_id(Kind.RESUME, uuid.uuid4().hex)
        let_sell = partial(device_jobs.let_sell, device_uuid=device_uuid, by=by, job_id=job_id, accept_loss=accept_loss)
        resumed = _asked(cloud, let_sell)
        if resumed.was_two:
            click.echo("Two agents had taken turns under this name; the next turn of another one stops the sale again.")
        if resumed.asks_agent:
            _tell(_waited_for(cloud, job_id), "The agent sells again, as far as a person's decision was missing.")
        else:
            click.echo("Open.")
    finally:
        cloud.close()


@click.command()
@click.pass_obj
@_device
@click.option("--drink", default="", help="only this drink")
@click.option("--by", required=True, help="who closes it")
@click.option("--reason", required=True, help="why; shown to whoever opens it")
def close(opens: Opens, device_uuid: str, drink: str, by: str, reason: str) -> None:
    """Sell nothing more of DEVICE_UUID; what is paid is poured."""
    is_new = _closing(opens, partial(closing.close, device_uuid=device_uuid, drink_no=drink, by=by, why=reason))
    click.echo("Closed." if is_new else "It was closed already.")


@click.command(name="open")
@click.pass_obj
@_device
@click.option("--drink", default="", help="only this drink")
@click.option("--by", required=True, help="who opens it")
def open_command(opens: Opens, device_uuid: str, drink: str, by: str) -> None:
    """Sell it again, whoever or whatever had closed it. An agent that stopped selling itself needs `resume`."""
    was_closed = _closing(opens, partial(closing.open_again, device_uuid=device_uuid, drink_no=drink, by=by))
    click.echo("Open." if was_closed else "It was not closed.")


@click.command()
@click.pass_obj
@_device
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="only the newest")
def jobs(opens: Opens, device_uuid: str, limit: int) -> None:
    """What was asked of the agent of DEVICE_UUID, and what it answered."""
    cloud = opens()
    try:
        with cloud.database.read() as session:
            asked = device_jobs.latest(session, device_uuid, limit)
    finally:
        cloud.close()
    for job in asked:
        told = " ".join(word for word in (job.state, job.code, job.words) if word)
        click.echo(f"{job.asked_at:%Y-%m-%d %H:%M:%S}  {job.kind:9} {told}  ({job.asked_by})")


def add_to(main: click.Group) -> None:
    """Add the commands."""
    for command in (rinse, restart, settings, test_cup, resume, close, open_command, jobs):
        command.context_settings["obj"] = open_cloud
        main.add_command(command)


def _run(opens: Opens, device_uuid: str, wanted: Wanted, by: str) -> None:
    cloud = opens()
    try:
        job_id = device_jobs.new_id(wanted.kind, uuid.uuid4().hex)
        _asked(cloud, partial(device_jobs.ask, device_uuid=device_uuid, wanted=wanted, by=by, job_id=job_id))
        _tell(_waited_for(cloud, job_id))
    finally:
        cloud.close()


def _asked(cloud: Cloud, work: Callable[..., T]) -> T:
    def ask(tx: Transaction, now: datetime) -> T:
        return work(tx, now=now)

    try:
        return cloud.database.transact(ask, cloud.clock())
    except NotNow as refused:
        _fail(f"not asked: {WHY_NOT[refused.code]}")
    except NoSuchThing as error:
        _fail(str(error))


def _closing(opens: Opens, work: Callable[..., bool]) -> bool:
    cloud = opens()
    try:
        return _asked(cloud, work)
    finally:
        cloud.close()


def _waited_for(cloud: Cloud, job_id: str) -> DeviceJob:
    """The job when it has ended, or when nobody waits any longer."""
    with cloud.database.wakeups.waiter(device_jobs.topic_of(job_id)) as waiter:
        while True:
            with cloud.database.read() as session:
                job = session.get_one(DeviceJob, job_id)
            if job.ended_at is not None or cloud.clock() > _patience(job):
                return job
            waiter.wait(LOOK_S)


def _patience(job: DeviceJob) -> datetime:
    return job.asked_at + LONGEST if job.state == State.STARTED else job.expires_at + AFTER_THE_END


def _tell(job: DeviceJob, done: str = "Done.") -> None:
    words = f" {job.words}" if job.words else ""
    match State(job.state):
        case State.DONE:
            click.echo(done)
        case State.STARTED:
            click.echo("It has begun; `coffee-cloud jobs` tells of its end.")
        case State.REFUSED:
            _fail(f"the agent refuses ({job.code}):{words}")
        case State.UNSUPPORTED:
            _fail("the agent is older than this command")
        case State.WAITING | State.SENT | State.EXPIRED:
            _fail("the agent does not answer; is it online, and a worker alive? Ask again")
        case _:
            _fail(f"{job.state} ({job.code}):{words}")


def _setting(text: str) -> tuple[str, SettingValue]:
    name, is_given, value = text.partition("=")
    if not is_given:
        raise click.BadParameter(f"{text}: NAME=VALUE", param_hint="VALUES")
    for read in (int, float):
        try:
            return name, read(value)
        except ValueError:
            continue
    return name, {"true": True, "false": False}.get(value.lower(), value)


def _fail(words: str) -> NoReturn:
    click.echo(words, err=True)
    sys.exit(BAD)
