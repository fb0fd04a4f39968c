from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.command import CommandResult, read_log, remove_log, run_command
from gitexp.command.log import CommandLog
from gitexp.errors import GitexpError, GitexpWarning, UsageError

DRIVER = """
import json, os, sys
from pathlib import Path
from gitexp.command import run_command

options = json.loads(sys.argv[1])
result = run_command(
    sys.argv[2:], log=Path("run.log"), cwd=Path.cwd(), environment=dict(os.environ), **options
)
Path("result.part").write_text(json.dumps([result.exit_code, result.status]))
Path("result.part").rename("result")
"""
"""A program that runs a command and leaves exit code and status in the file ``result``."""

TERMINAL_DRIVER = """
import fcntl, os, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # the session that we lead takes this terminal
""" + (DRIVER + "print('back in front:', os.tcgetpgrp(0) == os.getpgrp(), flush=True)\n")

COUNT_SIGNALS = """
import os, signal
def note(number, frame):
    os.write(1, signal.Signals(number).name.encode() + b"\\n")
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
    if signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, note)
os.write(1, b"ready\\n")
while True:
    signal.pause()
"""
"""A command that says which signals it gets and is ended by none but SIGKILL."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def run(*argv: str, **options: Any) -> tuple[CommandResult, bytes, bytes]:
    """Run a command; return its result and what it wrote to its two outputs."""
    with Path("stdout").open("w+b") as stdout, Path("stderr").open("w+b") as stderr:
        options = {"stdout": stdout.fileno(), "stderr": stderr.fileno(), **options}
        result = run_command(
            argv, log=Path("run.log"), cwd=Path.cwd(), environment=dict(os.environ), **options
        )
    return result, Path("stdout").read_bytes(), Path("stderr").read_bytes()


def sh(script: str, **options: Any) -> tuple[CommandResult, bytes, bytes]:
    return run("sh", "-c", script, **options)


def python(code: str) -> tuple[str, str, str]:
    return sys.executable, "-c", code


@contextlib.contextmanager
def driver(
    *argv: str, program: str = DRIVER, options: dict[str, Any] | None = None, **process: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process of its own that runs a command; both are gone afterwards."""
    process.setdefault("stdout", subprocess.PIPE)
    started = subprocess.Popen(
        [sys.executable, "-c", program, json.dumps(options or {}), *argv], **process
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        for stream in (started.stdin, started.stdout):
            if stream is not None:
                stream.close()
        started.wait()


def wait_for(condition: Callable[[], Any], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "this took too long"
        time.sleep(0.01)


def wait_for_log(text: bytes) -> None:
    wait_for(lambda: Path("run.log").exists() and text in read_log(Path("run.log")))


def result() -> tuple[int, str]:
    wait_for(Path("result").exists)
    exit_code, status = json.loads(Path("result").read_text())
    return exit_code, status


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or ") Z " not in stat.read_text()


# Output


def test_output_is_passed_on_unchanged_to_its_stream_and_kept() -> None:
    noise = bytes(range(256)) * 40
    Path("noise").write_bytes(noise)
    result, stdout, stderr = sh("cat noise; sleep 0.1; printf 'oh no\\r' >&2; sleep 0.1; cat noise")
    assert stdout == noise * 2
    assert stderr == b"oh no\r"
    assert Path("run.log").read_bytes() == noise + b"oh no\r" + noise
    assert (result.exit_code, result.status) == (0, "exited")
    assert result.log_bytes == 2 * len(noise) + 6
    assert result.tail == (noise + b"oh no\r" + noise)[-8192:]


def test_output_comes_while_the_command_runs() -> None:
    with driver("sh", "-c", "echo early; read line; echo $line", stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"early\n"
        process.stdin.write(b"answer\n")  # standard input is handed down
        process.stdin.flush()
        assert process.stdout.readline() == b"answer\n"
        assert result() == (0, "exited")


@pytest.mark.parametrize(
    ("script", "exit_code"), [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -9 $$", -9)]
)
def test_the_exit_code_is_the_commands(script: str, exit_code: int) -> None:
    result, _, _ = sh(script)
    assert (result.exit_code, result.status) == (exit_code, "exited")
    assert result.duration_s > 0


def test_the_command_gets_the_folder_and_the_variables_that_are_given(tmp_path: Path) -> None:
    with Path("out").open("w+b") as out:
        run_command(
            ["sh", "-c", "pwd; echo $ONLY; echo ${HOME-none}"],
            log=Path("run.log").absolute(),
            cwd=tmp_path,
            environment={"ONLY": "this", "PATH": os.environ["PATH"]},
            stdout=out.fileno(),
        )
    assert Path("out").read_text().split("\n") == [str(tmp_path), "this", "none", ""]


def test_arguments_that_are_not_text_arrive_byte_for_byte() -> None:
    _, stdout, _ = run("printf", "%s", os.fsdecode(b"caf\xe9"))
    assert stdout == b"caf\xe9"


def test_a_reader_that_goes_away_does_not_end_the_command() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result, _, stderr = sh("seq 1 50000; echo fine >&2; exit 4", stdout=writer)
    os.close(writer)
    assert (result.exit_code, stderr) == (4, b"fine\n")
    assert Path("run.log").read_bytes().count(b"\n") == 50001


def test_a_full_disk_under_standard_output_is_told_and_ends_nothing() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.warns(GitexpWarning, match="No space left"),
    ):
        result, _, _ = sh("echo lost; exit 2", stdout=full.fileno())
    assert (result.exit_code, Path("run.log").read_bytes()) == (2, b"lost\n")


def test_a_reader_that_does_not_read_delays_the_output_but_not_the_deadline() -> None:
    script = "echo $$ > pid; exec yes"
    with driver("sh", "-c", script, options={"budget_s": 0.5}) as process:
        wait_for(lambda: Path("pid").exists() and Path("pid").read_text())
        wait_for(lambda: not alive(int(Path("pid").read_text())))
        assert process.poll() is None
        assert process.stdout is not None
        while process.stdout.read(65536):
            pass
        assert result() == (-signal.SIGTERM, "timeout")


def test_a_process_left_behind_does_not_keep_us() -> None:
    result, stdout, _ = sh("sleep 60 & echo $!")
    left = int(stdout)
    assert alive(left)
    os.kill(left, signal.SIGKILL)
    assert (result.exit_code, result.status) == (0, "exited")


def test_a_chatty_process_left_behind_does_not_keep_us() -> None:
    result, stdout, _ = sh("echo head; yes & echo $! > pid")
    assert result.exit_code == 0
    assert stdout.startswith(b"head\n")
    wait_for(lambda: not alive(int(Path("pid").read_text())))  # it got a broken pipe


def test_the_last_words_of_a_process_left_behind_are_kept() -> None:
    _, stdout, _ = sh("{ sleep 0.05; echo late; } & echo early")
    assert stdout == b"early\nlate\n"


# What cannot be run


def test_a_command_that_does_not_exist_is_not_started() -> None:
    result, _, _ = run("no-such-program-anywhere")
    assert (result.exit_code, result.status) == (127, "not_started")
    assert result.message == "The command no-such-program-anywhere was not found."


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        ("#!/bin/sh\n", 0o644, "Permission denied"),
        ("echo no interpreter named\n", 0o755, "does not begin with a #! line"),
        ("#!/no/such/interpreter\n", 0o755, "interpreter"),
    ],
)
def test_a_file_that_is_no_program_is_not_started(content: str, mode: int, message: str) -> None:
    Path("program").write_text(content)
    Path("program").chmod(mode)
    result, _, _ = run("./program")
    assert (result.exit_code, result.status) == (126, "not_started")
    assert "./program" in result.message
    assert message in result.message


def test_what_makes_no_sense_is_an_error() -> None:
    with pytest.raises(UsageError):
        run()
    with pytest.raises(GitexpError, match="absent does not exist"):
        run_command(["true"], log=Path("run.log"), cwd=Path("absent"), environment={})
    with pytest.raises(GitexpError, match=r"run\.log cannot be written"):
        run_command(["true"], log=Path("absent/run.log"), cwd=Path.cwd(), environment={})


# The log


def kept(output: bytes, head: int, tail: int) -> bytes:
    """Return what is kept of an output, by the rule itself."""
    left_out = len(output) - head - tail
    if left_out <= 0:
        return output
    return b"%s\n[%d bytes left out]\n%s" % (output[:head], left_out, output[-tail:])


@given(
    head=st.integers(0, 12),
    tail=st.integers(1, 12),
    chunks=st.lists(st.binary(max_size=30), max_size=12),
)
def test_a_log_is_bounded_and_readable_at_every_moment(
    tmp_path_factory: pytest.TempPathFactory, head: int, tail: int, chunks: Sequence[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    path, output = folder / "run.log", b""
    with CommandLog(path, head, tail) as log:
        for chunk in chunks:
            log.write(chunk)
            output += chunk
            assert read_log(path) == kept(output, head, tail)
            assert sum(file.stat().st_size for file in folder.iterdir()) <= head + 2 * tail
    assert list(folder.iterdir()) == [path]
    assert path.read_bytes() == read_log(path) == kept(output, head, tail)
    assert (log.size, log.tail) == (len(output), output)
    shutil.rmtree(folder)


def test_a_log_whose_segments_outlived_the_joining_is_read_once(folder: Path) -> None:
    path, saved = folder / "run.log", folder / "saved"
    with CommandLog(path, 10, 10) as log:
        log.write(bytes(range(65, 90)) * 2)
        shutil.copytree(folder, saved)
    whole = path.read_bytes()
    for segment in saved.glob("run.log.tail-*"):
        segment.rename(folder / segment.name)
    assert len(list(folder.glob("run.log.tail-*"))) == 2
    assert read_log(path) == whole
    remove_log(path)
    assert list(folder.iterdir()) == [saved]


def test_an_earlier_log_of_that_name_leaves_nothing_behind(folder: Path) -> None:
    path = folder / "run.log"
    (folder / "run.log.tail-3-3").write_bytes(b"old")
    (folder / "run.log2").write_bytes(b"another one")
    with CommandLog(path, 3, 3) as log:
        log.write(b"new")
    assert read_log(path) == b"new"
    assert (folder / "run.log2").read_bytes() == b"another one"


def test_a_log_that_cannot_grow_costs_a_warning_and_not_the_run(folder: Path) -> None:
    in_the_way = folder / "run.log.tail-4-4"
    with CommandLog(folder / "run.log", 4, 4) as log:
        log.write(b"abcd")
        in_the_way.mkdir()
        with pytest.warns(GitexpWarning, match="not complete"):
            log.write(b"efgh")
        log.write(b"ijkl")
        in_the_way.rmdir()
    assert (log.size, log.tail) == (12, b"abcdefghijkl")
    assert read_log(folder / "run.log") == b"abcd"


def test_a_long_output_keeps_its_beginning_and_its_end() -> None:
    result, stdout, _ = sh("seq 1 20000", log_head_bytes=1000, log_tail_bytes=2000)
    assert Path("run.log").read_bytes() == kept(stdout, 1000, 2000)
    assert result.log_bytes == len(stdout) > 3000


def test_the_log_outlives_us() -> None:
    script = "seq 1 2000; echo $$ > pid; exec sleep 60"
    with driver("sh", "-c", script, options={"log_head_bytes": 100}) as process:
        wait_for_log(b"\n2000\n")
        process.kill()
        process.wait()
    wait_for(Path("pid").exists)
    os.kill(int(Path("pid").read_text()), signal.SIGKILL)
    expected = "".join(f"{number}\n" for number in range(1, 2001)).encode()
    assert read_log(Path("run.log")) == expected


# Time and signals


def test_the_time_budget_ends_the_whole_group() -> None:
    result, stdout, _ = sh("sleep 60 & echo $!; wait", budget_s=0.2)
    assert (result.exit_code, result.status) == (-signal.SIGTERM, "timeout")
    wait_for(lambda: not alive(int(stdout)))


def test_who_ignores_the_end_of_the_budget_is_killed_after_the_grace() -> None:
    script = "trap '' TERM; sleep 60 & echo $!; wait"
    result, stdout, _ = sh(script, budget_s=0.2, grace_s=0.2)
    assert (result.exit_code, result.status) == (-signal.SIGKILL, "timeout")
    wait_for(lambda: not alive(int(stdout)))


def test_children_of_a_command_that_ends_in_time_are_killed_after_the_grace() -> None:
    script = "sh -c 'trap \"\" TERM; echo $$; sleep 60; sleep 60' & wait"
    result, stdout, _ = sh(script, budget_s=0.3, grace_s=0.2)
    assert (result.exit_code, result.status) == (-signal.SIGTERM, "timeout")
    wait_for(lambda: not alive(int(stdout)))


def test_a_command_may_use_the_grace_to_finish() -> None:
    script = "trap 'echo saved; exit 7' TERM; echo on; while :; do sleep 0.05; done"
    result, stdout, _ = sh(script, budget_s=0.3)
    assert (result.exit_code, result.status) == (7, "timeout")
    assert stdout == b"on\nsaved\n"


def test_a_stopped_command_is_ended_too() -> None:
    result, _, _ = sh("kill -STOP $$", budget_s=0.2)
    assert (result.exit_code, result.status) == (-signal.SIGTERM, "timeout")


def test_a_command_within_its_budget_is_left_alone() -> None:
    result, _, _ = sh("sleep 0.05; exit 3", budget_s=60)
    assert (result.exit_code, result.status) == (3, "exited")


def test_interrupts_go_from_asking_to_killing() -> None:
    with driver(*python(COUNT_SIGNALS)) as process:
        wait_for_log(b"ready\n")
        process.send_signal(signal.SIGINT)
        wait_for_log(b"SIGINT\n")
        time.sleep(0.4)
        process.send_signal(signal.SIGINT)
        wait_for_log(b"SIGINT\nSIGTERM\n")
        time.sleep(0.4)
        process.send_signal(signal.SIGINT)
        assert result() == (-signal.SIGKILL, "interrupted")


def test_one_key_press_that_arrives_twice_is_one_interrupt() -> None:
    with driver(*python(COUNT_SIGNALS)) as process:
        wait_for_log(b"ready\n")
        process.send_signal(signal.SIGINT)
        wait_for_log(b"SIGINT\n")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGUSR1)
        wait_for_log(b"SIGUSR1\n")
        assert read_log(Path("run.log")) == b"ready\nSIGINT\nSIGUSR1\n"
        process.send_signal(signal.SIGTERM)
        wait_for_log(b"SIGTERM\n")
        time.sleep(0.4)
        process.send_signal(signal.SIGINT)
        wait_for_log(b"SIGTERM\nSIGTERM\n")
        time.sleep(0.4)
        process.send_signal(signal.SIGINT)
        assert result() == (-signal.SIGKILL, "interrupted")


def test_an_interrupt_through_git_is_one_interrupt(folder: Path) -> None:
    Path("git-driver").write_text(f"#!{sys.executable}\n{DRIVER}")
    Path("git-driver").chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        ["git", "driver", "{}", *python(COUNT_SIGNALS)],
        env={**os.environ, "PATH": path},
        stdout=subprocess.DEVNULL,
        process_group=0,
    )
    wait_for_log(b"ready\n")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    wait_for_log(b"SIGINT\n")
    time.sleep(0.4)
    assert read_log(Path("run.log")) == b"ready\nSIGINT\n"
    os.killpg(process.pid, signal.SIGINT)
    wait_for_log(b"SIGTERM\n")
    time.sleep(0.4)
    os.killpg(process.pid, signal.SIGINT)
    process.wait()
    assert result() == (-signal.SIGKILL, "interrupted")


def test_a_command_that_ends_well_when_interrupted_was_interrupted() -> None:
    with driver(
        "sh", "-c", "trap 'exit 0' INT; echo ready; while :; do sleep 0.05; done"
    ) as process:
        wait_for_log(b"ready\n")
        process.send_signal(signal.SIGINT)
        assert result() == (0, "interrupted")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signals_that_end_us_end_the_group(number: signal.Signals) -> None:
    # Jobs that a shell runs with & ignore SIGQUIT, so a Python starts the other process.
    code = (
        "import subprocess as s; p = s.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
    )
    with driver(*python(code)) as process:
        wait_for_log(b"\n")
        process.send_signal(number)
        assert result() == (-number, "interrupted")
    wait_for(lambda: not alive(int(Path("run.log").read_text())))


def test_a_hangup_that_we_were_told_to_ignore_is_ignored() -> None:
    program = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + DRIVER
    with driver(*python(COUNT_SIGNALS), program=program) as process:
        wait_for_log(b"ready\n")
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGUSR1)
        wait_for_log(b"SIGUSR1\n")
        assert read_log(Path("run.log")) == b"ready\nSIGUSR1\n"
        os.kill(process.pid, signal.SIGTERM)
        wait_for_log(b"SIGTERM\n")
        for _ in range(3):
            time.sleep(0.4)
            process.send_signal(signal.SIGINT)
        assert result() == (-signal.SIGKILL, "interrupted")


