from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitexp.errors import GitexpWarning, UsageError
from gitexp.summary import Sidecar, parse_failure, parse_summary

AUTORESEARCH = b"""\
step 00953 (100.0%) | loss: 2.997 | lrm: 0.00 | dt: 309ms
---
val_bpb:          0.997900
training_seconds: 300.1
total_tokens_M:   499.6
peak_vram_mb:     45060.2
"""

# The sidecar file


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    with Sidecar({}, tmp_path) as sidecar:
        yield sidecar


def stale(path: Path, content: str = '{"acc": 0.1}') -> None:
    """Leave a file as an earlier run did, an hour ago."""
    path.write_text(content)
    hour_ago = time.time_ns() - 3600 * 10**9
    os.utime(path, ns=(hour_ago, hour_ago))


def test_a_command_hands_over_a_json_object(sidecar: Sidecar, tmp_path: Path) -> None:
    code = "import os; open(os.environ['{}'], 'w').write('{{\"acc\": 0.9, \"n\": [1]}}')"
    for name in ("AUTORESEARCH_SUMMARY_PATH", "GITEXP_SUMMARY"):
        subprocess.run([sys.executable, "-c", code.format(name)], env=sidecar.variables, check=True)
        assert sidecar.read() == {"acc": 0.9, "n": [1]}
        sidecar.path.unlink()
    assert tmp_path not in sidecar.path.parents


def test_a_command_that_writes_nothing_leaves_nothing(sidecar: Sidecar) -> None:
    assert sidecar.read() is None


def test_each_run_has_its_own_path_and_nonce_and_takes_the_path_away(tmp_path: Path) -> None:
    with Sidecar({}, tmp_path) as one, Sidecar({}, tmp_path) as other:
        assert one.path != other.path
        assert one.nonce != other.nonce
        one.path.write_text("{}")
    assert not one.path.parent.exists()


def test_the_nonce_is_handed_over_accepted_and_not_a_result(sidecar: Sidecar) -> None:
    nonce = sidecar.variables["GITEXP_NONCE"]
    sidecar.path.write_text(json.dumps({"nonce": nonce, "acc": 1}))
    assert sidecar.read() == {"acc": 1}


@pytest.mark.parametrize("nonce", ["another", 7, None])
def test_a_file_with_another_nonce_is_refused(sidecar: Sidecar, nonce: object) -> None:
    sidecar.path.write_text(json.dumps({"nonce": nonce, "acc": 1}))
    with pytest.warns(GitexpWarning, match="carries the nonce of another run"):
        assert sidecar.read() is None


def test_a_path_that_the_user_has_set_is_honoured(tmp_path: Path) -> None:
    with Sidecar({"AUTORESEARCH_SUMMARY_PATH": "out.json"}, tmp_path) as sidecar:
        assert sidecar.variables["AUTORESEARCH_SUMMARY_PATH"] == str(tmp_path / "out.json")
        assert sidecar.variables["GITEXP_SUMMARY"] == str(tmp_path / "out.json")
        (tmp_path / "out.json").write_text('{"acc": 1}')
        assert sidecar.read() == {"acc": 1}
    assert (tmp_path / "out.json").exists()


def test_the_path_of_an_enclosing_run_is_not_shared(tmp_path: Path) -> None:
    with Sidecar({}, tmp_path) as outer, Sidecar(outer.variables, tmp_path) as inner:
        assert inner.path != outer.path
        inner.path.write_text('{"acc": 1}')
        assert outer.read() is None


@pytest.mark.parametrize("content", ['{"acc": 0.1}', "damaged"])
def test_a_stale_file_is_not_taken(tmp_path: Path, content: str) -> None:
    stale(tmp_path / "out.json", content)
    with Sidecar({"AUTORESEARCH_SUMMARY_PATH": "out.json"}, tmp_path) as sidecar:
        assert sidecar.read() is None


