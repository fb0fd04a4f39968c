"""The cage: what is undone, what is seen, what may stay; and the user's repository beside it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitexp import Experiment
from gitexp.errors import GitexpError
from gitexp.loop.cage import content
from gitexp.loop.cage.processes import MARK
from gitexp.loop.cage.surroundings import is_secret, scrubbed
from gitexp.loop.cage.worktree import Breach, Cage
from tests.caged import SESSION, cage_of, state_of
from tests.support import Git


def kinds(breaches: list[Breach]) -> list[tuple[str, str]]:
    return [(breach.kind, breach.path) for breach in breaches]


@pytest.fixture(autouse=True)
def untouched(repo: Git) -> object:
    """Check after each test that the user's files, index, HEAD and refs are what they were."""
    repo.write("untracked.txt", "the user's own")
    repo.write("ignored/data.txt", "data")
    repo.write("train.py", "lr = 0.5  # work in progress\n")
    repo("add", "train.py")
    before = state_of(repo)
    yield
    assert state_of(repo) == before
    assert len(repo("worktree", "list").split("\n")) == 1


# What it is


def test_it_holds_the_code_on_its_commit_and_nothing_else(repo: Git) -> None:
    with cage_of(repo) as cage:
        names = {path.name for path in cage.folder.iterdir()}
        assert names == {".git", ".gitignore", "README", "pkg", "train.py"}
        assert (cage.folder / "train.py").read_text() == "lr = 0.1\nprint(lr)\n"
        assert cage.changed() == []
        assert cage.settle() == []
        git = Git(cage.folder)
        assert git("rev-parse", "HEAD") == repo("rev-parse", "HEAD")
        assert git("status", "--porcelain") == ""
        assert git("log", "--format=%s") == "second\nfirst"
    assert not cage.folder.parent.exists()


def test_an_experiment_in_it_is_one_of_its_code_in_the_users_repository(repo: Git) -> None:
    base = repo("rev-parse", "HEAD")
    with cage_of(repo) as cage:
        (cage.folder / "train.py").write_text("lr = 0.2\n")
        assert cage.settle() == []
        assert cage.changed() == ["train.py"]
        outer = dict(os.environ)
        with cage.entered("pkg") as folder, Experiment("inside") as experiment:
            assert Path.cwd() == folder == cage.folder / "pkg"
        assert dict(os.environ) == outer
        assert Path.cwd() == repo.path
    run = experiment.run_id
    assert repo("rev-parse", f"{run}^") == base
    assert repo("show", f"{run}:train.py") == "lr = 0.2"
    assert repo("rev-parse", f"refs/exprag/runs/{run}") == run


@pytest.mark.parametrize("folder", ["..", "/tmp", ".git", "a/../../b", "train.py"])
def test_nobody_enters_what_is_no_folder_of_it(repo: Git, folder: str) -> None:
    with cage_of(repo) as cage, pytest.raises(GitexpError), cage.entered(folder):
        pass


def test_code_with_submodules_is_refused(repo: Git, tmp_path: Path) -> None:
    index = str(tmp_path / "index")
    repo("read-tree", "HEAD", GIT_INDEX_FILE=index)
    entry = f"160000,{repo('rev-parse', 'HEAD')},sub"
    repo("update-index", "--add", "--cacheinfo", entry, GIT_INDEX_FILE=index)
    tree = repo("write-tree", GIT_INDEX_FILE=index)
    with pytest.raises(GitexpError, match="submodules"), cage_of(repo, tree=tree):
        pass


# What is undone


def cut(cage: Cage) -> None:
    (cage.folder / "train.py").write_text("lr = 9\n")


def _swap_folder(top: Path) -> None:
    shutil.rmtree(top / "pkg")
    (top / "pkg").symlink_to(top.parent.parent)


def _hide_folder(top: Path) -> None:
    (top / "new").mkdir()
    (top / "new" / "x.py").write_text("x")
    (top / "new").chmod(0)


def _deep(top: Path) -> None:
    place = top
    for _ in range(1100):
        place /= "d"
        place.mkdir()
    (place / "x.py").write_text("x")


