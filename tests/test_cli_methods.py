"""``git exp methods``: list, show, add, edit, rm and used."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from gitexp.git.repository import Repository
from gitexp.library.library import Library
from gitexp.methods.cards import TEMPLATE
from gitexp.records.library import Method
from tests.full_store import HOSTILE, Caller, is_harmless, table
from tests.methods_runs import CAPPED, GATED, PLAIN, commit, look_up, propose, record
from tests.support import Git


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


@pytest.fixture
def runs(repo: Git) -> list[str]:
    """A base, a gated run that is better, and a capped one that cites a method and is worse."""
    repo("config", "exprag.metric", "loss")
    base = record(repo, "base", PLAIN, loss=1.0)
    commit(repo)
    gated = record(repo, "gated", GATED, loss=0.75)
    commit(repo)
    proposal = propose("muon", hypothesis="faster")
    known = {"metadata": {"proposal": proposal.id}}
    return [base, gated, record(repo, "capped", GATED + CAPPED, loss=1.5, **known)]


def test_list_shows_the_pack_by_family(repo: Git, call: Caller) -> None:
    rows = table(call("methods", "list").out)
    assert rows[0] == ["family", "method", "name", "own"]
    assert ["activation", "swiglu", "SwiGLU", ""] in rows
    families = [row[0] for row in rows[1:]]
    assert families == sorted(families)


def test_list_of_a_family_and_of_own_methods(repo: Git, call: Caller) -> None:
    found = call.json("methods", "list", "--family", "activation")["methods"]
    assert {method["slug"] for method in found} == {"swiglu", "geglu", "relu-squared"}
    assert call.json("methods", "list", "--own") == {"methods": []}
    assert "methods add" in call("methods", "list", "--own").out


def test_show_tells_the_card_and_that_nothing_came_of_it(repo: Git, call: Caller) -> None:
    out = call("methods", "show", "SwiGLU").out
    assert "https://arxiv.org/abs/2002.05202" in out
    assert "GLU Variants Improve Transformer" in out
    assert "silu and gate_proj" in out
    assert "No run is credited to it yet." in out


def test_show_tells_what_came_of_it(repo: Git, runs: list[str], call: Caller) -> None:
    out = call("methods", "show", "swiglu").out
    assert "its code adds gate_proj, silu" in out
    assert f"run {runs[1][:12]}: finished, 0.75, 0.25 better than its base" in out


def test_show_as_json_is_a_card_with_chains(repo: Git, runs: list[str], call: Caller) -> None:
    data = call.json("methods", "show", "muon")
    assert data["method"]["slug"] == "muon"
    assert data["own"] is False
    assert data["sources"][1]["url"] == "https://arxiv.org/abs/2502.16982"
    assert (data["metric"], data["goal"], data["runs"]) == ("loss", "min", 1)
    (chain,) = data["chains"]
    assert chain["run"] == runs[2]
    assert chain["proposal"]["hypothesis"] == "faster"
    assert chain["outcome"]["gain"] == pytest.approx(-0.75)


def test_show_of_an_unknown_method_says_where_to_look(repo: Git, call: Caller) -> None:
    called = call("methods", "show", "nothing", code=1)
    assert "git exp methods list" in called.err


def test_used_lists_runs_with_why_and_what_came_out(
    repo: Git, runs: list[str], call: Caller
) -> None:
    rows = table(call("methods", "used").out)
    assert rows[0][:6] == ["run", "name", "method", "credited", "value", "gain"]
    by_method = {row[2]: row for row in rows[1:]}
    assert by_method["swiglu"][:2] == [runs[1][:12], "gated"]
    assert by_method["swiglu"][3:6] == ["its code adds gate_proj, silu", "0.75", "0.25"]
    assert by_method["logit-softcap"][4:6] == ["1.5", "-0.75"]
    assert by_method["muon"][3].startswith("cited by proposal ")


def test_used_of_one_method_as_json(repo: Git, runs: list[str], call: Caller) -> None:
    data = call.json("methods", "used", "SwiGLU")
    assert (data["metric"], data["goal"]) == ("loss", "min")
    (use,) = data["runs"]
    assert use["run"] == runs[1]
    assert use["how"] == "signature"
    assert use["words"] == ["gate_proj", "silu"]
    assert use["outcome"]["value"] == 0.75
    assert use["outcome"]["verdict"] is None


def test_used_shows_verdicts(repo: Git, runs: list[str], call: Caller) -> None:
    call("verdict", runs[1], "keep")
    (use,) = call.json("methods", "used", "swiglu")["runs"]
    assert use["outcome"]["verdict"] == "keep"


def test_used_of_nothing_says_how_runs_are_credited(repo: Git, call: Caller) -> None:
    assert "--cites" in call("methods", "used", "lion").out
    assert call.json("methods", "used") == {"metric": None, "goal": None, "runs": []}


def test_template_can_be_added(repo: Git, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    template = call("methods", "add", "--template").out
    assert template == TEMPLATE
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(template.encode())))
    assert "added: my-method" in call("methods", "add", "-").out
    assert call.json("methods", "list", "--own")["methods"][0]["slug"] == "my-method"


def test_card_in_a_file_can_be_added(repo: Git, call: Caller) -> None:
    repo.write("card.toml", 'slug = "a-b"\nname = "A"\nfamily = "x"\nsummary = "s"\n')
    data = call.json("methods", "add", "card.toml")
    assert data["written"] is True
    assert data["method"]["slug"] == "a-b"


def test_method_can_be_added_by_options(repo: Git, call: Caller) -> None:
    call(
        "methods",
        "add",
        *("--name", "My Trick", "--family", "loss", "--summary", "It helps."),
        *("--alias", "trick", "--signature", "My_Trick use_it", "--signature", "trickle"),
        *("--risk", "Slow.", "--reference", "2002.05202", "--supersedes", "z-loss"),
    )
    shown = call.json("methods", "show", "trick")
    card = shown["method"]
    assert card["slug"] == "my-trick"
    assert card["signature"] == [["my_trick", "use_it"], ["trickle"]]
    assert card["references"][0]["paper"] == "arxiv-2002.05202"
    assert shown["own"] is True
    assert shown["by"] == "Ada Lovelace <ada@example.org>"


def test_added_method_is_recognised_in_runs_that_were_there(
    repo: Git, runs: list[str], call: Caller
) -> None:
    options = ("--name", "Cap", "--family", "loss", "--summary", "s", "--signature", "softcap tanh")
    call("methods", "add", *options)
    (use,) = call.json("methods", "used", "cap")["runs"]
    assert use["run"] == runs[2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Say what method to add"),
        (("card.json", "--name", "x"), "Say what method to add"),
        (("--name", "SwiGLU", "--family", "x", "--summary", "s"), "already"),
        (
            ("--name", "Mine", "--alias", "muon", "--family", "x", "--summary", "s"),
            "is a name of the method 'muon'",
        ),
        (("--name", "Mine", "--family", "x"), "says no summary"),
        (("--name", "Mine", "--reference", "a book"), "names no paper"),
        (("nowhere.json",), "nowhere.json"),
    ],
)
def test_what_cannot_be_added_is_refused(
    repo: Git, call: Caller, arguments: tuple[str, ...], said: str
) -> None:
    code = 2 if said in ("Say what method to add", "names no paper") else 1
    assert said in call("methods", "add", *arguments, code=code).err
    assert call.json("methods", "list", "--own") == {"methods": []}


def test_edit_by_setting_fields_makes_a_method_one_of_your_own(repo: Git, call: Caller) -> None:
    call("methods", "edit", "swiglu", "--set", "scope=Here.", "--set", "aliases=gated silu")
    shown = call.json("methods", "show", "swiglu")
    card = shown["method"]
    assert (card["scope"], card["aliases"], shown["own"]) == ("Here.", ["gated silu"], True)
    rows = table(call("methods", "list", "--family", "activation").out)
    assert ["activation", "swiglu", "SwiGLU", "yes"] in rows


def test_edit_with_a_card_and_edit_that_changes_nothing(repo: Git, call: Caller) -> None:
    card = call.json("methods", "edit", "muon", "--set", "family=optimizer")
    assert card["written"] is False
    repo.write("card.json", json.dumps(card["method"] | {"summary": "Other words."}))
    assert "changed: muon" in call("methods", "edit", "muon", "--file", "card.json").out
    assert call.json("methods", "show", "muon")["method"]["summary"] == "Other words."
    out = call("methods", "edit", "muon", "--file", "card.json").out
    assert out == "Nothing was changed.\n"


def test_edit_cannot_change_the_slug_or_take_a_name(repo: Git, call: Caller) -> None:
    assert "slug" in call("methods", "edit", "muon", "--set", "slug=other", code=1).err
    assert "'lion'" in call("methods", "edit", "muon", "--set", "aliases=Lion", code=1).err


def test_edit_without_a_terminal_says_what_to_give(
    repo: Git, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    called = call("methods", "edit", "muon", code=1)
    assert "--set FIELD=VALUE" in called.err


def edit_on_terminal(repo: Git, editor: str) -> tuple[int, str]:
    """Run ``methods edit muon`` on a terminal of its own; return exit code and what it printed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gitexp.cli.main", "methods", "edit", "muon"],
        cwd=repo.path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "GIT_EDITOR": editor, "TERM": "xterm"},
    )
    os.close(theirs)
    printed = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # Linux says so that the other side is closed
            break
        if not piece:
            break
        printed += piece
    os.close(ours)
    return process.wait(), printed.decode()


