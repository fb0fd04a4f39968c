"""Lock a program in with bubblewrap: what it may see, and the little that it may write.

bubblewrap (``bwrap``) gives a program namespaces of its own. In ours the file system is read-only
but for the worktree, the temporary folder of the step and the journals of runs in progress; through
those a training script joins its run. ``/tmp``, ``/run`` and ``/dev/shm`` are empty and private,
the secrets of the home folder are covered. Other processes cannot be seen, and all end with the
program, or with the loop. Devices are the harmless ones and GPUs. The network is the host's unless
it is refused.

A sandbox is used where it works, which running it once shows: it needs user namespaces, which
containers and some distributions refuse.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gitexp.sensitive import sensitive_name

_PROBE_S = 10.0

_BASE = (
    "--die-with-parent",
    "--new-session",
    "--unshare-pid",
    "--unshare-ipc",
    "--cap-drop",
    "ALL",
    "--ro-bind",
    "/",
    "/",
    "--dev",
    "/dev",
    "--proc",
    "/proc",
)

_DEVICES = (
    "/dev/dri",
    "/dev/kfd",
    "/dev/dxg",
    "/dev/infiniband",
    "/dev/nvidia-caps",
    "/dev/nvidia-modeset",
    "/dev/nvidia-uvm",
    "/dev/nvidia-uvm-tools",
    "/dev/nvidiactl",
)
"""What GPUs are used through, beside ``/dev/nvidia0`` and on."""

_PRIVATE = ("/tmp", "/var/tmp", "/run")  # noqa: S108 - covered, not used
"""Folders that are empty inside: those of others' files and sockets (ssh and gpg agents, D-Bus,
Docker)."""

_NEEDED_OF_RUN = (
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager/resolv.conf",
    "/run/nvidia-persistenced",
    "/run/opengl-driver",
    "/run/current-system",
    "/run/wrappers",
)
"""What name resolution and drivers need of it."""

_SECRETS = (
    ".aws",
    ".azure",
    ".bash_history",
    ".boto",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".config/containers/auth.json",
    ".config/gcloud",
    ".config/gh",
    ".config/git/credentials",
    ".config/glab-cli",
    ".config/hub",
    ".config/op",
    ".config/rclone",
    ".config/chromium",
    ".config/google-chrome",
    ".cache/huggingface/token",
    ".docker",
    ".git-credentials",
    ".gnupg",
    ".huggingface/token",
    ".kaggle",
    ".kube",
    ".local/share/keyrings",
    ".mozilla",
    ".my.cnf",
    ".netrc",
    ".npmrc",
    ".password-store",
    ".pgpass",
    ".pypirc",
    ".python_history",
    ".s3cfg",
    ".ssh",
    ".terraform.d",
    ".vault-token",
    ".zsh_history",
)
"""Where programs keep credentials below the home folder, beside what the names of files in it
give away (`gitexp.sensitive`)."""


@dataclass(frozen=True)
class Sandbox:
    """bubblewrap, which works here.

    Attributes:
        program: Its path.
    """

    program: Path

    def wrap(self, view: View) -> tuple[str, ...]:
        """Return the arguments behind which a program sees and writes only what it may."""
        return (
            str(self.program),
            *_BASE,
            *(() if view.network else ("--unshare-net",)),
            *_each("--dev-bind-try", sorted([*_DEVICES, *_numbered("/dev", "nvidia")])),
            *(word for mount in _mounts(view) for word in mount),
            "--",
        )


@dataclass(frozen=True)
class View:
    """What a program is to see, as far as programs differ. All paths are absolute.

    Attributes:
        writable: What it may write to.
        readable: What it needs of the folders that are empty inside.
        homes: Folders whose secrets are covered.
        shown: Secrets of those that are not.
        network: Whether it has one.
    """

    writable: Sequence[Path]
    readable: Sequence[Path] = ()
    homes: Sequence[Path] = ()
    shown: Sequence[Path] = ()
    network: bool = True


def find_sandbox(path: str | None = None) -> Sandbox | None:
    """Return the sandbox, if there is one that works here: it is tried.

    Args:
        path: Where programs are looked for; by default where this process does.
    """
    if sys.platform != "linux":
        return None
    found = shutil.which("bwrap", path=path)
    if found is None:
        return None
    try:
        done = subprocess.run(
            [found, *_BASE, "--", "/proc/self/exe", "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Sandbox(Path(found).absolute()) if done.returncode == 0 else None


def sandbox_sentence(sandbox: Sandbox | None) -> str:
    """Return what a user is told about what locks agents and runs in."""
    if sandbox is not None:
        return (
            "Agents and runs are locked in with bubblewrap: they write to their worktree and "
            "temporary folder only."
        )
    return (
        "There is no sandbox: bubblewrap is not installed or does not work here. What agents and "
        "runs write outside of their worktree is not prevented."
    )


def _each(option: str, paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        yield from (option, path, path)


def _numbered(folder: str, stem: str) -> list[str]:
    """Return the devices whose names are a word and a number."""
    return [str(p) for p in Path(folder).glob(f"{stem}*") if p.name[len(stem) :].isdecimal()]


def _mounts(view: View) -> list[tuple[str, ...]]:
    """Return what is put over the file system: outer folders first, so that inner ones count."""
    private = [path for path in _PRIVATE if Path(path).is_dir() and not Path(path).is_symlink()]
    mounts: list[tuple[str, ...]] = [("--tmpfs", path) for path in private]
    mounts += [("--ro-bind-try", path, path) for path in _NEEDED_OF_RUN]
    mounts += [("--ro-bind", path, path) for path in _real(view.readable, private)]
    mounts += _covers(view)
    mounts += [("--bind-try", path, path) for path in _real(view.writable, ["/"])]
    return sorted(mounts, key=lambda mount: Path(mount[-1]).parts)


def _real(paths: Iterable[Path], below: Sequence[str]) -> list[str]:
    """Return paths without links in them, of those that are below some folders."""
    real = {path.resolve() for path in paths}
    return [str(path) for path in real if any(path.is_relative_to(each) for each in below)]


def _covers(view: View) -> Iterator[tuple[str, ...]]:
    """Yield what is put over each secret of the home folders: nothing."""
    shown = {path.resolve() for path in (*view.writable, *view.shown)}
    for path in {each.resolve() for home in view.homes for each in _secrets(home)} - shown:
        if path.is_dir():
            yield ("--tmpfs", str(path))
        elif path.exists():
            yield ("--ro-bind", os.devnull, str(path))


def _secrets(home: Path) -> list[Path]:
    """Return what is a secret in a home folder by its place, or by its name."""
    try:
        names = os.listdir(home)  # noqa: PTH208 - names are all that is needed
    except OSError:
        return []
    return [home / p for p in (*_SECRETS, *(n for n in names if sensitive_name(os.fsencode(n))))]
