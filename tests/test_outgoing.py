"""What a push would send for the first time is searched: everything, and nothing else."""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.environment import encode_environment
from gitexp.errors import GitCommandError, GitexpError
from gitexp.experiment import Experiment
from gitexp.git import refs
from gitexp.git.outgoing import new_objects
from gitexp.git.read import list_refs
from gitexp.git.repository import Repository
from gitexp.outgoing import (
    Finding,
    SecretsFoundError,
    _search_lines,
    allow,
    allowed,
    require_allowed,
    search,
)
from gitexp.records.facts import RunFact
from gitexp.store.batch import Batch, environment_path, file_path, note_path, write_batch
from tests.full_store import BEGIN, BY, SHARD, commit, drop_object, full_environment, write_facts
from tests.support import Git, gitexp, python

LETTERS = string.ascii_letters + string.digits


def token(seed: int = 0) -> str:
    return "ghp_" + "".join(random.Random(seed).choices(LETTERS, k=36))


TOKEN = token()
KEY = "".join(random.Random(1).choices(LETTERS, k=32))
BODY = base64.b64encode(random.Random(2).randbytes(300)).decode()
PEM = "\n".join(
    ["-----BEGIN PRIVATE" + " KEY-----", *(BODY[i : i + 64] for i in range(0, 400, 64)), "-----END"]
)
OURS = (refs.FACTS, refs.METRICS, refs.FILES, refs.CODE, refs.RUNS)


def found(known: Sequence[str] = ()) -> list[Finding]:
    """Search all that plain git would push: our refs."""
    repository = Repository.discover()
    return search(repository, list_refs(repository, *OURS), known)


def found_one(rule: str = "GitHub token") -> Finding:
    (finding,) = found()
    assert finding.rule == rule
    return finding


def fact(**fields: object) -> RunFact:
    return RunFact(time=BEGIN, by=BY, name="a run", **fields)  # type: ignore[arg-type]


def test_a_tracked_file_of_the_snapshot(repo: Git) -> None:
    repo.write("train.py", f"lr = 0.1\ntoken = '{TOKEN}'\n")
    with Experiment("leaky") as experiment:
        experiment.track({"loss": 1.0})
    finding = found_one()
    assert finding[1:] == (
        "GitHub token",
        "code",
        experiment.run_id,
        finding.commit,
        "train.py",
        2,
        "ghp_…",
    )
    assert finding.commit == experiment.run_id
    assert str(finding) == (
        f"run {experiment.run_id[:12]}, train.py:2: GitHub token (ghp_…), "
        f"fingerprint {finding.fingerprint}"
    )
    assert TOKEN[4:8] not in str(finding)


def test_a_commit_of_the_users_that_goes_along_as_a_parent(repo: Git) -> None:
    repo.write("pkg/keys.py", f"KEY = '{TOKEN}'\n")
    repo("add", ".")
    repo("commit", "-qm", "oops")
    head = repo("rev-parse", "HEAD")
    repo.write("pkg/keys.py", "KEY = None\n")
    Experiment("clean").finish()
    finding = found_one()
    assert (finding.run, finding.commit, finding.path) == (None, head, "pkg/keys.py")
    assert finding.place == f"commit {head[:12]}, pkg/keys.py:1"


def test_a_commit_is_named_rather_than_the_runs_that_were_started_on_it(repo: Git) -> None:
    repo.write("train.py", f"token = '{TOKEN}'\n")
    repo("commit", "-qam", "oops")
    for name in ("one", "two"):
        Experiment(name).finish()
    assert (found_one().run, found_one().commit) == (None, repo("rev-parse", "HEAD"))


def test_a_version_that_was_removed_again_in_the_middle_of_the_history(repo: Git) -> None:
    for text in (f"a = 1\nb = '{TOKEN}'\n", "a = 1\n", "a = 2\n"):
        repo.write("train.py", text)
        repo("commit", "-qam", "a step")
    Experiment("clean").finish()
    finding = found_one()
    assert (finding.commit, finding.line) == (repo("rev-parse", "HEAD~2"), 2)


def test_a_commit_message(repo: Git) -> None:
    repo("commit", "-q", "--allow-empty", "-m", f"subject\n\nwith {TOKEN}")
    Experiment("clean").finish()
    finding = found_one()
    assert finding.place == f"commit {repo('rev-parse', 'HEAD')[:12]}, message, line 3"


