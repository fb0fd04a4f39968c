"""The surroundings of a run, as one JSON document that many runs share.

It holds what another machine needs to tell whether it can repeat the run: the interpreter, the
platform, the installed packages, the accelerators. It holds nothing about the person or the
place: no environment variables, no user or host names, no paths.
"""

from __future__ import annotations

import msgspec

ENVIRONMENT_SCHEMA = 1
"""The version of the document that this gitexp writes."""


class PythonBuild(msgspec.Struct, frozen=True):
    """The interpreter.

    Attributes:
        version: As ``python --version`` says it, such as ``3.12.1`` or ``3.14.0b1``.
        implementation: ``cpython``, ``pypy``, ...
        build: Date and compiler of the build, the rest of `sys.version`.
        abi: What compiled extension modules are tagged with, such as
            ``cpython-312-x86_64-linux-gnu``.
    """

    version: str
    implementation: str
    build: str
    abi: str


class Platform(msgspec.Struct, frozen=True):
    """The operating system and the processor.

    Attributes:
        system: ``Linux``, ``Darwin``, ...
        release: Of the kernel.
        machine: Processor architecture, such as ``x86_64`` or ``arm64``.
        libc: Name and version of the C library where the system tells, such as ``glibc 2.36``.
    """

    system: str
    release: str
    machine: str
    libc: str | None


class Accelerator(msgspec.Struct, frozen=True):
    """Accelerators of one model.

    Attributes:
        vendor: ``nvidia``, ``amd`` or ``apple``.
        model: As the driver or the framework names it; for AMD the ``gfx`` architecture.
        count: How many of them the machine has.
        driver: Version of the kernel driver, where it tells.
    """

    vendor: str
    model: str
    count: int = 1
    driver: str | None = None


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Everything around a run that is neither its code, its data nor its parameters.

    Attributes:
        packages: Version of each installed distribution by its normalised name.
        accelerators: Sorted by vendor and model; empty when none is known.
    """

    schema: int = ENVIRONMENT_SCHEMA
    python: PythonBuild
    platform: Platform
    packages: dict[str, str]
    accelerators: tuple[Accelerator, ...] = ()
