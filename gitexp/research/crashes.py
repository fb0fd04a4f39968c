"""Crashes: what broke and where, so that the same crash is known again, and whose fault it was.

A signature is the type of the exception, the innermost frame in the repository, and the message
with all that changes from run to run taken out. Line numbers change with every edit, and the
folder of the work tree with every clone, so neither is in it. What a description says of a crash
never counts: only what the run itself reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from gitexp.document import Document

_MAX_TAIL = 64 << 10
"""Characters of output that are looked at, the last ones."""
_MAX_MESSAGE = 160
_MAX_LINE = 1000

# Exact texts, each with the source that prints it; "memory" or "oom" in passing is none.
_OUT_OF_MEMORY = re.compile(
    "|".join(
        (
            # PyTorch, c10/cuda/CUDACachingAllocator.cpp; hipify and the XPU allocator say theirs.
            r"\b(?:CUDA|HIP|XPU) out of memory\.",
            # c10/cuda/CUDAException.h with the text of cudaErrorMemoryAllocation; ROCm likewise.
            r"\b(?:CUDA|HIP) error: out of memory\b",
            r"\bcudaErrorMemoryAllocation\b|\bhipErrorOutOfMemory\b",
            # The driver's name of it: TensorFlow, XLA, Numba and llama.cpp print it.
            r"\bCUDA_ERROR_OUT_OF_MEMORY\b",
            r"\b(?:CUBLAS|CUDNN|HIPBLAS)_STATUS_ALLOC_FAILED\b|\brocblas_status_memory_error\b",
            # aten/src/ATen/mps/MPSAllocator.mm, and Metal's own (as MLX passes it on).
            r"\bMPS backend out of memory\b",
            r"\bkIOGPUCommandBufferCallbackErrorOutOfMemory\b",
            # c10/core/impl/alloc_cpu.cpp, on Linux and on Windows.
            r"\bDefaultCPUAllocator: (?:can't allocate memory|not enough memory)\b",
            # XLA (JAX) and TensorFlow's kernels.
            r"\bRESOURCE_EXHAUSTED: (?:Out of memory|.*Ran out of memory in memory space)",
            r"\bOOM when allocating tensor with shape\b",
            # cupy/cuda/memory.pyx
            r"\bOut of memory allocating [\d,]+ bytes\b",
            # numpy/_core/_exceptions.py
            r"\bUnable to allocate [\d.]+ \w+ for an array with shape\b",
            # C++ runtimes: libstdc++ ("terminate called after …") and libc++.
            r"\bstd::bad_alloc\b",
            # ENOMEM as Python prints it, Rust's alloc, Go's runtime, V8, the JVM.
            r"\[Errno 12\] Cannot allocate memory",
            r"\bmemory allocation of \d+ bytes failed\b",
            r"\bfatal error: runtime: out of memory\b",
            r"\bJavaScript heap out of memory\b",
            r"\bjava\.lang\.OutOfMemoryError\b",
            # The killer: the kernel, systemd, Slurm.
            r"\b[Oo]ut of memory: Killed process \d+",
            r"\bkilled by the OOM killer\b",
            r"\bDetected \d+ oom[-_]kill event",
        )
    )
)
_MEMORY_TYPES = frozenset({"MemoryError", "_ArrayMemoryError", "OutOfMemoryError"})
"""Last part of an exception's dotted name: Python's, numpy's; those of torch, cupy and Ray."""

# Exceptions that come out of the repository's frames and are not the fault of its code.
_OUTSIDE_TYPES = re.compile(
    r"KeyboardInterrupt|Timeout(?:Error|Expired)|Connect(?:ion|Timeout)\w*|BrokenPipeError"
    r"|URLError|HTTPError|gaierror|SSLError|(?:Incomplete|Chunked)\w*|DistNetworkError"
)
_OUTSIDE_TEXTS = re.compile(
    r"No space left on device|Disk quota exceeded|Stale file handle|Input/output error"
    r"|No CUDA GPUs are available|No HIP GPUs are available|CUDA driver initialization failed"
    r"|CUDA unknown error|uncorrectable ECC error|NCCL (?:error|communicator was aborted)"
    r"|killed by signal: (?:Killed|Terminated)"
)

_HEADER = re.compile(r"Traceback \(most recent call last\):")
_PREFIX = re.compile(r"^(?:\[[^\]\n]{1,40}\]:? )")  # of torchrun: [rank0]:
_FRAME = re.compile(r'\s{2,}(?:\| +)?File "(?P<path>[^"\n]+)", line \d+(?:, in (?P<function>.+))?')
_RAISED = re.compile(r"(?P<type>[A-Za-z_][\w.]*)(?::\s?(?P<message>.*))?")
_LIBRARY = re.compile(r"(?:^|/)(?:site|dist)-packages/|/lib(?:64)?/python\d|^<|\.zip/")
_NO_EXCEPTION = re.compile(r"exit code -?\d+|SIG[A-Z0-9+-]+|timeout|not started|interrupted|crash")
_STOPPED = frozenset({"SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGXCPU", "timeout"})