def test_the_log_of_a_run(repo: Git) -> None:
    gitexp("run", "--", "sh", "-c", f"echo begin; echo got {TOKEN[:10]}; echo {TOKEN}")
    places = {(finding.part, finding.path) for finding in found()}
    assert places == {("files", "run.log"), ("facts", "")}  # the command line says it, too
    (run,) = {finding.run for finding in found()}
    assert run
    assert refs.run_ref(run) in list_refs(Repository.discover(), refs.RUNS)


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"parameters": {"hub": {"token_name": TOKEN}}}, "GitHub token"),
        ({"parameters": {"api_key": KEY}}, "access key"),
        ({"metadata": {"note": f"use {TOKEN}"}}, "GitHub token"),
        ({"metadata": [{"pem": PEM}]}, "private key"),
        ({"metadata": {"nested": json.dumps({"pem": PEM})}}, "private key"),
        ({"metadata": {"dotenv": f'A="1"\napi_key="{KEY}"\n'}}, "access key"),
        ({"metadata": f"first line\n{TOKEN}"}, "GitHub token"),
        ({"command": ("train.py", "--api-key", KEY)}, "access key"),
        ({"command": ("--password", "s3cr4tpw9!", "-v")}, "password"),
        ({"command": ("train.py", f"--hub-token={KEY}")}, "access token"),
        ({"command": ("sh", "-c", f"echo 'x\\'\nMY_TOKEN={KEY} ./train")}, "access token"),
        ({"description": f"pushed with {TOKEN}."}, "GitHub token"),
        ({"hypothesis": f"tökens: {TOKEN}"}, "GitHub token"),
        ({"tags": (TOKEN,)}, "GitHub token"),
    ],
)
def test_what_is_said_of_a_run(repo: Git, fields: dict[str, object], rule: str) -> None:
    run_id = commit(repo, "one")
    write_facts(run_id, fact(), fact(**fields))
    finding = found_one(rule)
    assert (finding.part, finding.run, finding.path, finding.line) == ("facts", run_id, "", 2)
    assert finding.place == f"run {run_id[:12]}, facts, line 2"


def test_a_command_line_written_with_blanks_between_the_words(repo: Git) -> None:
    line = json.dumps({"kind": "run", "command": ["train.py", "--api-key", KEY]}).encode()
    write_facts(commit(repo, "one"), line)
    assert found_one("access key").hint == KEY[:4] + "…"


def test_a_line_by_a_writer_that_escapes_slashes(repo: Git) -> None:
    random_part = "".join(random.Random(3).choices(LETTERS, k=24))
    url = f"https://hooks.slack.com/services/T{'A1B2C3D4'}/B{'E5F6G7H8'}/{random_part}"
    line = json.dumps({"kind": "run", "metadata": url}).replace("/", "\\/").encode()
    write_facts(commit(repo, "one"), line)
    assert found_one("Slack webhook").line == 1


def test_a_remark_is_searched_in_a_note_that_has_left_before(repo: Git) -> None:
    run_id = commit(repo, "one")
    write_facts(run_id, fact(metadata=token(7)))
    known = repo("rev-parse", refs.FACTS + SHARD)
    write_facts(run_id, fact(metadata=token(8)))
    assert [finding.line for finding in found([known])] == [1, 2]  # the blob is a new one
    assert found([f"--glob={refs.FACTS}*"]) == []


def test_an_environment_record(repo: Git) -> None:
    _, record = encode_environment(full_environment(f"1.0+{TOKEN}"))
    path = environment_path("0" * 32)
    write_batch(Repository.discover(), SHARD, Batch(files={path: record}))
    finding = found_one()
    assert (finding.part, finding.run, finding.path) == ("files", None, path)


def test_a_file_that_was_kept_with_a_run(repo: Git) -> None:
    run_id = commit(repo, "one")
    content = b"\0\xff" * 1000 + TOKEN.encode()
    batch = Batch(files={file_path(run_id, "submodules/lib.patch"): content})
    write_batch(Repository.discover(), SHARD, batch)
    finding = found_one()
    assert (finding.run, finding.path) == (run_id, "submodules/lib.patch")


def test_the_text_of_a_metric_note(repo: Git) -> None:
    with Experiment("noted") as experiment:
        experiment.track({"loss": 1.0}, note=f"a line\n{TOKEN}")
    finding = found_one()
    assert (finding.part, finding.run) == ("metrics", experiment.run_id)


