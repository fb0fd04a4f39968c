"""The session's branch: made by the loop, moved by compare-and-swap, and by nobody else."""

from __future__ import annotations

from gitexp.errors import ConflictError, GitCommandError, GitexpError, UsageError
from gitexp.git.read import list_refs, resolve
from gitexp.git.repository import Repository
from gitexp.git.write import RefChange, update_refs

HEADS = "refs/heads/"


def branch_of(repository: Repository, session: str, named: str | None) -> str:
    """Return the name of a session's branch, without ``refs/heads/``.

    Args:
        repository: Where.
        session: Its id.
        named: What the user calls it.

    Raises:
        UsageError: That is no name of a branch.
    """
    branch = f"exp/{session}" if named is None else named
    try:
        repository.git(["check-ref-format", f"{HEADS}{branch}"])
    except GitCommandError as error:
        raise UsageError(
            f"{branch!r} is no name of a branch.", "Give another with --branch."
        ) from error
    if branch.startswith("-"):
        raise UsageError(f"{branch!r} is no name of a branch.", "Give another with --branch.")
    return branch


def start_of(repository: Repository, branch: str) -> str:
    """Return the commit that a session starts from: the branch's if there is one, else HEAD's.

    Raises:
        GitexpError: There is no commit yet, or the branch is checked out.
    """
    tip = tip_of(repository, branch)
    if tip is not None:
        require_free(repository, branch)
        return tip
    head = resolve(repository, "HEAD")
    if head is None:
        raise GitexpError(
            "There is no commit yet whose code could be run.", "Commit the code first."
        )
    return head


def tip_of(repository: Repository, branch: str) -> str | None:
    """Return the commit that a branch names; None where there is no such branch."""
    return list_refs(repository, f"{HEADS}{branch}").get(f"{HEADS}{branch}")


def require_free(repository: Repository, branch: str) -> None:
    """Check that no work tree has the branch checked out: it would no longer fit its files.

    Raises:
        GitexpError: One has.
    """
    output = repository.git(["worktree", "list", "--porcelain", "-z"])
    place = ""
    for entry in output.decode("utf-8", "surrogateescape").split("\0"):
        word, _, rest = entry.partition(" ")
        if word == "worktree":
            place = rest
        elif word == "branch" and rest == f"{HEADS}{branch}":
            raise GitexpError(
                f"The branch {branch} is checked out in {place}, so it cannot be moved.",
                "Check out another branch there, then go on with 'git exp loop --resume'.",
            )


def make_branch(repository: Repository, branch: str, start: str) -> None:
    """Make a branch at a commit; do nothing where it is there already.

    Raises:
        ConflictError: It names another commit.
    """
    tip = tip_of(repository, branch)
    if tip is None:
        update_refs(repository, HEADS, [RefChange(f"{HEADS}{branch}", None, start)])
    elif tip != start:
        raise ConflictError(f"The branch {branch} names another commit than {start[:12]}.")


def move_branch(repository: Repository, branch: str, old: str, new: str) -> None:
    """Move a branch from one commit to the next; do nothing where it is there already.

    Raises:
        ConflictError: Somebody else has moved or removed it.
        GitexpError: A work tree has it checked out.
    """
    tip = tip_of(repository, branch)
    if tip == new:
        return
    if tip != old:
        where = "is gone" if tip is None else f"names {tip[:12]}"
        raise ConflictError(
            f"The branch {branch} {where}, though the session left it at {old[:12]}.",
            f"To go on: git branch --force {branch} {old}, then git exp loop --resume",
        )
    require_free(repository, branch)
    update_refs(repository, HEADS, [RefChange(f"{HEADS}{branch}", old, new)])
