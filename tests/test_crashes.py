"""Crashes: which are the same, which are out of memory, whose fault they are."""

from __future__ import annotations

from typing import Any

import pytest

from gitexp.research.crashes import clusters, generalised, signature


def traceback(*frames: tuple[str, str], raised: str = "ValueError: bad", line: int = 3) -> str:
    shown = [
        f'  File "{path}", line {line + i}, in {name}\n    x'
        for i, (path, name) in enumerate(frames)
    ]
    return "\n".join(["Traceback (most recent call last):", *shown, raised])


def document(
    kind: str = "ValueError", message: str = "bad", tail: str = "", **more: Any
) -> dict[str, Any]:
    error = {"type": kind, "message": message, "tail": tail}
    known = {"run": "a" * 40, "status": "crashed", "command": ["python", "train.py"], "cwd": "."}
    return {**known, "error": error, **more}


MAIN = ("/home/ada/repo/train.py", "main")
MODEL = ("/home/ada/repo/pkg/model.py", "forward")
LIBRARY = ("/home/ada/repo/.venv/lib/python3.12/site-packages/torch/nn.py", "linear")


def test_the_innermost_frame_of_the_repository_is_in_the_signature() -> None:
    found = signature(document(tail=traceback(MAIN, MODEL, LIBRARY)))
    assert found == ("ValueError at pkg/model.py:forward: bad", False, True)


def test_the_same_crash_in_another_clone_on_other_lines_is_the_same() -> None:
    elsewhere = [(path.replace("/home/ada/repo", "/tmp/wt"), name) for path, name in (MAIN, MODEL)]
    one = document(message="shape (32x784) at 0x7f3a", tail=traceback(MAIN, MODEL))
    two = document(message="shape (64x100) at 0xbeef", tail=traceback(*elsewhere, line=90))
    assert signature(one) == signature(two)


def test_another_exception_place_or_message_is_another_crash() -> None:
    tail = traceback(MAIN, MODEL)
    others = [
        document("KeyError", tail=tail),
        document(tail=traceback(MAIN)),
        document(message="worse", tail=tail),
    ]
    texts = {signature(each).text for each in [document(tail=tail), *others]}
    assert len(texts) == 4


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("expected 12 but got 13.5e-3", "expected N but got N"),
        ("no file '/tmp/a b/c.txt' here", "no file '…' here"),
        ("cannot open /data/x/y.bin: gone", "cannot open PATH: gone"),
        ("at 0x7fff12ab of commit 3f2a9bc1", "at HEX of commit HEX"),
        ("dtype float32 is not fp8", "dtype float32 is not fp8"),
        ("can't and don't", "can't and don't"),
        ("first line\nsecond line", "first line"),
        ("", ""),
    ],
)
def test_what_changes_from_run_to_run_is_taken_out_of_a_message(
    message: str, expected: str
) -> None:
    assert generalised(message) == expected


def test_a_long_message_is_cut() -> None:
    assert len(generalised("x" * 10_000)) == 160


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("torch.OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 GiB."),
        ("torch.cuda.OutOfMemoryError", "HIP out of memory. Tried to allocate 20 MiB."),
        ("RuntimeError", "CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 24 GiB total)"),
        ("RuntimeError", "CUDA error: out of memory"),
        ("RuntimeError", "MPS backend out of memory (MPS allocated: 9.0 GB)"),
        (
            "RuntimeError",
            "err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.",
        ),
        ("XlaRuntimeError", "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1 bytes."),
        ("MemoryError", ""),
        ("numpy._core._exceptions._ArrayMemoryError", "Unable to allocate 7 GiB for an array"),
        ("exit code 134", "terminate called after throwing an instance of 'std::bad_alloc'"),
    ],
)
def test_out_of_memory_is_known_by_what_programs_print(kind: str, message: str) -> None:
    assert signature(document(kind, message))[1:] == (True, True)


@pytest.mark.parametrize(
    ("kind", "message", "tail"),
    [
        ("ValueError", "the memory of the oom killer", ""),
        ("KeyError", "'vram'", ""),
        ("exit code 1", "memory layout is wrong", "out of memory cells\n"),
        ("SIGKILL", "The command was ended by SIGKILL.", "Killed\n"),
    ],
)
def test_words_about_memory_are_not_out_of_memory(kind: str, message: str, tail: str) -> None:
    assert not signature(document(kind, message, tail)).out_of_memory


def test_what_a_description_says_does_not_count() -> None:
    found = signature(document(description="CUDA out of memory", name="oom"))
    assert not found.out_of_memory


def test_a_ledger_that_repeats_the_description_as_the_error_says_no_more() -> None:
    found = signature(document("crash", "CUDA out of memory", description="CUDA out of memory"))
    assert found == ("", False, False)