def _touch(top: Path) -> None:
    status = (top / "README").stat()
    (top / "README").write_text("A project\n")
    os.utime(top / "README", ns=(status.st_atime_ns, status.st_mtime_ns))


def _nested(top: Path) -> None:
    Git(top)("init", "--quiet", "inner")
    (top / "inner" / "x.py").write_text("x")


def _git_link(top: Path) -> None:
    (top / "pkg" / ".git").write_text("gitdir: /somewhere/else\n")


DEEDS: list[tuple[Callable[[Path], object], list[str]]] = [
    (lambda top: (top / "README").write_text("x"), ["protected"]),
    (lambda top: (top / "README").unlink(), ["protected"]),
    (lambda top: (top / "README").chmod(0o755), ["protected"]),
    (_touch, ["protected"]),
    (lambda top: (top / "pkg/model.py").write_text("x"), ["path"]),
    (lambda top: (top / "pkg/model.py").unlink(), ["path"]),
    (lambda top: shutil.rmtree(top / "pkg"), ["path", "path"]),
    (_swap_folder, ["link", "path", "path"]),
    (lambda top: (top / ".gitignore").write_text("*\n"), ["path"]),
    (lambda top: (top / "pkg/.gitignore").write_text("*\n"), ["new"]),
    (lambda top: (top / ".gitattributes").write_text("* filter=evil\n"), ["new"]),
    (lambda top: (top / ".gitmodules").write_text("[submodule]\n"), ["new"]),
    (lambda top: (top / "new.py").write_text("x"), ["new"]),
    (lambda top: (top / "new.py").symlink_to("/etc/passwd"), ["link"]),
    (lambda top: (top / "new.py").symlink_to(".git/config"), ["link"]),
    (lambda top: (top / "new.py").symlink_to("train.py"), ["new"]),
    (lambda top: os.mkfifo(top / "new"), ["new"]),
    (_hide_folder, ["new"]),
    (_deep, ["new"]),
    (lambda top: (top / "a\n\x1b[2J\udcff").write_text("x"), ["new"]),
    (_nested, ["repository", "new"]),
    (_git_link, ["repository"]),
    (lambda top: (top / "src/x.log").write_text("x"), ["hidden"]),
    (lambda top: (top / "src/api_key.txt").write_text("x"), ["hidden"]),
    (lambda top: (top / "src/big").write_bytes(bytes(2 << 20)), ["hidden"]),
    (lambda top: (top / "src/l").symlink_to("/etc"), ["link"]),
    (lambda top: shutil.rmtree(top / ".git"), ["git"]),
    (lambda top: Git(top)("checkout", "-q", "-b", "evil"), ["git"]),
    (lambda top: Git(top)("config", "core.hooksPath", "/evil"), ["git"]),
]


@pytest.mark.parametrize(("deed", "expected"), DEEDS)
def test_a_deed_is_undone_and_recorded(
    repo: Git, deed: Callable[[Path], object], expected: list[str]
) -> None:
    with cage_of(repo, allow=["train.py", "src"], protect=["README"]) as cage:
        (cage.folder / "src").mkdir()
        (cage.folder / "train.py").write_text("lr = 0.2\n")
        deed(cage.folder)
        breaches = cage.settle()
        assert [breach.kind for breach in breaches] == expected
        assert all(breach.undone for breach in breaches)
        assert all((b.detail + b.path).isprintable() and b.detail.endswith(".") for b in breaches)
        assert cage.changed() == ["train.py"]
        assert cage.settle() == []
        names = {path.name for path in cage.folder.iterdir()}
        assert names == {".git", ".gitignore", "README", "pkg", "train.py", "src"}
        assert (cage.folder / "README").stat().st_mode & 0o777 == 0o644


def test_caches_and_what_git_ignores_go_without_a_word(repo: Git) -> None:
    with cage_of(repo) as cage:
        cut(cage)
        for path in ("ignored/data", "run.log", "pkg/__pycache__/model.cpython-311.pyc"):
            (cage.folder / path).parent.mkdir(exist_ok=True)
            (cage.folder / path).write_text("x")
        assert cage.settle() == []
        assert not (cage.folder / "run.log").exists()
        assert not (cage.folder / "pkg/__pycache__").exists()


