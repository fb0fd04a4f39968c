"""What was run, its code and its seed apart: the *setup*, as a digest.

With the code that matters it makes the configuration (docs/research.md, "Words"): runs of one
configuration are replicates. It is a digest, so that an index can hold it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import xxhash

from gitexp.records.facts import Input
from gitexp.records.nested import flatten, json_numbers
from gitexp.run import Run

_SEED = re.compile(r"(?:.*[._-])?(?:random[._-]?)?seed", re.IGNORECASE)

_encoder = msgspec.json.Encoder(order="sorted")


def is_seed(name: str) -> bool:
    """Say whether a parameter or an option of this name is a seed: ``seed``, ``data.random_seed``.

    Args:
        name: A dotted path, or an option with its dashes.
    """
    return _SEED.fullmatch(name.lstrip("-")) is not None


def setup_digest(run: Run) -> bytes:
    """Return the digest of a run's parameters, command and inputs, 8 bytes; seeds do not count.

    Of a run whose code is not recorded the commit that it names and its description count too,
    and without such a commit its id: nothing else tells whether two such runs are the same.
    """
    return digest_of(run.parameters, run.command, run.inputs, _instead_of_code(run))


def _instead_of_code(run: Run) -> tuple[str, ...]:
    if run.git is not None:
        return ()
    metadata = run.metadata if isinstance(run.metadata, Mapping) else {}
    commit = metadata.get("commit")
    return (str(commit), run.description or run.name) if commit else (run.id,)


def digest_of(
    parameters: Mapping[str, Any],
    command: Sequence[str],
    inputs: Sequence[Input] = (),
    more: Sequence[str] = (),
) -> bytes:
    """Return the digest of what was, or is to be, run, 8 bytes; see `setup_digest`."""
    flat = {path: value for path, value in flatten(parameters).items() if not is_seed(path)}
    data = sorted(item.digest for item in inputs)
    content = [json_numbers(flat), list(without_seeds(command)), data, list(more)]
    return xxhash.xxh3_64_digest(_encoder.encode(content))


def without_seeds(command: Sequence[str]) -> Iterator[str]:
    """Yield the words of a command but for seeds: ``--seed 3``, ``--seed=3``, ``seed=3``."""
    is_value = False
    for word in command:
        name, equals, _ = word.partition("=")
        if is_value:
            is_value = False
        elif is_seed(name) and (equals or word.startswith("-")):
            is_value = not equals
        else:
            yield word


def seed_of(run: Run) -> str | None:
    """Return the seed of a run as text: its own, or those among parameters and options."""
    if run.seed is not None:
        return str(run.seed)
    flat = flatten(run.parameters)
    found = [f"{path}={flat[path]}" for path in sorted(flat) if is_seed(path)]
    words = list(run.command)
    for i, word in enumerate(words):
        name, equals, value = word.partition("=")
        if is_seed(name) and equals:
            found.append(value)
        elif is_seed(name) and word.startswith("-"):
            found += words[i + 1 : i + 2]
    return " ".join(found) or None