def test_a_file_written_just_before_the_start_is_stale_too(tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text('{"acc": 0.1}')
    with Sidecar({"AUTORESEARCH_SUMMARY_PATH": "out.json"}, tmp_path) as sidecar:
        assert sidecar.read() is None


def test_a_stale_file_that_was_written_anew_is_taken(tmp_path: Path) -> None:
    stale(tmp_path / "out.json")
    with Sidecar({"AUTORESEARCH_SUMMARY_PATH": "out.json"}, tmp_path) as sidecar:
        (tmp_path / "out.json").write_text('{"acc": 0.1}')  # the same result again
        assert sidecar.read() == {"acc": 0.1}


def test_an_old_file_that_was_moved_here_is_not_taken_without_our_nonce(tmp_path: Path) -> None:
    with Sidecar({"AUTORESEARCH_SUMMARY_PATH": "out.json"}, tmp_path) as sidecar:
        stale(tmp_path / "out.json")
        with pytest.warns(GitexpWarning, match="older than the run"):
            assert sidecar.read() is None
        stale(tmp_path / "out.json", json.dumps({"nonce": sidecar.nonce, "acc": 1}))
        assert sidecar.read() == {"acc": 1}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1, 2]",
        b'"text"',
        b"\xff\xfe\x00",
        b'{"name": "\\ud800"}',
        b'{"a":' * 100_000,
        b'{"a":' * 80 + b"1" + b"}" * 80,
        b'{"n": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_usable_json_object_costs_a_warning(sidecar: Sidecar, content: bytes) -> None:
    sidecar.path.write_bytes(content)
    with pytest.warns(GitexpWarning, match="does not hold a JSON object"):
        assert sidecar.read() is None


def test_a_file_that_is_too_large_costs_a_warning(sidecar: Sidecar) -> None:
    sidecar.path.write_bytes(b'{"a": "' + b"x" * (1 << 20) + b'"}')
    with pytest.warns(GitexpWarning, match="larger than 1 MiB"):
        assert sidecar.read() is None


def test_a_pipe_in_the_place_of_the_file_is_not_waited_for(sidecar: Sidecar) -> None:
    os.mkfifo(sidecar.path)
    with pytest.warns(GitexpWarning, match="is not a file"):
        assert sidecar.read() is None


def test_a_diverged_value_stays_visible(sidecar: Sidecar) -> None:
    sidecar.path.write_text(json.dumps({"loss": math.nan, "top": math.inf}))
    found = sidecar.read()
    assert found is not None
    assert math.isnan(found["loss"])
    assert found["top"] == math.inf


# The final block of output


def test_the_final_block_of_autoresearch_is_understood() -> None:
    assert parse_summary(AUTORESEARCH) == {
        "val_bpb": 0.9979,
        "training_seconds": 300.1,
        "total_tokens_M": 499.6,
        "peak_vram_mb": 45060.2,
    }


def test_without_its_line_nothing_is_a_result() -> None:
    assert parse_summary(b"loss: 0.5\nwarning: low memory\nval_bpb: 0.9\n") == {}
    assert parse_summary(b"--- results ---\nval_bpb: 0.9\n") == {}
    assert parse_summary(b"") == {}


def test_the_last_line_of_dashes_counts() -> None:
    assert parse_summary(b"---\nacc: 0.1\nold: 1\n---\nacc: 0.9\n") == {"acc": 0.9}
    assert parse_summary(b"---\nacc: 0.1\n---\n") == {}


@pytest.mark.parametrize("after", [b"\nnote: text\n", b"done\nnote: text\n", b"  note: text\n"])
def test_the_block_ends_at_the_first_line_of_another_form(after: bytes) -> None:
    assert parse_summary(b"---\n\nacc: 0.9\n" + after) == {"acc": 0.9}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("+0.5", 0.5),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("5.", 5.0),
        ("1E5", 100000.0),
        ("inf", math.inf),
        ("-Infinity", -math.inf),
        ("18446744073709551616", 18446744073709551616.0),
        ("true", "true"),
        ("1_000", "1_000"),
        ("45%", "45%"),
        ("0x10", "0x10"),
        ("12:30:05", "12:30:05"),
        ("adam, lr 0.1", "adam, lr 0.1"),
    ],
)
def test_numbers_are_numbers_and_the_rest_is_text(text: str, value: float | str) -> None:
    found = parse_summary(f"---\nkey:   {text}  \n".encode())["key"]
    assert (type(found), found) == (type(value), value)


def test_nan_is_a_number() -> None:
    found = parse_summary(b"---\nloss: NaN\n")["loss"]
    assert isinstance(found, float)
    assert math.isnan(found)