def test_a_path_that_is_not_utf8_is_shown_escaped(repo: Git) -> None:
    run_id = commit(repo, "one")
    blob = repo.raw("hash-object", "-w", "--stdin", stdin=TOKEN.encode()).decode().strip()
    tree = repo.raw("mktree", stdin=b"100644 blob %b\tcaf\xe9\r.txt\n" % blob.encode())
    made = repo("commit-tree", tree.decode().strip(), "-p", run_id, "-m", "odd")
    repo("update-ref", refs.RUNS + made, made)
    assert found_one().path == "caf\\xe9\r.txt"


@given(st.lists(st.sampled_from([TOKEN, PEM, "\\u", "\\n", '","', '"-', "\n", "é"])))
def test_any_note_is_searched(pieces: list[str]) -> None:
    once = json.dumps(pieces)
    for text in ("".join(pieces), once, json.dumps(once)):
        lines = [credential.line for credential in _search_lines(text.encode())]
        assert all(1 <= line <= 1 + text.count("\n") for line in lines)
        assert lines or text not in {once, json.dumps(once)} or not {TOKEN, PEM} & set(pieces)


def test_each_note_of_a_secret_is_told_once(repo: Git) -> None:
    first, second = commit(repo, "one"), commit(repo, "two")
    write_facts(first, fact(metadata=TOKEN), fact(metadata=[TOKEN, TOKEN]))
    write_facts(second, fact(description=TOKEN))
    assert {finding.run for finding in found()} == {first, second}
    assert len(found()) == 2
    assert len({finding.fingerprint for finding in found()}) == 1


def test_what_the_remote_is_known_to_have_is_not_searched(repo: Git) -> None:
    repo.write("train.py", f"token = '{TOKEN}'\n")
    repo("commit", "-qam", "left long ago")
    repo("update-ref", "refs/remotes/origin/main", "HEAD")
    Experiment("clean").finish()
    head = repo("rev-parse", "HEAD")
    assert found_one().commit == head
    assert found([head]) == []
    assert found(["--glob=refs/remotes/origin"]) == []
    assert len(found(["0" * 39 + "1"])) == 1  # a commit of the remote that is not here


def test_only_the_given_tips_are_searched(repo: Git) -> None:
    repo.write("other.py", f"token = '{TOKEN}'\n")
    repo("checkout", "-q", "-b", "other")
    repo("add", ".")
    repo("commit", "-qm", "on another branch")
    repo("checkout", "-q", "main")
    Experiment("clean").finish()
    assert found() == []


def test_a_replaced_object_is_searched_as_it_is_sent(repo: Git) -> None:
    repo.write("train.py", f"token = '{TOKEN}'\n")
    repo("commit", "-qam", "oops")
    leaky, clean = repo("rev-parse", "HEAD:train.py"), repo("rev-parse", "HEAD~1:train.py")
    repo("replace", leaky, clean)
    tips = {refs.CODE + "x": repo("rev-parse", "HEAD")}
    assert [finding.path for finding in search(Repository.discover(), tips, [])] == ["train.py"]
    repo("replace", "-d", leaky)
    repo("replace", "HEAD", "HEAD~1")
    assert [finding.path for finding in search(Repository.discover(), tips, [])] == ["train.py"]


def test_progress_is_told(repo: Git) -> None:
    told: list[tuple[int, int]] = []
    tips = {refs.CODE + "x": repo("rev-parse", "HEAD")}
    assert search(Repository.discover(), tips, [], lambda *at: told.append(at)) == []
    assert told == [(n, 7) for n in range(1, 8)]  # two commits, five files


def test_new_objects_are_commits_with_the_blobs_that_they_brought(repo: Git) -> None:
    repository, head = Repository.discover(), repo("rev-parse", "HEAD")
    listed = new_objects(repository, [head], [repo("rev-parse", "HEAD~1")])
    assert [(item.commit, item.path) for item in listed] == [
        (head, None),
        (head, b".gitignore"),
        (head, b"pkg/data.py"),
    ]
    assert new_objects(repository, [head], [head]) == []


def test_an_object_that_is_missing_stops_the_search(repo: Git) -> None:
    drop_object(repo, repo("rev-parse", "HEAD:train.py"))
    with pytest.raises(GitCommandError):
        search(Repository.discover(), {refs.CODE + "x": repo("rev-parse", "HEAD")}, [])