def test_edit_on_a_terminal_opens_gits_editor(repo: Git, call: Caller) -> None:
    code, printed = edit_on_terminal(repo, 'sed -i.bak -e \'s/"optimizer"/"loss"/\'')
    assert code == 0, printed
    assert "changed: muon" in printed
    assert call.json("methods", "show", "muon")["method"]["family"] == "loss"
    assert not (repo.path / ".git" / "EXPRAG_METHOD.json").exists()


def test_card_that_cannot_be_read_after_editing_is_kept(repo: Git, call: Caller) -> None:
    code, printed = edit_on_terminal(repo, "sed -i.bak -e '1s/{/[/'")
    assert code == 1
    kept = repo.path / ".git" / "EXPRAG_METHOD.json"
    assert kept.read_text().startswith("[")
    assert "--file" in printed
    assert call.json("methods", "list", "--own") == {"methods": []}


def test_editor_that_fails_changes_nothing(repo: Git, call: Caller) -> None:
    code, printed = edit_on_terminal(repo, "false")
    assert code == 1
    assert "The editor exited with 1" in printed
    assert call.json("methods", "list", "--own") == {"methods": []}


def test_withdrawn_method_is_gone_and_comes_back_when_added(
    repo: Git, call: Caller, tmp_path: Path
) -> None:
    card = call.json("methods", "edit", "lion", "--set", "family=optimizer")["method"]
    assert "withdrawn: lion" in call("methods", "rm", "Lion", "--reason", "not here").out
    call("methods", "show", "lion", code=1)
    path = tmp_path / "lion.json"
    path.write_text(json.dumps(card))
    call("methods", "add", str(path))
    assert call.json("methods", "show", "lion")["own"] is True