def test_signal_handlers_are_given_back() -> None:
    watched = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGTSTP)
    before = [signal.getsignal(number) for number in watched]
    sh("true")
    run("no-such-program-anywhere")
    assert [signal.getsignal(number) for number in watched] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_no_descriptors_are_left_open() -> None:
    def count() -> int:
        return len(list(Path("/dev/fd").iterdir()))

    before = count()
    sh("true")
    run("no-such-program-anywhere")
    assert count() == before


# Terminals


class Screen:
    """The user's end of a terminal."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.seen = b""
        os.set_blocking(fd, False)

    def shows(self, text: bytes) -> bool:
        with contextlib.suppress(BlockingIOError):
            self.seen += os.read(self.fd, 65536)
        return text in self.seen

    def expect(self, text: bytes) -> bytes:
        """Wait until a text has come; return all that was seen since the last one."""
        wait_for(lambda: self.shows(text))
        end = self.seen.index(text) + len(text)
        seen, self.seen = self.seen[:end], self.seen[end:]
        return seen

    def type(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


@contextlib.contextmanager
def terminal(rows: int = 24, columns: int = 80) -> Iterator[tuple[Screen, int]]:
    """Yield the user's end and the program's end of a terminal."""
    ours, theirs = os.openpty()
    screen = Screen(ours)
    screen.resize(rows, columns)
    try:
        yield screen, theirs
    finally:
        os.close(ours)
        os.close(theirs)


def test_under_a_terminal_the_command_has_a_terminal_of_that_size() -> None:
    code = "import os; print(os.isatty(1), os.isatty(2), *os.get_terminal_size(1))"
    with terminal(31, 97) as (screen, theirs):
        _, _, stderr = run(*python(code), stdout=theirs)
        assert screen.expect(b"\n") == b"True False 97 31\r\n"
    assert stderr == b""
    assert Path("run.log").read_bytes() == b"True False 97 31\n"


def test_a_terminal_changes_no_byte_of_the_output() -> None:
    data = bytes(byte for byte in range(256) if byte not in b"\n") * 20 + b"\n"
    Path("data").write_bytes(data)
    with terminal() as (screen, theirs):
        mode = termios.tcgetattr(theirs)
        mode[1] &= ~termios.OPOST
        termios.tcsetattr(theirs, termios.TCSANOW, mode)
        with Path("err").open("wb") as err, driver("cat", "data", stdout=theirs, stderr=err):
            assert screen.expect(b"\n") == data
            assert result() == (0, "exited")
    assert Path("run.log").read_bytes() == data


def test_both_streams_keep_their_own_terminal() -> None:
    with terminal() as (out, out_end), terminal() as (err, err_end):
        sh("echo to out; echo to err >&2", stdout=out_end, stderr=err_end)
        assert out.expect(b"\n") == b"to out\r\n"
        assert err.expect(b"\n") == b"to err\r\n"


def test_a_new_window_size_reaches_the_command() -> None:
    code = (
        "import os, signal\n"
        "def show(*_): os.write(1, b'now %d' % os.get_terminal_size(1).columns), os._exit(0)\n"
        "signal.signal(signal.SIGWINCH, show)\n"
        "os.write(1, b'ready')\n"
        "while True: signal.pause()\n"
    )
    with terminal(24, 80) as (screen, theirs), driver(*python(code), stdout=theirs) as process:
        screen.expect(b"ready")
        screen.resize(24, 132)
        process.send_signal(signal.SIGWINCH)
        screen.expect(b"now 132")
        assert result() == (0, "exited")


def in_terminal(theirs: int, *argv: str) -> contextlib.AbstractContextManager[Any]:
    """Start a driver that leads a session on a terminal."""
    return driver(
        *argv,
        program=TERMINAL_DRIVER,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )


def test_a_command_that_asks_gets_the_answer_from_the_terminal() -> None:
    code = "name = input('name? '); print(f'hello {name}')"
    with terminal() as (screen, theirs), in_terminal(theirs, *python(code)):
        screen.expect(b"name? ")
        screen.type(b"Ada\n")
        screen.expect(b"hello Ada")
        assert result() == (0, "exited")
        screen.expect(b"back in front: True")


def test_a_command_that_asks_for_a_password_gets_it() -> None:
    code = "import getpass; print('it was', getpass.getpass('secret: ')[::-1])"
    with terminal() as (screen, theirs), in_terminal(theirs, *python(code)):
        screen.expect(b"secret: ")
        screen.type(b"abc\n")
        assert b"abc" not in screen.expect(b"it was cba")
        assert result() == (0, "exited")


def test_ctrl_c_on_the_terminal_interrupts_the_command() -> None:
    with terminal() as (screen, theirs), in_terminal(theirs, "sh", "-c", "echo on; exec sleep 60"):
        screen.expect(b"on")
        screen.type(b"\x03")
        assert result() == (-signal.SIGINT, "interrupted")
        screen.expect(b"back in front: True")


def test_ctrl_c_reaches_a_command_that_has_the_terminal() -> None:
    code = "input('first? ')\nprint('going on')\ninput('second? ')"
    with terminal() as (screen, theirs), in_terminal(theirs, *python(code)):
        screen.expect(b"first? ")
        screen.type(b"yes\n")
        screen.expect(b"second? ")
        screen.type(b"\x03")
        assert result() == (-signal.SIGINT, "interrupted")
        screen.expect(b"back in front: True")


@pytest.mark.parametrize("asks_first", [False, True])
def test_ctrl_z_stops_the_job_and_fg_goes_on(asks_first: bool) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no shell with job control")
    Path("driver.py").write_text(DRIVER)
    ask = "input('first? ')\n" if asks_first else ""
    code = (
        f"import time\n{ask}print('on', flush=True)\n"
        "import pathlib\n"
        "while not pathlib.Path('stop').exists(): time.sleep(0.02)\n"
        "print('answer', input('last? '))\n"
    )
    Path("command.py").write_text(code)
    shell = (
        "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
        f"os.execv({bash!r}, ['bash', '--norc', '--noprofile', '-i'])"
    )
    with terminal() as (screen, theirs):
        process = subprocess.Popen(
            [sys.executable, "-c", shell],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "PS1": "prompt> ", "HISTFILE": ""},
            start_new_session=True,
        )
        screen.expect(b"prompt> ")
        screen.type(f"{sys.executable} driver.py '{{}}' {sys.executable} command.py\n".encode())
        if asks_first:
            screen.expect(b"first? ")
            screen.type(b"go\n")
        screen.expect(b"on\r\n")
        screen.type(b"\x1a")
        screen.expect(b"Stopped")
        screen.type(b"fg\n")
        screen.expect(b"driver.py")
        Path("stop").touch()
        screen.expect(b"last? ")
        screen.type(b"42\n")
        screen.expect(b"answer 42")
        assert result() == (0, "exited")
        screen.type(b"exit\n")
        assert process.wait(20) == 0
