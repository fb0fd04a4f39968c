"""Put a hook into a repository, and take it out without a trace.

A hook of that name that was there is kept beside ours as ``<name>.before-gitexp``, moved and not
copied, so that its bytes, its mode and a symbolic link stay what they are; our script runs it
first. All that has to be known for the way back is in the hooks folder itself: our scripts are
told by their second line, and one that stands in a folder that we made says so in its last line.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from gitexp.errors import GitexpError
from gitexp.git.repository import Repository
from gitexp.git.write import write_error
from gitexp.light import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    State = Literal["absent", "foreign", "installed", "outdated"]
else:
    State = str

_KEPT = ".before-gitexp"
_MARK = b"# git-exp hook:"
_FOLDER_IS_OURS = b"# This folder was made for it.\n"
_MODE = 0o755


class Hook(NamedTuple):
    """The hook that git looks for in a repository.

    Attributes:
        name: ``pre-push``, or ``pre-receive`` in a bare repository.
        path: Where git looks for it.
        state: ``foreign`` is another program's, ``outdated`` ours of another version.
    """

    name: str
    path: Path
    state: State

    @property
    def kept(self) -> Path:
        """Where the hook is kept that was there before."""
        return self.path.with_name(self.path.name + _KEPT)


def script(name: str) -> bytes:
    """Return the shell script of a hook as it comes with gitexp."""
    packaged = Path(__file__).parent / "scripts" / name
    in_checkout = Path(__file__).parents[2] / "hooks" / name
    return (packaged if packaged.exists() else in_checkout).read_bytes()


def find_hook(repository: Repository) -> Hook:
    """Return the hook of a repository, in the folder that git itself names.

    Raises:
        GitexpError: What stands there cannot be read.
    """
    words = ["rev-parse", "--path-format=absolute", "--is-bare-repository", "--git-path", "hooks"]
    bare, folder, _ = repository.git(words).decode("utf-8", "surrogateescape").split("\n")
    name = "pre-receive" if bare == "true" else "pre-push"
    path = Path(folder) / name
    try:
        return Hook(name, path, _state(path))
    except OSError as error:
        raise write_error(error, f"read {path}") from error


def install(repository: Repository) -> Hook:
    """Put the hook of a repository in place; nothing changes where it is.

    Returns:
        The hook as it is now.

    Raises:
        GitexpError: There are two hooks that are not ours, or the file system refused.
    """
    hook = find_hook(repository)
    if hook.state == "foreign" and os.path.lexists(hook.kept):
        raise GitexpError(
            f"Both {hook.path} and {hook.kept.name} are there, and neither is gitexp's.",
            f"Take one of them away, or merge them into {hook.name}.",
        )
    if hook.state != "installed":
        try:
            _put(hook)
        except OSError as error:
            raise write_error(error, f"write {hook.path}") from error
    return hook._replace(state="installed")


def remove(repository: Repository) -> Hook:
    """Take the hook out and put back what was there before; what is not ours is left alone.

    Returns:
        The hook as it was found; a foreign one stays.

    Raises:
        GitexpError: The file system refused.
    """
    hook = find_hook(repository)
    try:
        if hook.state in ("installed", "outdated"):
            _take_out(hook)
        elif hook.state == "absent" and os.path.lexists(hook.kept):
            hook.kept.rename(hook.path)
    except OSError as error:
        raise write_error(error, f"remove {hook.path}") from error
    return hook


def _state(path: Path) -> State:
    if not os.path.lexists(path):
        return "absent"
    if path.is_symlink() or not path.is_file() or not _is_ours(path.read_bytes()):
        return "foreign"
    content = path.read_bytes().removesuffix(_FOLDER_IS_OURS)
    same = content == script(path.name) and os.access(path, os.X_OK)
    return "installed" if same else "outdated"


def _is_ours(content: bytes) -> bool:
    lines = content.split(b"\n", 2)
    return len(lines) > 1 and lines[1].startswith(_MARK)


def _put(hook: Hook) -> None:
    content = script(hook.name)
    if hook.state == "outdated" and hook.path.read_bytes().endswith(_FOLDER_IS_OURS):
        content += _FOLDER_IS_OURS
    if not hook.path.parent.is_dir():
        hook.path.parent.mkdir()
        content += _FOLDER_IS_OURS
    draft = hook.path.with_name(f"{hook.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        draft.chmod(_MODE)
        if hook.state == "foreign":
            hook.path.rename(hook.kept)
        draft.replace(hook.path)
    finally:
        draft.unlink(missing_ok=True)


def _take_out(hook: Hook) -> None:
    folder_is_ours = hook.path.read_bytes().endswith(_FOLDER_IS_OURS)
    if os.path.lexists(hook.kept):
        hook.kept.replace(hook.path)
    else:
        hook.path.unlink()
    if folder_is_ours:
        with contextlib.suppress(OSError):  # others have put hooks of their own there
            hook.path.parent.rmdir()