def test_search_and_next_are_there(repo: Git, call: Caller) -> None:
    found = call.json("methods", "search", "gated", "activation", "--no-record")
    assert "swiglu" in json.dumps(found)
    assert call("methods", "next", "--no-record").out


def test_words_of_others_stand_in_quotes_and_do_no_harm(repo: Git, call: Caller) -> None:
    library = Library(Repository.discover())
    time, _ = library.stamp()
    fields = {"name": HOSTILE, "family": HOSTILE, "summary": HOSTILE, "apply": HOSTILE}
    lists = {"aliases": (HOSTILE,), "risks": (HOSTILE,), "signature": ((HOSTILE,),)}
    library.add(
        [Method(time=time, by=HOSTILE, slug="bad", scope=HOSTILE, **fields, **lists)]  # type: ignore[arg-type]
    )
    run = record(repo, HOSTILE, metadata={"cites": ["bad"]})
    look_up(HOSTILE, ["bad"], run=run)
    for arguments in (("list",), ("show", "bad"), ("used",), ("used", "bad")):
        called = call("methods", *arguments)
        assert is_harmless(called.out), arguments
        assert is_harmless(call("methods", *arguments, "--json").out), arguments
    assert '"\\e[31mred' in call("methods", "show", "bad").out


def test_outside_a_repository_it_says_so(
    call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call("methods", "list", code=10)
