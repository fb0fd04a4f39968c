"""Hermetic fixtures: real git repositories, and no configuration but the test's own.

Starting processes is what makes such suites slow, so a template repository is made once a
session and copied for each test.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.pair import Pair
from tests.support import Git

# A shell starts what runs in its background with interrupts ignored, and so would be all children.
signal.signal(signal.SIGINT, signal.default_int_handler)

_KEPT = ("PATH", "LANG", "TMPDIR", "PYTHONPATH", "PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST")


@pytest.fixture(autouse=True)
def hermetic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the home, XDG and git configuration of this machine unreachable."""
    for name in list(os.environ):
        if name not in _KEPT:
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return home


@pytest.fixture
def identity(hermetic: Path) -> None:
    """Give git a user: Ada Lovelace <ada@example.org>."""
    (hermetic / ".gitconfig").write_text(
        "[user]\n\tname = Ada Lovelace\n\temail = ada@example.org\n"
        "[init]\n\tdefaultBranch = main\n"
        '[protocol "file"]\n\tallow = always\n'
    )


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the repository that `repo` copies: two commits of a few files on main."""
    root = tmp_path_factory.mktemp("template") / "repo"
    root.mkdir()
    git = Git(root, config={"user.name": "Ada Lovelace", "user.email": "ada@example.org"})
    git("init", "--quiet", "--initial-branch=main")
    (root / "train.py").write_text("lr = 0.1\nprint(lr)\n")
    (root / "README").write_text("a project\n")
    (root / "pkg").mkdir()
    (root / "pkg" / "model.py").write_text("WIDTH = 8\n")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    (root / "pkg" / "data.py").write_text("SEED = 1\n")
    (root / ".gitignore").write_text("ignored/\n*.log\n")
    git("add", ".")
    git("commit", "--quiet", "-m", "second")
    return root


@pytest.fixture
def repo(template: Path, tmp_path: Path, identity: None, monkeypatch: pytest.MonkeyPatch) -> Git:
    """A fresh copy of the template, as the current folder; call it to run git in it."""
    root = tmp_path / "repo"
    shutil.copytree(template, root, symlinks=True)
    monkeypatch.chdir(root)
    git = Git(root)
    git("update-index", "-q", "--refresh")
    return git


@pytest.fixture
def pair(template: Path, tmp_path: Path, identity: None) -> Pair:
    """Two clones, ada and bob, that share through a bare folder."""
    return Pair(template, tmp_path)
