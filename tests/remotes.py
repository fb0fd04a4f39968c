"""Real git remotes for tests: a bare folder, git daemon, smart HTTP and ssh, each fresh and empty.

Every server listens on 127.0.0.1 only, runs in a process of its own (so that tests may fork
without threads beside them), and ends with the block that asked for it or with the process that
did. The HTTP server hands each request to ``git http-backend``, as a web server would; it counts,
and it can be told to misbehave: see `Wire`.
"""

from __future__ import annotations

import contextlib
import ctypes
import getpass
import mmap
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedReader
from pathlib import Path
from typing import NoReturn

from tests.support import Git

LOOPBACK = "127.0.0.1"
_START_SECONDS = 20.0
_END_SECONDS = 10.0
_PIECE = 1 << 16


class Remote:
    """A remote and the bare repository behind it.

    Attributes:
        url: What a client is given.
        git: git in the bare repository.
        environment: Variables that a client needs.
    """

    def __init__(self, url: str, git: Git, environment: Mapping[str, str] | None = None) -> None:
        self.url = url
        self.git = git
        self.environment = dict(environment or {})


class Wire(ctypes.Structure):
    """What the HTTP server counts, and how it misbehaves; shared with the server's process.

    Attributes:
        requests: Answered since the start.
        bytes_in: Of request bodies as they came over the wire; `bytes_out` of responses.
        kills: Backends that were killed; `cuts` likewise connections.
        kill_percent: Of requests whose backend gets SIGKILL, within `kill_within_ms`.
        cut_after: Bytes of bodies that a connection carries until it is cut; 0 for no end. (A cut
            of one that served before may be mended by curl, which tries anew.)
        bytes_per_second: The most that a request may have each way; 0 for no limit.
    """

    _fields_ = (
        ("port", ctypes.c_int64),
        ("requests", ctypes.c_int64),
        ("bytes_in", ctypes.c_int64),
        ("bytes_out", ctypes.c_int64),
        ("kills", ctypes.c_int64),
        ("cuts", ctypes.c_int64),
        ("kill_percent", ctypes.c_int64),
        ("kill_within_ms", ctypes.c_int64),
        ("cut_after", ctypes.c_int64),
        ("bytes_per_second", ctypes.c_int64),
    )
    port: int
    requests: int
    bytes_in: int
    bytes_out: int
    kills: int
    cuts: int
    kill_percent: int
    kill_within_ms: int
    cut_after: int
    bytes_per_second: int

    @property
    def bytes(self) -> int:
        """Both ways together."""
        return self.bytes_in + self.bytes_out


class HttpRemote(Remote):
    """A remote behind `git http-backend`, with its `Wire`."""

    def __init__(self, url: str, git: Git, wire: Wire) -> None:
        super().__init__(url, git)
        self.wire = wire


def bare_repository(folder: Path) -> Git:
    """Make an empty bare repository that anybody may push to."""
    folder.mkdir(parents=True)
    git = Git(folder)
    git("init", "--quiet", "--bare", "--initial-branch=main")
    git("config", "http.receivepack", "true")
    return git


@contextmanager
def folder_remote(folder: Path) -> Iterator[Remote]:
    """A bare folder on the same machine."""
    yield Remote(str(folder / "remote.git"), bare_repository(folder / "remote.git"))


@contextmanager
def daemon_remote(folder: Path) -> Iterator[Remote]:
    """``git daemon`` with pushing allowed."""
    git = bare_repository(folder / "remote.git")
    port = free_port()
    with _program(*daemon_command(folder, LOOPBACK, port)):
        _wait_for_port(port)
        yield Remote(f"git://{LOOPBACK}:{port}/remote.git", git)


def daemon_command(folder: Path, address: str, port: int) -> list[str]:
    """Return the command line of a ``git daemon`` that serves a folder's repositories."""
    return [
        "git",
        "daemon",
        f"--listen={address}",
        f"--port={port}",
        f"--base-path={folder}",
        "--export-all",
        "--enable=receive-pack",
        "--reuseaddr",
        "--informative-errors",
        str(folder),
    ]


@contextmanager
def ssh_remote(folder: Path) -> Iterator[Remote]:
    """An sshd of our own, with keys that live as long as the folder."""
    git = bare_repository(folder / "remote.git")
    port = free_port()
    configuration = _sshd_configuration(folder, port)
    program = _find_program("sshd") or "sshd"
    with _program(program, "-D", "-e", "-f", str(configuration)):
        _wait_for_port(port)
        command = (
            f"ssh -F none -i '{folder / 'user-key'}' -o IdentitiesOnly=yes -o BatchMode=yes "
            f"-o UserKnownHostsFile='{folder / 'known-hosts'}' -o LogLevel=ERROR "
            f"-o StrictHostKeyChecking=accept-new -o IdentityAgent=none"
        )
        url = f"ssh://{getpass.getuser()}@{LOOPBACK}:{port}{folder}/remote.git"
        yield Remote(url, git, {"GIT_SSH_COMMAND": command})