def test_keys_are_identifiers_of_any_case_with_paths() -> None:
    block = b"---\nTotal_M: 1\neval/acc.top-5: 2\n_x: 3\nA : 4\n"
    assert parse_summary(block) == {"Total_M": 1, "eval/acc.top-5": 2, "_x": 3, "A": 4}
    assert parse_summary(b"---\n5x: 1\n") == {}
    assert parse_summary(b"---\nhttp://example.org\n") == {}


def test_colours_progress_bars_and_foreign_line_ends_do_not_matter() -> None:
    log = (
        b"10%\r50%\r100%\r\n\x1b[1m---\x1b[0m\r\n"
        b"\x1b[32macc\x1b[0m: \x1b[1;31m0.9\x1b[m\r\n"
        b"  5%|#    | 1/20\rname: \x1b]8;;http://x\x07link\x1b]8;;\x07\x08\n"
    )
    assert parse_summary(log) == {"acc": 0.9, "name": "link"}


def test_output_that_is_not_text_is_survived() -> None:
    assert parse_summary(b"\xff\xfe\x00\n---\nacc: 0.9\nname: \xff\n") == {
        "acc": 0.9,
        "name": "\ufffd",
    }


def test_a_pattern_finds_keys_and_values_anywhere() -> None:
    log = b"epoch 1 loss=2.0 acc=0.1\rstep\nepoch 2 loss=1.5 acc=0.2\n---\nother: 1\n"
    assert parse_summary(log, r"(?P<key>\w+)=(?P<value>\S+)") == {"loss": 1.5, "acc": 0.2}


def test_a_pattern_may_name_its_keys() -> None:
    log = b"Accuracy: 71.5 %\n\x1b[1mAccuracy\x1b[0m: 72 %\nAccuracy: none\n"
    assert parse_summary(log, r"^Accuracy: (?P<accuracy>[\d.]+) %$") == {"accuracy": 72}


def test_a_pattern_that_finds_nothing_gives_nothing() -> None:
    assert parse_summary(AUTORESEARCH, r"(?P<nothing>zzz)") == {}
    assert parse_summary(b"a=1", r"(?P<key>\w)=(?P<value>\d)|(?P<rest>x)") == {"a": 1}