def test_out_of_memory_that_was_caught_is_not_why_it_failed_later() -> None:
    tail = "CUDA out of memory. Retrying.\n" + traceback(MAIN)
    assert not signature(document(tail=tail)).out_of_memory


def test_the_cause_of_an_exception_counts() -> None:
    tail = "\n\n".join(
        [
            traceback(MAIN, raised="torch.OutOfMemoryError: CUDA out of memory. Tried"),
            "The above exception was the direct cause of the following exception:",
            traceback(MAIN, raised="RuntimeError: training failed"),
        ]
    )
    assert signature(document("RuntimeError", "training failed", tail)).out_of_memory


def test_the_killer_of_the_system_is_out_of_memory() -> None:
    tail = "slurmstepd: error: Detected 1 oom_kill event in StepId=12.0\n"
    assert signature(document("SIGKILL", "ended by SIGKILL.", tail)) == ("SIGKILL", True, True)


@pytest.mark.parametrize("status", ["interrupted", "timeout"])
def test_a_run_that_was_stopped_is_nobodys_fault(status: str) -> None:
    found = signature(document("KeyError", "x", traceback(MAIN), status=status))
    assert not found.own_fault


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("ConnectionError", "refused"),
        ("requests.exceptions.ConnectTimeout", "slow"),
        ("OSError", "[Errno 28] No space left on device: 'x'"),
        ("RuntimeError", "No CUDA GPUs are available"),
    ],
)
def test_a_failure_of_the_surroundings_is_not_the_codes_fault(kind: str, message: str) -> None:
    assert not signature(document(kind, message, traceback(MAIN))).own_fault


def test_an_exception_in_libraries_alone_is_not_the_codes_fault() -> None:
    assert not signature(document(tail=traceback(LIBRARY))).own_fault


def test_a_worker_that_failed_is_found_below_the_launcher_that_reports_it() -> None:
    worker = traceback(MAIN, raised="KeyError: 'lr'").replace("\n", "\n[rank0]: ")
    launcher = traceback(LIBRARY, raised="ChildFailedError: train.py FAILED")
    found = signature(document("ChildFailedError", "", f"[rank0]: {worker}\n{launcher}"))
    assert found == ("KeyError at train.py:main: '…'", False, True)


def test_a_syntax_error_is_the_codes_fault() -> None:
    tail = '  File "/r/train.py", line 3\n    def (:\n        ^\nSyntaxError: invalid syntax'
    found = signature(document("SyntaxError", "invalid syntax", tail))
    assert found == ("SyntaxError at train.py: invalid syntax", False, True)


def test_a_module_is_placed_in_the_work_tree() -> None:
    frames = (("/r/pkg/train.py", "main"), ("/r/pkg/sub/x.py", "f"))
    found = document(tail=traceback(*frames), command=["python", "-m", "pkg.train"])
    assert signature(found).text.startswith("ValueError at pkg/sub/x.py:f")


def test_a_file_that_cannot_be_placed_goes_by_its_name() -> None:
    found = document(tail=traceback(("/somewhere/else/y.py", "f")), command=["./run.sh"])
    assert signature(found).text.startswith("ValueError at y.py:f")


def test_a_run_that_says_nothing_has_no_signature() -> None:
    assert signature({"run": "a" * 40, "status": "crashed"}) == ("", False, False)
    assert signature(document("exit code 1", "")).text == ""


def test_crashes_are_put_together_by_signature_and_the_silent_ones_by_words() -> None:
    runs = [
        document(tail=traceback(MAIN), run="1" * 40, started="2026-01-03T00:00:00Z"),
        document(tail=traceback(MAIN, line=50), run="2" * 40, started="2026-01-01T00:00:00Z"),
        {"run": "3" * 40, "status": "crashed", "description": "larger batch size 64"},
        {"run": "4" * 40, "status": "crashed", "description": "larger batch size 128"},
        {"run": "5" * 40, "status": "crashed", "description": "swiglu"},
    ]
    first, second, third = clusters(runs, recent={"2" * 40})
    assert (first.label, first.count, first.recent) == ("ValueError at train.py:main: bad", 2, True)
    assert (first.first, first.last) == ("2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z")
    assert (second.label, second.count, second.by_words) == ("batch larger size 128", 2, True)
    assert (third.label, third.recent) == ("swiglu", False)


@pytest.mark.parametrize(
    "damaged",
    [
        {"run": "a" * 40},
        {"run": "a" * 40, "error": {}},
        {"run": "a" * 40, "error": {"type": "", "message": None, "tail": '  File "x' * 1000}},
        {"run": "a" * 40, "error": {"type": "E", "message": "'" * 5000, "tail": "\n" * 5000}},
    ],
)
def test_whatever_a_document_says_there_is_an_answer(damaged: dict[str, Any]) -> None:
    assert not signature(damaged).out_of_memory