def _sshd_configuration(folder: Path, port: int) -> Path:
    for name in ("host-key", "user-key"):
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(keygen, check=True)
    shutil.copy(folder / "user-key.pub", folder / "authorized-keys")
    if os.geteuid() == 0:  # sshd as root wants its empty folder, which systemd makes elsewhere
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    configuration = folder / "sshd-config"
    configuration.write_text(
        f"Port {port}\nListenAddress {LOOPBACK}\nHostKey {folder}/host-key\n"
        f"AuthorizedKeysFile {folder}/authorized-keys\nPidFile none\nStrictModes no\n"
        "UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PermitRootLogin prohibit-password\nPrintMotd no\nMaxStartups 100\n"
    )
    return configuration


@contextmanager
def http_remote(
    folder: Path, *, address: str = LOOPBACK, enter: Callable[[], None] | None = None
) -> Iterator[HttpRemote]:
    """Smart HTTP.

    Args:
        folder: Where the bare repository is made.
        address: Where to listen.
        enter: Called in the server's process before it listens.
    """
    git = bare_repository(folder / "remote.git")
    wire = Wire.from_buffer(mmap.mmap(-1, ctypes.sizeof(Wire)))
    with _child(lambda: _serve_http(folder, address, wire, enter)) as child:
        deadline = time.monotonic() + _START_SECONDS
        while not wire.port:
            assert time.monotonic() < deadline, "the HTTP server did not start"
            assert os.waitpid(child, os.WNOHANG) == (0, 0), "the HTTP server ended"
            time.sleep(0.01)
        yield HttpRemote(f"http://{address}:{wire.port}/remote.git", git, wire)


TRANSPORTS: dict[str, Callable[[Path], AbstractContextManager[Remote]]] = {
    "folder": folder_remote,
    "daemon": daemon_remote,
    "http": http_remote,
    "ssh": ssh_remote,
}


def missing_program(transport: str) -> str | None:
    """Return the program that a transport needs and this machine lacks; None if it has all."""
    if transport == "ssh":
        needed = ("sshd", "ssh", "ssh-keygen")
        return next((name for name in needed if _find_program(name) is None), None)
    parts = {"daemon": "git-daemon", "http": "git-http-backend"}
    if transport not in parts:
        return None
    folder = subprocess.run(["git", "--exec-path"], check=True, capture_output=True, text=True)
    name = parts[transport]
    return None if Path(folder.stdout.strip(), name).exists() else name


def _find_program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")


# --- processes ---------------------------------------------------------------------------------


@contextmanager
def _child(work: Callable[[], object]) -> Iterator[int]:
    """Run ``work`` in a forked process group; the block gets its id, and its end kills it."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os.setpgid(0, 0)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            work()
        os._exit(1)
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)
        _reap(child)


def _reap(child: int) -> None:
    """Wait for a child that was told to end, and kill it if it does not."""
    deadline = time.monotonic() + _END_SECONDS
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return
            time.sleep(0.01)


@contextmanager
def _program(*command: str) -> Iterator[None]:
    """Run a server program; it ends with the block, or when this process is gone."""
    parent = os.getpid()
    with _child(lambda: _supervise(command, parent)):
        yield


def _supervise(command: tuple[str, ...], parent: int) -> None:
    stopped: list[int] = []  # raising in the handler could leave a lock of Popen's held for ever
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    log = subprocess.DEVNULL
    server = subprocess.Popen(command, stdin=log, stdout=log, stderr=log)
    while not stopped and os.getppid() == parent and server.poll() is None:
        time.sleep(0.05)
    server.terminate()
    server.wait()


def free_port() -> int:
    """Return a port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection((LOOPBACK, port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, f"nothing listens on port {port}"
            time.sleep(0.02)
        else:
            return


# --- smart HTTP --------------------------------------------------------------------------------


def _serve_http(folder: Path, address: str, wire: Wire, enter: Callable[[], None] | None) -> None:
    parent = os.getppid()
    if enter is not None:
        enter()
    with _Server((address, 0), folder, wire, parent) as server:
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
        wire.port = server.server_address[1]
        server.serve_forever(poll_interval=0.2)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], root: Path, wire: Wire, parent: int) -> None:
        super().__init__(address, _Handler)
        self.root = root
        self.wire = wire
        self.counting = threading.Lock()
        self.backends: set[subprocess.Popen[bytes]] = set()
        self._parent = parent

    def service_actions(self) -> None:
        if os.getppid() != self._parent:
            self.stop()

    def stop(self) -> NoReturn:
        """End this process, and the backends that it has at work."""
        for backend in list(self.backends):
            _kill_group(backend)
        os._exit(0)

    def handle_error(self, *_: object) -> None:
        """Say nothing: connections break here on purpose."""


