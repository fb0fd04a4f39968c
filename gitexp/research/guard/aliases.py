"""Words that stand for another: a built-in table, and the repository's own (``exprag.alias``).

A name on the left, of one word or several, is taken for the one on the right, in texts and in the
names of settings. What is not the same thing is not in the table: SwiGLU and GeGLU stay apart, and
so do a learning rate of one group of parameters and another's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property

from gitexp.git.repository import Repository

BUILT_IN: Mapping[str, str] = {
    "learning rate": "lr",
    "step size": "lr",
    "learningrate": "lr",
    "weight decay": "weight_decay",
    "wd": "weight_decay",
    "batch size": "batch_size",
    "batchsize": "batch_size",
    "bs": "batch_size",
    "total batch size": "total_batch_size",
    "gradient accumulation": "grad_accum",
    "grad accumulation": "grad_accum",
    "gradient accumulation steps": "grad_accum_steps",
    "grad clipping": "grad_clip",
    "gradient clipping": "grad_clip",
    "gradient clip": "grad_clip",
    "out of memory": "oom",
    "cuda out of memory": "oom",
    "warm up": "warmup",
    "warm down": "warmdown",
    "cool down": "warmdown",
    "cooldown": "warmdown",
    "window pattern": "window_pattern",
    "attention window": "window_pattern",
    "head dimension": "head_dim",
    "head dim": "head_dim",
    "value embedding": "value_embedding",
    "value embeddings": "value_embedding",
    "model width": "width",
    "num layers": "n_layer",
    "n layers": "n_layer",
    "number of layers": "n_layer",
    "num heads": "n_head",
    "n heads": "n_head",
    "number of heads": "n_head",
    "sequence length": "seq_len",
    "seq length": "seq_len",
    "max epochs": "epochs",
    "num epochs": "epochs",
    "n epochs": "epochs",
    "schedule": "sched",
    "scheduler": "sched",
    "optimizer": "optim",
    "optimiser": "optim",
    "activation": "act",
    "activation function": "act",
}

UP = frozenset(
    "up increase increases increased increasing raise raises raised raising higher boost boosted"  # noqa: SIM905
    " larger bigger greater more longer deeper wider grow bump double doubled doubling triple"
    " quadruple scale_up".split()
)
DOWN = frozenset(
    "down decrease decreases decreased decreasing lower lowered lowering reduce reduces reduced"  # noqa: SIM905
    " reducing shorten shorter smaller less fewer shrink cut drop halve halved halving shallower"
    " narrower scale_down".split()
)

_SEPARATORS = re.compile(r"[\s_-]+")


class Aliases:
    """The table that counts in a repository."""

    def __init__(self, own: Mapping[str, str] | None = None) -> None:
        """Put a repository's own names over the built-in ones.

        Args:
            own: What stands for what.
        """
        table = {**BUILT_IN, **(own or {})}
        self._table = {_plain(old): "_".join(_plain(new).split()) for old, new in table.items()}

    @classmethod
    def of(cls, repository: Repository) -> Aliases:
        """Return the aliases of a repository; a setting that is not ``FROM=TO`` says nothing."""
        values = repository.configured(r"^exprag\.alias$").get("exprag.alias", [])
        pairs = (value.partition("=") for value in values)
        return cls({old: new for old, _, new in pairs if old.strip() and new.strip()})

    @cached_property
    def _phrase(self) -> re.Pattern[str]:
        longest_first = sorted(self._table, key=len, reverse=True)
        inside = "|".join(r"[\s_-]".join(map(re.escape, name.split())) for name in longest_first)
        return re.compile(rf"(?<![^\W_])(?:{inside})(?![^\W_])")

    def replaced(self, text: str) -> str:
        """Return a text in small letters with its names in the form that counts."""
        return self._phrase.sub(lambda match: self._table[_plain(match[0])], text)

    def variants(self, word: str) -> list[str]:
        """Return what else is taken for a word, as written with spaces."""
        return [old for old, new in self._table.items() if new == word]


def _plain(name: str) -> str:
    return _SEPARATORS.sub(" ", name.strip().casefold())