def test_new_files_stay_where_they_are_allowed(repo: Git) -> None:
    with cage_of(repo, allow=["pkg", "*.cfg"]) as cage:
        (cage.folder / "pkg/new.py").write_text("x")
        (cage.folder / "a.cfg").write_text("x")
        (cage.folder / "pkg/alias.py").symlink_to("new.py")
        assert cage.settle() == []
        assert cage.changed() == ["a.cfg", "pkg/alias.py", "pkg/new.py"]


def test_after_a_run_outputs_stay_but_nothing_that_python_imports(repo: Git) -> None:
    with cage_of(repo) as cage:
        for name in ("model.bin", "run.log", "numpy.py", "torch.so", "site.pth"):
            (cage.folder / name).write_text("x")
        assert sorted(kinds(cage.settle(outputs=True))) == [
            ("new", '"numpy.py"'),
            ("new", '"site.pth"'),
            ("new", '"torch.so"'),
        ]
        assert (cage.folder / "model.bin").exists()
        assert (cage.folder / "run.log").exists()


def test_code_of_a_run_stays_what_was_recorded(repo: Git) -> None:
    with cage_of(repo, allow=["train.py", "notes.txt"]) as cage:
        cut(cage)
        (cage.folder / "notes.txt").write_text("x")
        assert cage.settle() == []
        with cage.entered():
            (cage.folder / "train.py").write_text("cheat()\n")
            (cage.folder / "notes.txt").write_text("y")
            breaches = cage.settle(outputs=True)
            assert kinds(breaches) == [("path", '"train.py"')]
            assert "is code of the run" in breaches[0].detail
        assert (cage.folder / "train.py").read_text() == "lr = 9\n"
        assert (cage.folder / "notes.txt").read_text() == "y"