@pytest.mark.parametrize("pattern", ["(", r"\w+: \d+", r"(\w+): (\d+)"])
def test_a_bad_pattern_is_a_usage_error(pattern: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_summary(b"", pattern)
    assert caught.value.hint


# Why it failed


def fail(tmp_path: Path, code: str) -> tuple[bytes, int]:
    """Run a failing program; return the end of its output and its exit code."""
    program = tmp_path / "program.py"
    program.write_text(code)
    done = subprocess.run(
        [sys.executable, str(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.stdout[-8192:], done.returncode


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("raise ValueError('bad value')", "ValueError", "bad value"),
        ("assert 1 == 2", "AssertionError", ""),
        ("{}['lr']", "KeyError", "'lr'"),
        ("raise RuntimeError('one\\ntwo\\n  three')", "RuntimeError", "one\ntwo\n  three"),
        ("import json; json.loads('{')", "json.decoder.JSONDecodeError", "Expecting property"),
        ("class Boom(Exception): pass\nraise Boom('x: y')", "Boom", "x: y"),
        (
            "def f():\n class E(Exception): pass\n raise E('inner')\nf()",
            "f.<locals>.E",
            "inner",
        ),
        ("try: 1/0\nexcept Exception as e: raise OSError('why') from e", "OSError", "why"),
        ("try: 1/0\nexcept Exception: {}['b']", "KeyError", "'b'"),
        ("def f(:\n  pass", "SyntaxError", "invalid syntax"),
        ("exec('def f(:')", "SyntaxError", "invalid syntax"),
        ("import absent_module", "ModuleNotFoundError", "No module named 'absent_module'"),
        ("def f(n): f(n)\nf(1)", "RecursionError", "maximum recursion depth exceeded"),
        (
            "raise ExceptionGroup('many', [ValueError('a'), TypeError('b')])",
            "ExceptionGroup",
            "many (2 sub-exceptions)",
        ),
        (
            "try: 1/0\nexcept Exception as e: raise ExceptionGroup('g', [e]) from e",
            "ExceptionGroup",
            "g (1 sub-exception)",
        ),
        (
            "import logging\nlogging.exception('first', exc_info=KeyError('x'))\n1/0",
            "ZeroDivisionError",
            "division by zero",
        ),
    ],
)
def test_the_last_exception_of_a_program_is_its_failure(
    tmp_path: Path, code: str, kind: str, message: str
) -> None:
    output, exit_code = fail(tmp_path, code)
    failure = parse_failure(output, exit_code)
    assert failure is not None
    assert failure.type == kind
    assert failure.message.startswith(message)
    assert message or not failure.message
    assert failure.tail


def test_an_exception_is_found_before_later_output() -> None:
    tail = (
        b"Traceback (most recent call last):\n"
        b'  File "train.py", line 3, in <module>\n'
        b"    main()\n"
        b"torch.OutOfMemoryError: CUDA out of memory.\n"
        b"Tried to allocate 2 GiB.\n"
        b"\n"
        b"cleaning up: done\n"
    )
    failure = parse_failure(tail, 1)
    assert failure is not None
    assert failure.type == "torch.OutOfMemoryError"
    assert failure.message == "CUDA out of memory.\nTried to allocate 2 GiB."
    assert failure.tail.endswith("cleaning up: done")


def test_an_exception_under_a_launchers_prefix_is_found() -> None:
    tail = (
        b"[rank1]: Traceback (most recent call last):\n"
        b'[rank1]:   File "train.py", line 3, in <module>\n'
        b"[rank1]:     main()\n"
        b"[rank1]: ValueError: bad shape\n"
        b"[rank1]:[W ProcessGroupNCCL.cpp:1] Warning: not destroyed\n"
    )
    failure = parse_failure(tail, 1)
    assert failure is not None
    assert (failure.type, failure.message) == ("ValueError", "bad shape")


def test_a_traceback_that_is_longer_than_the_tail_still_tells_the_exception() -> None:
    tail = b'half a line\n  File "model.py", line 9, in forward\n    x @ y\nValueError: shapes\n'
    failure = parse_failure(tail, 1)
    assert failure is not None
    assert (failure.type, failure.message) == ("ValueError", "shapes")


@pytest.mark.parametrize("exit_code", [-9, 137])
def test_without_a_traceback_the_signal_is_the_failure(exit_code: int) -> None:
    failure = parse_failure(b"epoch 3\n", exit_code)
    assert failure is not None
    assert (failure.type, failure.tail) == ("SIGKILL", "epoch 3")
    assert "SIGKILL" in failure.message


def test_a_traceback_of_the_fault_handler_is_a_signal(tmp_path: Path) -> None:
    output, exit_code = fail(
        tmp_path, "import faulthandler as f, os\nf.enable()\nos.kill(os.getpid(), 11)"
    )
    failure = parse_failure(output, exit_code)
    assert failure is not None
    assert (exit_code, failure.type) == (-signal.SIGSEGV, "SIGSEGV")
    assert "Segmentation fault" in failure.tail


@pytest.mark.parametrize("exit_code", [1, 2, 128, 255])
def test_else_the_last_line_says_why(exit_code: int) -> None:
    failure = parse_failure(b"usage: train\n\x1b[31mno such option: --lr\x1b[0m\n\n", exit_code)
    assert failure is not None
    assert failure.type == f"exit code {exit_code}"
    assert failure.message == "no such option: --lr"


def test_a_silent_failure_has_no_message() -> None:
    failure = parse_failure(b"", 3)
    assert failure is not None
    assert (failure.type, failure.message, failure.tail) == ("exit code 3", "", "")


def test_success_is_no_failure() -> None:
    assert parse_failure(b"Traceback (most recent call last):\nValueError: x\n", 0) is None


def test_the_tail_is_short_and_holds_no_control_characters() -> None:
    lines = b"".join(b"line %d\t\x07\x1b[2J\x00\x9b\n" % number for number in range(100))
    failure = parse_failure(lines, 1)
    assert failure is not None
    assert failure.tail.count("\n") == 39
    assert failure.tail.startswith("line 60\t")
    assert not set(failure.tail) & {"\x07", "\x1b", "\x00", "\x9b"}
    failure = parse_failure("é".encode() * 6000, 1)
    assert failure is not None
    assert failure.tail == "é" * 2048


def test_nothing_here_warns_without_reason(tmp_path: Path) -> None:
    with warnings.catch_warnings(), Sidecar({}, tmp_path) as sidecar:
        warnings.simplefilter("error")
        sidecar.path.write_text("{}")
        assert sidecar.read() == {}