class _CutError(ConnectionError):
    """The connection has been cut, as `Wire.cut_after` asked."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    server: _Server

    def setup(self) -> None:
        """Keep what is on its way small where bytes are slow: a cut then comes in the middle."""
        if self.server.wire.bytes_per_second:
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                self.request.setsockopt(socket.SOL_SOCKET, option, 4096)
        self._carried = 0
        super().setup()

    def do_GET(self) -> None:
        """Let git answer, and relay."""
        self._answer()

    def do_POST(self) -> None:
        """Let git answer, and relay."""
        self._answer()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        with self.server.counting:
            self.server.wire.requests += 1
        backend = subprocess.Popen(
            ["git", "http-backend"],
            env=self._cgi_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert isinstance(backend.stdout, BufferedReader)
        self.server.backends.add(backend)
        feeder = threading.Thread(target=self._feed, args=(backend,), daemon=True)
        feeder.start()
        killer = self._start_killer(backend)
        try:
            whole = self._relay(backend.stdout, backend)
        except OSError:
            whole = False
        killer.cancel()
        if not whole:
            self._hang_up()
            _kill_group(backend)
        backend.wait()
        feeder.join()
        backend.stdout.close()
        self.server.backends.discard(backend)

    def _cgi_environment(self) -> dict[str, str]:
        path, _, query = self.path.partition("?")
        given = {
            "CONTENT_TYPE": self.headers.get("Content-Type"),
            "CONTENT_LENGTH": self.headers.get("Content-Length"),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding"),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol"),
        }
        return {
            **os.environ,
            **{name: value for name, value in given.items() if value is not None},
            "GATEWAY_INTERFACE": "CGI/1.1",
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROJECT_ROOT": str(self.server.root),
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REMOTE_ADDR": self.client_address[0],
            "REQUEST_METHOD": self.command,
            "SERVER_PROTOCOL": self.request_version,
        }

    def _start_killer(self, backend: subprocess.Popen[bytes]) -> threading.Timer:
        """Kill the backend and all its children at a random moment, with some probability."""
        wire = self.server.wire
        source = random.SystemRandom()

        def kill() -> None:
            if backend.poll() is None:
                _kill_group(backend)
                with self.server.counting:
                    wire.kills += 1

        killer = threading.Timer(source.uniform(0, wire.kill_within_ms / 1000), kill)
        killer.daemon = True
        if source.randrange(100) < wire.kill_percent:
            killer.start()
        return killer

    def _feed(self, backend: subprocess.Popen[bytes]) -> None:
        """Give the request's body to git; what git does not want is read all the same.

        A backend whose body ends too early would wait for the rest for ever, and busily.
        """
        stdin = backend.stdin
        assert stdin is not None
        wanted = True
        try:
            for piece in self._body():
                self._pass("bytes_in", len(piece))
                if wanted:
                    try:
                        stdin.write(piece)
                    except BrokenPipeError:
                        wanted = False
        except (OSError, ValueError):
            _kill_group(backend)
            self._hang_up()
        with contextlib.suppress(BrokenPipeError):
            stdin.close()

    def _body(self) -> Iterator[bytes]:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield from self._exactly(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass  # trailers
        else:
            yield from self._exactly(int(self.headers.get("Content-Length") or 0))

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self.rfile.read1(min(size, _PIECE))
            if not piece:
                raise ConnectionError("The client has gone.")
            size -= len(piece)
            yield piece

    def _relay(self, output: BufferedReader, backend: subprocess.Popen[bytes]) -> bool:
        """Relay git's answer; return whether all of it has come and gone."""
        status, headers = _read_cgi_headers(output)
        if not headers:
            return False
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while piece := output.read1(_PIECE):
            self._pass("bytes_out", len(piece))
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if backend.wait():
            return False
        self.wfile.write(b"0\r\n\r\n")
        return True

    def _pass(self, counter: str, size: int) -> None:
        """Count bytes, slow them down, and cut the connection when its time has come."""
        wire = self.server.wire
        with self.server.counting:
            setattr(wire, counter, getattr(wire, counter) + size)
            self._carried += size
            cut = 0 < wire.cut_after <= self._carried
            wire.cuts += cut
        if cut:
            self._hang_up()
            raise _CutError
        if wire.bytes_per_second:
            time.sleep(size / wire.bytes_per_second)

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def _read_cgi_headers(output: BufferedReader) -> tuple[int, list[tuple[str, str]]]:
    status, headers = 200, []
    while line := output.readline().strip():
        name, _, value = line.decode("latin-1").partition(": ")
        if name == "Status":
            status = int(value.split()[0])
        elif name != "Content-Length":  # the body is sent in chunks
            headers.append((name, value))
    return status, headers


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