def test_a_clock_that_was_set_back_does_not_hide_a_protected_change(
    repo: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cage_of(repo, protect=["README"]) as cage:
        known = dict(cage._content._stamps)
        monkeypatch.setattr(cage._content, "_stamp", lambda path: known[path])
        (cage.folder / "README").write_text("A project\n")
        assert cage._content._differs("README")


def test_the_whole_worktree_may_be_removed_under_us(repo: Git) -> None:
    with cage_of(repo, protect=["README"]) as cage, cage.entered("pkg") as folder:
        shutil.rmtree(cage.folder)
        cage.folder.symlink_to("/etc")
        assert ("git", "") in kinds(cage.settle(outputs=True))
        assert Path.cwd() == folder
        assert (cage.folder / "README").read_text() == "a project\n"


def test_what_git_knows_of_the_worktree_is_put_back(repo: Git) -> None:
    with cage_of(repo) as cage:
        cut(cage)
        git_dir = cage.repository.git_dir
        (git_dir / "HEAD").write_text("ref: refs/heads/main\n")
        (git_dir / "commondir").write_text("/evil\n")
        (git_dir / "index.lock").write_text("")
        (git_dir / "index").unlink()
        (git_dir / "config.worktree").symlink_to("/evil")
        assert kinds(cage.settle()) == [("git", "HEAD")]
        assert cage.changed() == ["train.py"]
        shutil.rmtree(git_dir)
        assert kinds(cage.settle()) == [("git", "HEAD")]
        assert cage.changed() == ["train.py"]


def test_commits_and_branches_made_in_it_never_reach_the_user(repo: Git) -> None:
    with cage_of(repo) as cage:
        cut(cage)
        git = Git(cage.folder)
        git("commit", "--quiet", "--all", "-m", "mine")
        git("branch", "--force", "main")
        git("tag", "v1")
        git("update-ref", "-d", "refs/heads/main")
        (cage.folder / "train.py").write_text("lr = 10\n")
        git("stash")
        (cage.folder / "train.py").write_text("lr = 11\n")
        assert kinds(cage.settle()) == [("git", ".git")]
        assert cage.changed() == ["train.py"]
        assert git("rev-parse", "HEAD") == repo("rev-parse", "HEAD")


def test_too_many_new_files_make_it_start_over(repo: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_MOST_NEW", 50)
    with cage_of(repo) as cage:
        cut(cage)
        (cage.folder / "many").mkdir()
        for number in range(100):
            (cage.folder / "many" / f"{number}").touch()
        breaches = cage.settle()
        assert [b.kind for b in breaches] == ["new"]
        assert "more than 50" in breaches[0].detail
        assert cage.changed() == []
        assert cage.settle() == []


def test_breaches_are_summed_up(repo: Git) -> None:
    with cage_of(repo, protect=["README"]) as cage:
        for number in range(80):
            (cage.folder / f"{number}.txt").touch()
        (cage.folder / "README").write_text("x")
        breaches = cage.settle()
        assert len(breaches) == 50
        assert breaches[0].kind == "protected"
        assert breaches[-1].detail.startswith("32 more")


def test_links_of_the_session_are_put_back_and_never_code(repo: Git) -> None:
    with cage_of(repo, allow=["train.py", "ignored"], links=["ignored"]) as cage:
        link = cage.folder / "ignored"
        assert link.is_symlink()
        assert cage.settle() == []
        assert cage.changed() == []
        link.unlink()
        link.symlink_to("/etc")
        assert kinds(cage.settle()) == [("link", '"ignored"')]
        assert (link / "data.txt").read_text() == "data"
        link.unlink()
        link.mkdir()
        (link / "data.txt").write_text("forged")
        assert ("link", '"ignored"') in kinds(cage.settle())
        assert (link / "data.txt").read_text() == "data"
        assert cage.changed() == []


def test_nothing_is_removed_through_a_link_of_the_code(repo: Git, tmp_path: Path) -> None:
    """A folder in place of a tracked link is undone; the link's target keeps what has the names."""
    target = tmp_path / "target"
    (target / "sub").mkdir(parents=True)
    (target / "empty").mkdir()
    (target / "sub" / "x.py").write_text("somebody's")
    index = str(tmp_path / "index")
    repo("read-tree", "HEAD", GIT_INDEX_FILE=index)
    blob = repo.raw("hash-object", "-w", "--stdin", stdin=os.fsencode(target)).decode().strip()
    entry = f"120000,{blob},link"
    repo("update-index", "--add", "--cacheinfo", entry, GIT_INDEX_FILE=index)
    tree = repo("write-tree", GIT_INDEX_FILE=index)
    with cage_of(repo, allow=["train.py"], tree=tree) as cage:
        link = cage.folder / "link"
        assert link.readlink() == target
        for outputs in (False, True):
            link.unlink()
            (link / "sub").mkdir(parents=True)
            (link / "empty").mkdir()
            (link / "sub" / "x.py").write_text("forged")
            assert ("path", '"link"') in kinds(cage.settle(outputs=outputs))
            assert link.readlink() == target
            assert (target / "sub" / "x.py").read_text() == "somebody's"
            assert (target / "empty").is_dir()


def test_a_list_of_what_git_ignores_is_put_back(repo: Git) -> None:
    with cage_of(repo, allow=["src"]) as cage:
        (cage.folder.parent / "exclude").write_text("*\n")
        (cage.folder / "src").mkdir()
        (cage.folder / "src/x.py").write_text("x")
        assert cage.settle() == []
        assert cage.changed() == ["src/x.py"]


def test_a_huge_file_in_place_of_a_small_one_is_not_read(repo: Git) -> None:
    with cage_of(repo, protect=["README"]) as cage:
        os.truncate(cage.folder / "README", 1 << 43)
        assert kinds(cage.settle()) == [("protected", '"README"')]


NAMES = ("train.py", "README", "pkg", "pkg/model.py", "new", "pkg/new.py", ".git", ".gitignore")


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["write", "remove", "link", "mkdir", "chmod", "move"]),
            st.sampled_from(NAMES),
            st.sampled_from(NAMES),
        ),
        max_size=6,
    )
)
def test_whatever_is_done_only_what_is_allowed_changes(
    repo: Git, deeds: list[tuple[str, str, str]]
) -> None:
    with cage_of(repo, allow=["train.py"], protect=["README"]) as cage:
        for deed, path, other in deeds:
            _do(cage.folder, deed, path, other)
        cage.settle()
        assert {path.partition("/")[0] for path in cage.changed()} <= {"train.py"}
        assert cage.settle() == []
        assert (cage.folder / "README").read_bytes() == b"a project\n"
        assert (cage.folder / "pkg/model.py").read_bytes() == b"WIDTH = 8\n"


