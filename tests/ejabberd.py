"""A real cluster of three ejabberd nodes as MQTT broker, behind a real HAProxy: nodes killed and started at will.

All on loopback, with a port mapper of its own, so that several clusters may run beside each other.
"""

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.programs import Program, answers, free_port
from tests.real_parts import EJABBERD, HAPROXY, missing

NODES = (1, 2, 3)
USER, PASSWORD = "fleet", "of a test"
_START_WITHIN_S = 60.0
_NODE = """\
hosts: [localhost]
loglevel: warning
auth_method: internal
listen:
  - {{port: {port}, ip: "127.0.0.1", module: mod_mqtt, backlog: 100}}
modules:
  mod_mqtt:
    access_publish: {{"coffee/#": [{{allow: all}}]}}
    access_subscribe: {{"coffee/#": [{{allow: all}}]}}
    session_expiry: 1 day
"""
_HAPROXY = """\
defaults
  mode tcp
  timeout connect 1s
  timeout client 1h
  timeout server 1h
  retries 3
  option redispatch
  default-server check inter 500 fall 1 rise 1 on-marked-down shutdown-sessions
listen mqtt
  bind 127.0.0.1:{port}
  balance roundrobin
"""
_ERL = ("erl", "+S", "1:1", "+sbwt", "none", "-noinput", "-start_epmd", "false")
_LOOPBACK = ("-kernel", "inet_dist_use_interface", "{127,0,0,1}")


class Cluster:
    """`url` leads through HAProxy to whichever node lives."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cookie = secrets.token_hex(8)
        self._ports = {number: free_port() for number in NODES}
        self._port, self._epmd_port = free_port(), free_port()
        self._nodes: dict[int, Program] = {}
        self._others = ExitStack()
        self._env = os.environ | {
            "ERL_EPMD_PORT": str(self._epmd_port), "ERL_EPMD_ADDRESS": "127.0.0.1", "HOME": str(folder),
            "ERL_LIBS": str(Path(EJABBERD.program).parents[1]), "ERL_MAX_PORTS": "2000",
        }  # fmt: skip
        self._mark = secrets.token_hex(4)
        """Nodes' names are known to the whole machine's mappers, whoever's they are."""

    @property
    def url(self) -> str:
        return f"mqtt://{USER}%40localhost:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self._port}"

    @property
    def is_running(self) -> bool:
        return any(node.is_running for node in self._nodes.values())

    def start(self) -> None:
        """All nodes, joined."""
        mapper = ("epmd", "-port", self._epmd_port, "-address", "127.0.0.1")
        self._others.enter_context(Program(mapper, log=self._folder / "epmd.log", env=self._env))
        for number in NODES:
            self._spawn(number)
        for number in NODES:
            self._wait(number)
        first = self._name(1)
        for number in NODES[1:]:
            self._call(number, f'ejabberd_admin, join_cluster, [<<"{first}">>]')
            self._wait(number)
        self._call(1, f'ejabberd_admin, register, [<<"{USER}">>, <<"localhost">>, <<"{PASSWORD}">>]')
        self._balance()

    def kill_node(self, number: int) -> None:
        """As a power cut would."""
        self._nodes[number].kill()

    def kill(self) -> None:
        """All of them."""
        for node in self._nodes.values():
            node.kill()

    def start_node(self, number: int) -> None:
        """Again, with what it had; it finds the others by itself."""
        self._spawn(number)
        self._wait(number)

    def stop(self) -> None:
        self.kill()  # nothing of a test is worth saving
        self._others.close()

    def _name(self, number: int) -> str:
        return f"n{number}-{self._mark}@127.0.0.1"

    def _spawn(self, number: int) -> None:
        folder = self._folder / f"n{number}"
        folder.mkdir(exist_ok=True)
        (folder / "ejabberd.yml").write_text(_NODE.format(port=self._ports[number]))
        env = self._env | {
            "EJABBERD_CONFIG_PATH": str(folder / "ejabberd.yml"),
            "EJABBERD_LOG_PATH": str(folder / "ejabberd.log"),
            "ERL_CRASH_DUMP": "/dev/null",
        }
        command = (
            *_ERL, "+P", "20000", "-name", self._name(number), "-setcookie", self._cookie, *_LOOPBACK,
            "-mnesia", "dir", f'"{folder}/mnesia"', "-s", "ejabberd",
        )  # fmt: skip
        self._nodes[number] = Program(command, log=folder / "output", env=env, cwd=folder)

    def _wait(self, number: int) -> None:
        self._nodes[number].wait_until_ready(lambda: answers(self._ports[number]), timeout=_START_WITHIN_S)

    def _call(self, number: int, what: str) -> None:
        name = f"ctl-{secrets.token_hex(4)}@127.0.0.1"
        code = f"R = rpc:call('{self._name(number)}', {what}), io:format(\"~p\", [R]), halt()."
        command = (*_ERL, "-name", name, "-setcookie", self._cookie, *_LOOPBACK, "-eval", code)
        said = subprocess.run(
            command, env=self._env, capture_output=True, text=True, check=True, timeout=_START_WITHIN_S
        )
        assert said.stdout.startswith(("ok", "{ok")), said.stdout

    def _balance(self) -> None:
        servers = "".join(f"  server n{number} 127.0.0.1:{port}\n" for number, port in self._ports.items())
        file = self._folder / "haproxy.cfg"
        file.write_text(_HAPROXY.format(port=self._port) + servers)
        proxy = Program((HAPROXY.program, "-q", "-db", "-f", file), log=self._folder / "haproxy.log")
        self._others.enter_context(proxy)
        proxy.wait_until_ready(lambda: answers(self._port))


@contextmanager
def a_cluster(folder: Path) -> Iterator[Cluster]:
    """For the length of the block. Skips without ejabberd or HAProxy, and fails when CI=true."""
    for part in (EJABBERD, HAPROXY):
        if part.where is None:
            missing(part)
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
