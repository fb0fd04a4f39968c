"""``exprag.sign``: snapshots and seals signed with the user's own git setup, and checked."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from pathlib import Path

import pytest

from gitexp.errors import GitexpWarning
from gitexp.experiment import Experiment
from gitexp.git import commit, refs
from gitexp.git.repository import Repository
from gitexp.store.shard import shard_name
from gitexp.verify.check import verify
from tests.full_store import record_runs
from tests.support import Git

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")


@pytest.fixture(autouse=True)
def _forget_warnings() -> None:
    commit._warn_unsigned.cache_clear()


@pytest.fixture
def key(repo: Git, tmp_path: Path) -> Path:
    """An ssh key with which git signs, and which it trusts."""
    path = tmp_path / "key"
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada", "-f", str(path)]
    subprocess.run(words, check=True)
    public = path.with_suffix(".pub").read_text()
    trusted = tmp_path / "trusted"
    trusted.write_text(f"ada@example.org {public}")
    repo("config", "gpg.format", "ssh")
    repo("config", "user.signingKey", str(path))
    repo("config", "gpg.ssh.allowedSignersFile", str(trusted))
    repo("config", "exprag.sign", "true")
    return path


def state(git: Git, name: str) -> str:
    return git("show", "-s", "--format=%G? %GS", name)


def checks() -> list[tuple[str, str]]:
    found = verify(Repository.discover()).findings
    return [(each.check, each.severity) for each in found]


def test_snapshots_and_seals_are_signed(repo: Git, key: Path) -> None:
    with Experiment("signed") as experiment:
        experiment.track({"loss": 1.0})
    shard = shard_name(Repository.discover())
    for name in (experiment.run_id, *(f"{p}{shard}" for p in (refs.FACTS, refs.METRICS))):
        assert state(repo, name) == "G ada@example.org"
    assert repo("show", "-s", "--format=%an <%ae>|%s", experiment.run_id) == (
        "Ada Lovelace <ada@example.org>|exprag: signed"
    )
    assert checks() == []


def test_without_the_setting_nothing_is_signed(repo: Git, key: Path) -> None:
    repo("config", "exprag.sign", "false")
    (run, *_) = record_runs(repo)
    assert state(repo, run).strip() == "N"
    assert checks() == []


def test_a_signature_that_fails_is_said_once_and_stops_nothing(repo: Git, key: Path) -> None:
    key.unlink()
    key.with_suffix(".pub").unlink()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        runs = record_runs(repo)
    assert [each.category for each in caught] == [GitexpWarning]
    assert "not signed" in str(caught[0].message)
    assert state(repo, runs[0]).strip() == "N"
    assert checks() == [("unsigned", "note")]


def test_a_commit_that_was_tampered_with_is_bad(repo: Git, key: Path) -> None:
    record_runs(repo)
    ref = f"{refs.FACTS}{shard_name(Repository.discover())}"
    content = repo.raw("cat-file", "commit", ref)
    forged = repo.raw(
        *("hash-object", "-t", "commit", "-w", "--stdin"),
        stdin=content.replace(b"exprag: 1 run", b"exprag: 9 run"),
    )
    repo("update-ref", ref, forged.decode().strip())
    found = [each for each in verify(Repository.discover()).findings if each.severity != "note"]
    assert [(each.check, each.severity) for each in found] == [("signature", "damaged")]
    assert "bad" in found[0].message
    assert "git verify-commit" in found[0].remedy


def test_a_signature_by_an_unknown_key_is_a_note(repo: Git, key: Path, tmp_path: Path) -> None:
    record_runs(repo)
    (tmp_path / "trusted").write_text("")
    assert set(checks()) == {("signature", "note")}


def test_odd_names_and_identities_are_signed_too(repo: Git, key: Path) -> None:
    repo("config", "user.name", "Ada <Lovelace>")
    repo("config", "i18n.commitEncoding", "latin1")
    with Experiment("größer \u2603") as experiment:
        experiment.track({"loss": 1.0})
    assert state(repo, experiment.run_id).startswith("G")
    assert "größer \u2603" in repo("log", "-1", "--encoding=UTF-8", experiment.run_id)
    assert checks() == []