# Allowing


@pytest.fixture
def leak(repo: Git) -> Callable[[], list[Finding]]:
    """A repository with two secrets; call it to search."""
    write_facts(commit(repo, "one"), fact(metadata=[TOKEN, token(5)]))
    return found


def test_what_was_found_is_refused(leak: Callable[[], list[Finding]]) -> None:
    findings = leak()
    with pytest.raises(SecretsFoundError) as refused:
        require_allowed(Repository.discover(), findings)
    assert refused.value.findings == findings
    assert refused.value.message == "2 secrets would leave with this push; nothing was sent."
    assert f"--allow {findings[0].fingerprint}" in (refused.value.hint or "")
    assert refused.value.exit_code == 1
    assert TOKEN[:5] not in f"{refused.value}{refused.value.hint}{findings}"


def test_an_allowed_secret_stays_allowed_in_later_versions(
    repo: Git, leak: Callable[[], list[Finding]]
) -> None:
    repository = Repository.discover()
    first, second = leak()
    (entry,) = allow(repository, [first])
    assert (entry.fingerprint, entry.rule, entry.place) == (
        first.fingerprint,
        first.rule,
        first.place,
    )
    assert entry.by == "Ada Lovelace <ada@example.org>"
    assert allow(repository, [first]) == []
    with pytest.raises(SecretsFoundError) as refused:
        require_allowed(repository, leak())
    assert refused.value.findings == [second]
    assert refused.value.message.startswith("1 secret would leave")
    allow(repository, [second, second])
    repo.write("train.py", f"# moved here\ntoken = '{TOKEN}'\n")
    Experiment("again").finish()
    assert len(leak()) == 3
    require_allowed(repository, leak())
    assert len(allowed_path().read_bytes().splitlines()) == 2


def allowed_path() -> Path:
    return Repository.discover().home / "allowed.jsonl"


def test_damage_in_the_record_of_what_is_allowed_is_survived(
    leak: Callable[[], list[Finding]],
) -> None:
    repository = Repository.discover()
    first, second = leak()
    allow(repository, [first])
    whole = allowed_path().read_bytes()
    junk = b'\xff\0\n[]\n{}\n{"fingerprint":1}\n' + b"[" * 5000 + b"\n\n"
    allowed_path().write_bytes(junk + whole + whole[:40])
    assert list(allowed(repository)) == [first.fingerprint]
    allow(repository, [second])
    assert list(allowed(repository)) == [first.fingerprint, second.fingerprint]
    assert allowed_path().read_bytes().startswith(junk + whole + whole[:40] + b"\n")


def test_nothing_is_allowed_at_first(repo: Git) -> None:
    assert allowed(Repository.discover()) == {}
    assert allow(Repository.discover(), []) == []
    assert not allowed_path().exists()


def test_a_record_that_cannot_be_written_is_said(leak: Callable[[], list[Finding]]) -> None:
    allowed_path().mkdir(parents=True)
    with pytest.raises(GitexpError):
        allow(Repository.discover(), leak())


# What never gets that far


def test_values_of_environment_variables_are_nowhere_in_what_a_run_stores(
    repo: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write("job.py", "print('done')\n")
    code = (
        "from gitexp.experiment import Experiment\n"
        "with Experiment('quiet') as e: e.track({'loss': 1.0})\n"
    )
    for name in ("SOME_TOKEN", "WANDB_API_KEY", "DEBUG", "GITEXP_EXTRA"):
        monkeypatch.setenv(name, f"hush-{name}")
    python(code)
    gitexp("run", "--", "python3", "job.py")
    repository = Repository.discover()
    tips = list_refs(repository, *OURS)
    listed = new_objects(repository, list(tips.values()), [])
    paths = {item.path for item in listed}
    assert {b"run.log", b"environments"} <= {
        part for path in paths if path for part in path.split(b"/")
    }
    runs = [name.removeprefix(refs.RUNS) for name in tips if name.startswith(refs.RUNS)]
    assert {note_path(run).encode() for run in runs} <= paths
    stored = b"".join(repo.raw("cat-file", "-p", item.oid) for item in listed)
    assert b"job.py" in stored
    assert b"hush" not in stored
    assert b"SOME_TOKEN" not in stored
