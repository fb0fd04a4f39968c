"""Crashes: what broke and where, so that the same crash is known again, and whose fault it was.

A signature is the type of the exception, the innermost frame in the repository, and the message
with all that changes from run to run taken out. Line numbers change with every edit, and the
folder of the work tree with every clone, so neither is in it. What a description says of a crash
never counts: only what the run itself reported.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import msgspec

from gitexp.document import Document

_MAX_TAIL = 64 << 10
"""Characters of output that are looked at, the last ones."""
_MAX_MESSAGE = 160
_MAX_LINE = 1000
SHOWN = 5
"""Runs of a cluster that are named."""
_MOST_GROUPS = 200
_LABEL_WORDS = 4
_WORD = re.compile(r"[a-z0-9][\w.+-]*")
_COMMON = frozenset(
    ("a", "an", "and", "as", "at", "by", "for", "from", "in", "is", "of", "on", "to")
)

_KILLER = re.compile(  # of the kernel, of systemd, of Slurm
    r"\b[Oo]ut of memory: Killed process \d+|\bkilled by the OOM killer\b"
    r"|\bDetected \d+ oom[-_]kill event"
)
# Exact texts, each with the source that prints it; "memory" or "oom" in passing is none.
_TEXTS = (
    _KILLER.pattern,
    # PyTorch, c10/cuda/CUDACachingAllocator.cpp; hipify and the XPU allocator say theirs.
    r"\b(?:CUDA|HIP|XPU) out of memory\b",
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
)
_OUT_OF_MEMORY = re.compile("|".join(_TEXTS))
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
_LIBRARY = re.compile(r"(?:^|/)(?:site|dist)-packages/|/lib(?:64)?/python\d|^<(?!string>|stdin>)")
_NOTEBOOK = re.compile(r".*/ipykernel_\d+/\d+\.py")
_SIGNALS = frozenset({"SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGXCPU"})
"""With which a run is ended by somebody else."""

_VARIABLE = (
    (re.compile(r"(?<!\w)(?:'[^'\n]*'|\"[^\"\n]*\"|`[^`\n]*`)(?!\w)"), "'…'"),
    (re.compile(r"(?<![\w.])(?:[A-Za-z]:\\|~?/|\.{1,2}/)[^\s:,;'\")\]]+"), "PATH"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b|\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,}\b"), "HEX"),
    (re.compile(r"(?<![\w.])[-+]?\d+(?:[.,_x]\d+)*(?:[eE][-+]?\d+)?"), "N"),
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
    kind, message, tail = (str(error.get(name) or "") for name in ("type", "message", "tail"))
    tail = tail[-_MAX_TAIL:]
    if message == document.get("description"):
        message = ""  # of a ledger that says no more
    status = str(document.get("status", ""))
    if status in ("interrupted", "timeout") or kind in _SIGNALS:
        is_killed = status != "timeout" and _says(_KILLER, [tail])
        return Signature(kind or status, is_killed, is_killed)
    reports = list(_reports(tail))
    tree = _Tree(document, (frame for report in reports for frame in report.frames))
    own = next((r for r in reversed(reports) if any(map(tree.owns, r.frames))), None)
    if own is not None and own is not reports[-1] and own.type:
        kind, message = own.type, own.message
    is_plain = own is not None and "direct cause of the following exception" not in tail
    is_oom = _is_memory_type(kind) or _says(
        _OUT_OF_MEMORY, [kind, message] if is_plain else [kind, message, tail]
    )
    frame = "" if own is None else tree.shown([f for f in own.frames if tree.owns(f)][-1])
    is_own = own is not None and not _is_from_outside(kind, message)
    return Signature(_text(kind, frame, generalised(message)), is_oom, is_oom or is_own)


def _says(pattern: re.Pattern[str], texts: Iterable[str]) -> bool:
    lines = (line[:_MAX_LINE] for text in texts for line in text.split("\n"))
    return any(pattern.search(line) for line in lines)


def _is_memory_type(kind: str) -> bool:
    return kind.rpartition(".")[2] in _MEMORY_TYPES


def _is_from_outside(kind: str, message: str) -> bool:
    is_outside = _OUTSIDE_TYPES.fullmatch(kind.rpartition(".")[2]) is not None
    return is_outside or _says(_OUTSIDE_TEXTS, [message])


def _text(kind: str, frame: str, said: str) -> str:
    """Return the text of a signature; empty where only that it failed is known."""
    if not said and not frame and (not kind or kind == "crash" or kind.startswith("exit code ")):
        return ""
    return f"{kind}{' at ' if frame else ''}{frame}{': ' if said else ''}{said}"


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
            path = _NOTEBOOK.sub("notebook", match["path"].replace("\\", "/"))
            frames.append(_Frame(path, (match["function"] or "").strip()))
        elif _HEADER.search(line):
            if frames:
                yield _Report(frames, "", "")
            frames = []
        elif frames and line[:1] not in ("", " ") and (raised := _RAISED.fullmatch(line)):
            yield _Report(frames, raised["type"], raised["message"] or "")
            frames = []
    if frames:
        yield _Report(frames, "", "")


class _Tree:
    """Which files are of the repository's code.

    The folder that the work tree had is known where the command names a script that shows up in
    the traceback. Else all files count that are not of a library, by their last name.
    """

    def __init__(self, document: Document, frames: Iterable[_Frame]) -> None:
        cwd = PurePosixPath(str(document.get("cwd") or "."))
        self._cwd = "" if str(cwd) == "." else f"{cwd}/"
        scripts = [self._cwd + script for script in _scripts(document.get("command") or ())]
        ends = ((frame.path, script) for frame in frames for script in scripts)
        roots = (path.removesuffix(script) for path, script in ends if path.endswith(f"/{script}"))
        self._top = next(roots, None)

    def owns(self, frame: _Frame) -> bool:
        """Say whether a frame is of the repository's code."""
        if _LIBRARY.search(frame.path):
            return False
        return not frame.path.startswith("/") or frame.path.startswith(self._top or "/")

    def shown(self, frame: _Frame) -> str:
        """Return path and function."""
        path = frame.path
        if not path.startswith("/"):
            path = self._cwd + path
        elif self._top is not None:
            path = path.removeprefix(self._top)
        else:
            path = path.rpartition("/")[2]
        return f"{path}:{frame.function}" if frame.function else path