def _do(top: Path, deed: str, path: str, other: str) -> None:
    place = top / path
    try:
        if deed == "write":
            place.write_text("x")
        elif deed == "remove":
            shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()
        elif deed == "link":
            place.symlink_to(other)
        elif deed == "mkdir":
            place.mkdir()
        elif deed == "chmod":
            place.chmod(stat.S_IMODE(place.stat().st_mode) ^ 0o111)
        else:
            place.rename(top / other)
    except OSError:
        return  # it cannot be done there; another deed may


# What is seen


def test_what_changes_outside_is_seen_and_not_undone(repo: Git) -> None:
    train, old = repo.path / "train.py", (repo.path / "train.py").read_bytes()
    with cage_of(repo) as cage:
        train.write_text("somebody\n")
        (repo.path / "planted.py").write_text("x")
        (repo.path / ".git/hooks/post-commit").write_text("evil")
        repo("update-ref", "refs/heads/other", "HEAD")
        breaches = cage.settle()
        assert {b.path for b in breaches} == {
            '"train.py"',
            '"planted.py"',
            '".git/hooks/post-commit"',
            '"ref refs/heads/other"',
        }
        assert {(b.kind, b.undone) for b in breaches} == {("outside", False)}
        assert cage.settle() == []
    status = train.stat()
    train.write_bytes(old)
    os.utime(train, ns=(status.st_atime_ns, status.st_mtime_ns))
    (repo.path / "planted.py").unlink()
    (repo.path / ".git/hooks/post-commit").unlink()
    repo("update-ref", "-d", "refs/heads/other")


# The environment


KEPT = {
    "PATH": "/usr/bin",
    "HOME": "/home/u",
    "LANG": "C",
    "CUDA_VISIBLE_DEVICES": "0",
    "TOKENIZERS_PARALLELISM": "false",
    "KEYBOARD": "us",
    "PYTHONPATH": "src",
    "http_proxy": "http://proxy:3128",
    "WANDB_MODE": "offline",
}
GONE = {
    "OPENAI_API_KEY": "x",
    "HF_TOKEN": "x",
    "aws_secret_access_key": "x",
    "DB_PASSWORD": "x",
    "MY_ENDPOINT": "https://user:" + "hunter2!xyz" + "@host/",
    "CI_THING": "ghp_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3z45",
    "SSH_AUTH_SOCK": "/run/x",
    "GIT_DIR": "/evil",
    "GIT_ASKPASS": "/helper",
    "GIT_CONFIG_COUNT": "1",
    "GITEXP_RUN": "0" * 40,
    "AUTORESEARCH_SUMMARY_PATH": "/x",
    "DBUS_SESSION_BUS_ADDRESS": "unix:",
    "DOCKER_HOST": "unix:",
}


def test_secrets_and_ways_to_them_do_not_go_along() -> None:
    assert scrubbed(KEPT | GONE) == KEPT


@pytest.mark.parametrize("name", sorted(GONE))
def test_what_is_named_goes_along(name: str) -> None:
    assert scrubbed(GONE, keys=[name]) == {name: GONE[name]} or not is_secret(name, GONE[name])


def test_the_providers_keys_never_go_along_whatever_they_are_called() -> None:
    assert scrubbed({"PLAIN": "x", "A": "b"}, keys=["PLAIN"], drop=["PLAIN"]) == {"A": "b"}


def test_the_environment_says_where_a_program_is(repo: Git) -> None:
    with cage_of(repo) as cage:
        found = cage.environment({**KEPT, **GONE, MARK: "outer"}, keys=["HF_TOKEN"])
        assert found.items() >= {**KEPT, "HF_TOKEN": "x"}.items()
        assert found[MARK] == f"outer:{SESSION}"
        assert found["PWD"] == str(cage.folder)
        assert Path(found["TMPDIR"]).is_dir()
        done = subprocess.run(
            [*cage.wrap(), sys.executable, "-c", "import tempfile; print(tempfile.gettempdir())"],
            env=found | {"PATH": os.environ["PATH"]},
            cwd=cage.folder,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == found["TMPDIR"]