_VARIABLE = (
    (re.compile(r"(?<!\w)(?:'[^'\n]*'|\"[^\"\n]*\"|`[^`\n]*`)(?!\w)"), "'…'"),
    (re.compile(r"(?<![\w.])(?:[A-Za-z]:\\|~?/|\.{1,2}/)[^\s:,;'\")\]]+"), "PATH"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b|\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,}\b"), "HEX"),
    (re.compile(r"(?<![A-Za-z_])[-+]?(?:\d[\d,_]*)(?:\.\d+)?(?:[eE][-+]?\d+)?"), "N"),
)


class Signature(NamedTuple):
    """What broke.

    Attributes:
        text: The same for the same crash; empty where the run says nothing of why it ended.
        out_of_memory: By one of the exact texts that programs and systems print then.
        own_fault: The code or its size is at fault: an exception in the repository's own frames,
            or out of memory; not where it was stopped or failed by its surroundings.
    """

    text: str
    out_of_memory: bool
    own_fault: bool


class _Frame(NamedTuple):
    path: str
    function: str


class _Report(NamedTuple):
    """A traceback: its frames, the innermost last, and the exception as printed."""

    frames: list[_Frame]
    type: str
    message: str


def signature(document: Document) -> Signature:
    """Return the signature of a run that did not finish.

    Args:
        document: Of the run; ``error``, ``status``, ``command`` and ``cwd`` are looked at.
    """
    error = document.get("error") or {}
    kind, message = str(error.get("type", "")), str(error.get("message", ""))
    tail = str(error.get("tail", ""))[-_MAX_TAIL:]
    root = _Root(document)
    reports = list(_reports(tail))
    own = next((r for r in reversed(reports) if any(map(root.owns, r.frames))), None)
    if own is not None and own is not reports[-1] and own.type:
        kind, message = own.type, own.message
    is_plain = own is not None and "direct cause of the following exception" not in tail
    said = [kind, message] if is_plain else [kind, message, *tail.split("\n")]
    is_oom = _is_memory_type(kind) or any(_OUT_OF_MEMORY.search(s[:_MAX_LINE]) for s in said)
    frame = "" if own is None else root.shown([f for f in own.frames if root.owns(f)][-1])
    outside = _is_from_outside(document, kind, message)
    text = _text(kind or str(document.get("status", "")), frame, message)
    return Signature(text, is_oom, is_oom or (own is not None and not outside))


def _is_memory_type(kind: str) -> bool:
    return kind.rpartition(".")[2] in _MEMORY_TYPES


def _is_from_outside(document: Document, kind: str, message: str) -> bool:
    if document.get("status") in ("interrupted", "timeout") or kind in _STOPPED:
        return True
    name = kind.rpartition(".")[2]
    return bool(_OUTSIDE_TYPES.fullmatch(name) or _OUTSIDE_TEXTS.search(message[:_MAX_LINE]))


def _text(kind: str, frame: str, message: str) -> str:
    """Return the text of a signature; empty where only that it failed is known."""
    said = "" if kind in _STOPPED else generalised(message)
    if not said and not frame and (kind in ("failed", "crashed", "unknown", "crash", "")):
        return ""
    if not said and not frame and kind.startswith("exit code"):
        return ""
    place = f" at {frame}" if frame else ""
    return f"{kind}{place}{': ' if said else ''}{said}"


def generalised(message: str) -> str:
    """Return the first line of a message without what changes: numbers, paths, quoted parts."""
    line = next((line.strip() for line in message[:_MAX_LINE].splitlines() if line.strip()), "")
    for pattern, instead in _VARIABLE:
        line = pattern.sub(instead, line)
    return line if len(line) <= _MAX_MESSAGE else f"{line[: _MAX_MESSAGE - 1]}…"


def _reports(tail: str) -> Iterator[_Report]:
    """Yield the tracebacks in some output, as they come.

    A SyntaxError, and a traceback whose beginning is cut off, have frames without a header.
    """
    frames: list[_Frame] = []
    for raw in tail.split("\n"):
        line = _PREFIX.sub("", raw[:_MAX_LINE])
        if match := _FRAME.match(line):
            frames.append(_Frame(match["path"], (match["function"] or "").strip()))
        elif _HEADER.search(line):
            if frames:
                yield _Report(frames, "", "")
            frames = []
        elif frames and line[:1] not in ("", " ") and (raised := _RAISED.fullmatch(line)):
            yield _Report(frames, raised["type"], raised["message"] or "")
            frames = []
    if frames:
        yield _Report(frames, "", "")


class _Root:
    """Which files are of the repository: its folder at that time is known from the command."""

    def __init__(self, document: Document) -> None:
        self._cwd = PurePosixPath(str(document.get("cwd") or "."))
        self._scripts = list(_scripts(document.get("command") or ()))

    def owns(self, frame: _Frame) -> bool:
        """Say whether a frame is of the repository's code, not of a library."""
        return _LIBRARY.search(frame.path.replace("\\", "/")) is None

    def shown(self, frame: _Frame) -> str:
        """Return path and function; of a path that cannot be placed the last name."""
        path = self._relative(frame.path.replace("\\", "/"))
        return f"{path}:{frame.function}" if frame.function else path

    def _relative(self, path: str) -> str:
        raise NotImplementedError


def _scripts(command: Sequence[str]) -> Iterator[str]:
    """Yield the Python files that a command names."""
    yield from ()