def _scripts(command: Iterable[object]) -> Iterator[str]:
    """Yield the paths of Python files that a command names, as `train.py` or `-m pkg.train`."""
    is_module = False
    for word in map(str, command):
        if is_module:
            yield word.replace(".", "/") + ".py"
            yield word.replace(".", "/") + "/__main__.py"
        elif word.endswith(".py") and not word.startswith("/"):
            yield word.removeprefix("./")
        is_module = word == "-m"


class Cluster(msgspec.Struct, frozen=True, omit_defaults=True):
    """Runs that failed alike.

    Attributes:
        label: The signature; of runs that say nothing of why, their commonest words.
        count: How many there are.
        runs: Ids, the latest first, at most `SHOWN`.
        first: When the earliest started, RFC 3339 in UTC; `last` likewise.
        by_words: The label is made of words: they are alike in what they tried.
        out_of_memory: See `Signature`; `own_fault` likewise.
        recent: One of them is among the latest runs of the repository.
    """

    label: str
    count: int
    runs: tuple[str, ...]
    first: str
    last: str
    by_words: bool = False
    out_of_memory: bool = False
    own_fault: bool = False
    recent: bool = False


def clusters(documents: Iterable[Document], recent: Collection[str] = ()) -> list[Cluster]:
    """Return runs that did not finish as clusters, the largest first, then the latest.

    Args:
        documents: Of the runs, the latest first.
        recent: Ids of the latest runs of the repository.
    """
    signed: dict[Signature, list[Document]] = {}
    silent: list[tuple[frozenset[str], list[Document]]] = []
    for document in documents:
        found = signature(document)
        if found.text:
            signed.setdefault(found, []).append(document)
        else:
            _join(silent, document)
    named = [(each.text, each, group) for each, group in signed.items()]
    named += [(_label(group), Signature("", False, False), group) for _, group in silent]
    found_all = [_cluster(*each, recent) for each in named]
    found_all.sort(key=lambda each: each.last, reverse=True)
    return sorted(found_all, key=lambda each: -each.count)


def _join(groups: list[tuple[frozenset[str], list[Document]]], document: Document) -> None:
    """Put a document to the first group whose first member has half of its words, or alone."""
    words = _words(document)
    for known, group in groups:
        if len(words & known) * 2 >= len(words | known):
            group.append(document)
            return
    if len(groups) < _MOST_GROUPS:
        groups.append((words, [document]))
    else:
        groups[-1][1].append(document)


def _words(document: Document) -> frozenset[str]:
    said = f"{document.get('description') or document.get('name', '')}"[:_MAX_LINE].lower()
    return frozenset(_WORD.findall(said)) - _COMMON


def _label(documents: Sequence[Document]) -> str:
    counts = Counter(word for document in documents for word in _words(document))
    common = sorted(counts, key=lambda word: (-counts[word], word))[:_LABEL_WORDS]
    return " ".join(common) or "(no words)"


def _cluster(
    label: str, sign: Signature, documents: Sequence[Document], recent: Collection[str]
) -> Cluster:
    starts = [str(document.get("started", "")) for document in documents]
    ids = [document["run"] for document in documents]
    return Cluster(
        label,
        len(documents),
        tuple(ids[:SHOWN]),
        min(starts),
        max(starts),
        not sign.text,
        sign.out_of_memory,
        sign.own_fault,
        any(run in recent for run in ids),
    )
