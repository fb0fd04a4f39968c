"""Capture the surroundings of a run in about a millisecond.

A run must not wait for its own bookkeeping, so nothing here starts a process, imports a
framework or opens a package's metadata: package names and versions are read off the names of
the ``*.dist-info`` folders (300 packages: below 1 ms, where `importlib.metadata` takes 60 to
100), accelerators off the files that their kernel drivers offer. A process scans once; later
calls compare the modification times of the folders and return what is known.

Equal surroundings give equal bytes, so that their digest finds the document that is already
stored.
"""

from __future__ import annotations

import functools
import importlib.machinery
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from gitexp.records.environment import Accelerator, Environment, Platform, PythonBuild

_ROOT = Path("/")

_MAX_ENTRIES = 20_000
"""A folder on `sys.path` with more entries holds data, not packages; listing it takes over 10 ms.

The largest site-packages folders have about 2,000 entries.
"""

_DRIVER_VERSION = re.compile(r"\b\d{3,}\.\d[\d.]*")
_METADATA_VERSION = re.compile(r"^Version:\s*(\S+)", re.MULTILINE)
_SEPARATORS = re.compile(r"[-_.]+")

_encoder = msgspec.json.Encoder(order="deterministic")


def capture_environment() -> Environment:
    """Return the surroundings of this process.

    The first call takes about a millisecond, later ones some 20 µs.
    """
    return Environment(
        python=_python(),
        platform=_platform(),
        packages=_packages(_folder_times(sys.path)),
        accelerators=_hardware() or torch_accelerators(),
    )


def encode_environment(environment: Environment) -> tuple[str, bytes]:
    """Return the digest and the document of an environment.

    Returns:
        The xxh3-128 of the document as 32 hexadecimal digits, and the document: one line of
        JSON with sorted packages and a newline at its end.
    """
    document = _encoder.encode(environment) + b"\n"
    return xxhash.xxh3_128_hexdigest(document), document


@functools.cache
def _python() -> PythonBuild:
    version, _, build = sys.version.partition(" ")
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    return PythonBuild(
        version=version,
        implementation=sys.implementation.name,
        build=" ".join(build.split()),
        abi=suffix.strip(".").rpartition(".")[0],
    )


@functools.cache
def _platform() -> Platform:
    system, _, release, _, machine = os.uname()
    return Platform(system=system, release=release, machine=machine, libc=_libc())


def _libc() -> str | None:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        return None  # not glibc: such systems have no name for this


# Packages


def _folder_times(folders: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Return each folder with its modification time in ns, which changes when one is installed."""
    times = []
    for folder in folders:
        try:
            times.append((folder, os.stat(folder or ".").st_mtime_ns))  # noqa: PTH116 (4x faster)
        except OSError:
            continue  # sys.path may name folders that do not exist
    return tuple(times)


@functools.lru_cache(maxsize=4)
def _packages(times: tuple[tuple[str, int], ...]) -> dict[str, str]:
    return scan_packages([folder for folder, _ in times])


def scan_packages(folders: Sequence[str]) -> dict[str, str]:
    """Return the version of each distribution installed in some folders.

    As for imports, the first folder that has a distribution wins.

    Args:
        folders: In the order of `sys.path`; what cannot be listed is passed over.

    Returns:
        Versions by normalised name (PEP 503), sorted.
    """
    packages: dict[str, str] = {}
    for folder in folders:
        for name, version in sorted(_installed(folder or "."), reverse=True):
            packages.setdefault(_SEPARATORS.sub("-", name).lower(), version)
    return dict(sorted(packages.items()))


def _installed(folder: str) -> Iterator[tuple[str, str]]:
    """Yield name and version of each distribution that a folder holds."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry, _ in zip(entries, range(_MAX_ENTRIES), strict=False)]
    except OSError:
        return  # a zip archive, or a folder that has gone
    if len(names) == _MAX_ENTRIES:
        return
    for entry in names:
        if entry.endswith(".dist-info"):
            name, dash, version = entry.removesuffix(".dist-info").rpartition("-")
            if dash:
                yield name, version
        elif entry.endswith(".egg-info"):
            # NAME-VERSION-pyX.Y when installed, NAME alone when developed in place.
            name, *rest = entry.removesuffix(".egg-info").split("-")
            version = rest[0] if rest else _egg_version(Path(folder, entry))
            yield name, version


def _egg_version(egg_info: Path) -> str:
    found = _METADATA_VERSION.search(_read_text(egg_info / "PKG-INFO"))
    return found[1] if found else "unknown"


# Accelerators


@functools.cache
def _hardware() -> tuple[Accelerator, ...]:
    return (
        *amd_accelerators(),
        *apple_accelerators(_platform()),
        *nvidia_accelerators(),
    )


def nvidia_accelerators(root: Path = _ROOT) -> tuple[Accelerator, ...]:
    """Return what NVIDIA's kernel driver says under ``/proc/driver/nvidia``.

    Args:
        root: The folder that stands for ``/``.
    """
    folder = root / "proc/driver/nvidia"
    models = []
    for information in _entries(folder / "gpus"):
        for line in _read_text(information / "information").splitlines():
            key, _, value = line.partition(":")
            if key == "Model" and value.strip():
                models.append(value.strip())
    found = _DRIVER_VERSION.search(_read_text(folder / "version"))
    return _counted("nvidia", models, found[0] if found else None)


def amd_accelerators(root: Path = _ROOT) -> tuple[Accelerator, ...]:
    """Return what the ROCm kernel driver says under ``/sys/class/kfd``.

    Args:
        root: The folder that stands for ``/``.
    """
    models = []
    for node in _entries(root / "sys/class/kfd/kfd/topology/nodes"):
        pairs = (line.split() for line in _read_text(node / "properties").splitlines())
        properties = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}  # noqa: PLR2004
        target = properties.get("gfx_target_version", "0")
        if target.isdecimal() and int(target):  # processors are nodes too, with version 0
            models.append(_gfx_name(int(target)))
    driver = _read_text(root / "sys/module/amdgpu/version").strip()
    return _counted("amd", models, driver or None)


def _gfx_name(target: int) -> str:
    """Return the architecture that compilers know: 90010 is gfx90a."""
    return f"gfx{target // 10_000}{target // 100 % 100:x}{target % 100:x}"


def apple_accelerators(platform: Platform) -> tuple[Accelerator, ...]:
    """Return the graphics unit that every Apple silicon processor has."""
    if (platform.system, platform.machine) != ("Darwin", "arm64"):
        return ()
    return (Accelerator(vendor="apple", model="Apple silicon"),)


def torch_accelerators() -> tuple[Accelerator, ...]:
    """Return the devices that PyTorch uses, if the program has already started using them.

    For containers that hide the driver's files: only asked when these say nothing, so that one
    machine has one record whether PyTorch is started before the run or after.
    """
    torch: Any = sys.modules.get("torch")
    try:
        if not torch.cuda.is_initialized():
            return ()
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        vendor = "amd" if torch.version.hip else "nvidia"
    except (AttributeError, RuntimeError):
        return ()  # absent, half imported, or built without CUDA
    return _counted(vendor, names, None)


def _counted(vendor: str, models: Sequence[str], driver: str | None) -> tuple[Accelerator, ...]:
    return tuple(
        Accelerator(vendor=vendor, model=model, count=count, driver=driver)
        for model, count in sorted(Counter(models).items())
    )


def _entries(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in os.listdir(folder)]  # noqa: PTH208 (iterdir is slower)
    except OSError:
        return []  # no such hardware


def _read_text(path: Path) -> str:
    """Return the text of a file that may be missing or unreadable."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
