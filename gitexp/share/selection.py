"""What the shards here say of some runs, to be added to other states of these shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gitexp.git import refs
from gitexp.git.commit import write_commit
from gitexp.git.history import EMPTY_TREE, tree_of_commit
from gitexp.git.repository import Repository
from gitexp.git.trees import read_tree, select_paths
from gitexp.records.facts import RunFact
from gitexp.store.batch import environment_path, is_digest, note_path
from gitexp.store.problem import Problem
from gitexp.store.read import decode_note
from gitexp.store.union import REMOVED, unite_trees


class Selection:
    """Some runs, and the shards of this repository.

    Args:
        repository: Where.
        runs: Ids of the runs.
        tips: Ref of a shard -> commit that it names.
    """

    def __init__(
        self, repository: Repository, runs: Sequence[str], tips: Mapping[str, str]
    ) -> None:
        self._repository = repository
        self._runs = runs
        self._tips = tips
        self._environments = self._used_environments()

    def add_to(self, ref: str, base: str | None) -> str | None:
        """Return a commit that adds what a shard says of the runs to an older state of it.

        Args:
            ref: Of the shard.
            base: The commit to go on from; None for none.

        Returns:
            The id of the commit; None where there is nothing to add.

        Raises:
            MissingObjectError: An object of the shard is missing.
            GitexpError: An object could not be written.
        """
        tree = tree_of_commit(self._repository, self._tips[ref])
        chosen = select_paths(self._repository, tree, self._paths(ref))
        before = EMPTY_TREE if base is None else tree_of_commit(self._repository, base)
        united = unite_trees(self._repository, ref, before, chosen)
        if united == before:
            return None
        noun = "run" if len(self._runs) == 1 else "runs"
        message = f"exprag: {len(self._runs)} {noun}\n"
        return write_commit(self._repository, message, united, [base] if base else [])

    def _paths(self, ref: str) -> list[str]:
        if ref.startswith(refs.FILES):
            folders = [note_path(run) for run in self._runs]
            return [*folders, *(f"{REMOVED}{folder}" for folder in folders), *self._environments]
        reader = read_tree(self._repository, ref)
        return [path for run in self._runs for path in reader.note_paths(run)]

    def _used_environments(self) -> list[str]:
        """Return the paths of the environment records that the runs name."""
        digests = set()
        for ref in self._tips:
            if ref.startswith(refs.FACTS):
                reader = read_tree(self._repository, ref)
                notes = [(run, note) for run in self._runs for note in reader.notes(run).values()]
                for run, note in notes:
                    facts = decode_note(Problem(ref, run, 0, ""), note, set())
                    digests |= {f.environment for f in facts if isinstance(f, RunFact)}
        return sorted(
            environment_path(digest)
            for digest in digests
            if digest is not None and is_digest(digest)
        )
