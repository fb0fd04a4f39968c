"""The checked-in man page, reference and completion scripts, and that they work in real shells."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gitexp.cli.main import top_level_help
from gitexp.cli.parsers import describe_all
from gitexp.cli.reference import generated_files, write_all
from gitexp.cli.registry import COMMANDS
from gitexp.experiment import Experiment
from tests.programs import install
from tests.support import Git, gitexp

DOCS = Path(__file__).parents[1] / "docs"
FILES = generated_files()
GIT_COMPLETIONS = [
    Path("/usr/share/bash-completion/completions/git"),
    Path("/usr/share/git-core/contrib/completion/git-completion.bash"),
    Path("/opt/homebrew/etc/bash_completion.d/git-completion.bash"),
    Path("/usr/local/etc/bash_completion.d/git-completion.bash"),
]


@pytest.mark.parametrize("name", sorted(FILES))
def test_checked_in_file_is_what_the_commands_say(name: str) -> None:
    path = DOCS / name
    assert path.read_text(encoding="utf-8") == FILES[name], "run: python -m gitexp.cli.reference"


def test_generator_does_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert generated_files() == FILES


def test_generator_writes_all_files(tmp_path: Path) -> None:
    write_all(tmp_path)
    written = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert written == set(FILES)


def test_every_command_and_option_is_in_man_page_and_reference() -> None:
    man, reference = FILES["man/git-exp.1"], FILES["reference/cli.md"]
    for description in describe_all():
        assert f"### {description.command.name}\n" in reference
        assert f".SS {description.command.name}\n" in man
        for option in description.options:
            assert option.heading in reference
    assert man.isascii()


def test_every_argument_has_a_help_text() -> None:
    for description in describe_all():
        assert description.summary.endswith(".")
        for argument in (*description.options, *description.positionals):
            assert argument.help, f"{description.command.name} {argument.heading}"


def test_every_command_answers_h(repo: Git) -> None:
    for command in COMMANDS:
        shown = gitexp(command.name, "-h").stdout
        assert shown.startswith(f"usage: git exp {command.name}")
        assert f"   {command.name:<12}{command.help}" in top_level_help()


def require(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


def test_man_page_is_formatted_without_warnings() -> None:
    require("man")
    done = subprocess.run(
        ["man", "--warnings", "-l", str(DOCS / "man" / "git-exp.1")],
        capture_output=True,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"},
    )
    if b"--warnings" in done.stderr or b"invalid option" in done.stderr:
        pytest.skip("this man has no --warnings")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"git exp checkout" in re.sub(rb"\s+", b" ", re.sub(rb".\x08", b"", done.stdout))


def test_man_page_passes_mandoc() -> None:
    require("mandoc")
    page = str(DOCS / "man" / "git-exp.1")
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stdout.splitlines() if "missing date" not in line]
    assert said == []  # a date would make the page differ from day to day


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_command_prints_the_checked_in_script(shell: str, hermetic: Path) -> None:
    script = (DOCS / "completion" / f"git-exp.{shell}").read_text()
    assert gitexp("completion", shell, cwd=hermetic).stdout == script


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_accepted_by_its_shell(shell: str) -> None:
    program = require(shell)
    script = DOCS / "completion" / f"git-exp.{shell}"
    subprocess.run([program, "-n", str(script)], check=True)


def test_completion_for_an_unknown_shell_is_refused(hermetic: Path) -> None:
    refused = gitexp("completion", "tcsh", cwd=hermetic, check=2)
    assert "tcsh" in refused.stderr


# In real shells


@pytest.fixture
def two_runs(repo: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    install(tmp_path / "bin", monkeypatch)
    ids = []
    for name in ("baseline", "two words"):
        with Experiment(name) as experiment:
            ids.append(experiment.run_id[:12])
    return ids


def split(line: str) -> list[str]:
    """Return the words of a command line as bash does, the last one possibly empty."""
    return [word for word in re.split(r"([:=])|\s", line) if word is not None]


def complete_in_bash(line: str, *, through_git: bool) -> list[str]:
    ours = DOCS / "completion" / "git-exp.bash"
    if through_git:
        git = next((path for path in GIT_COMPLETIONS if path.exists()), None)
        if git is None:
            pytest.skip("git's completion for bash is not installed")
        words = " ".join(f"'{word}'" for word in split(line))
        script = (
            f"source {git}; source '{ours}'; COMP_WORDS=({words}); "
            f"COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE='{line}'; "
            "COMP_POINT=${#COMP_LINE}; __git_wrap__git_main; printf '%s\\n' \"${COMPREPLY[@]}\""
        )
    else:
        words = " ".join(f"'{word}'" for word in line.split(" "))
        script = (
            f"source '{ours}'; words=({words}); cword=$((${{#words[@]}} - 1)); "
            f"cur=${{words[cword]}}; prev=${{words[cword - 1]}}; "
            f"_git_exp; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        )
    done = subprocess.run(
        [require("bash"), "--norc", "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return [word.rstrip() for word in done.stdout.split("\n") if word.strip()]


both_ways = pytest.mark.parametrize("through_git", [True, False], ids=["git", "alone"])


@both_ways
def test_bash_completes_commands(two_runs: list[str], through_git: bool) -> None:
    assert complete_in_bash("git exp checko", through_git=through_git) == ["checkout"]
    everything = complete_in_bash("git exp ", through_git=through_git)
    assert everything == [command.name for command in COMMANDS]


@both_ways
def test_bash_completes_options_and_their_values(two_runs: list[str], through_git: bool) -> None:
    assert complete_in_bash("git exp best acc --si", through_git=through_git) == ["--since"]
    assert complete_in_bash("git exp best acc --by ", through_git=through_git) == [
        "best",
        "last",
        "mean",
    ]
    assert complete_in_bash("git exp completion f", through_git=through_git) == ["fish"]
    assert complete_in_bash("git exp init --shard ", through_git=through_git) == []


@both_ways
def test_bash_completes_runs_by_id_and_plain_name(two_runs: list[str], through_git: bool) -> None:
    offered = complete_in_bash("git exp checkout ", through_git=through_git)
    assert offered == ["latest", two_runs[1], two_runs[0], "baseline"]
    assert complete_in_bash("git exp show base", through_git=through_git) == ["baseline"]
    assert complete_in_bash("git exp run --parent base", through_git=through_git) == ["baseline"]


@both_ways
def test_bash_completes_files_after_dashes(two_runs: list[str], through_git: bool) -> None:
    assert complete_in_bash("git exp checkout latest -- tr", through_git=through_git) == [
        "train.py"
    ]


@both_ways
def test_bash_is_silent_outside_of_a_repository(
    two_runs: list[str], through_git: bool, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(hermetic)
    assert complete_in_bash("git exp show ", through_git=through_git) == ["latest"]


def complete_in_fish(line: str, home: Path) -> list[str]:
    script = f"source '{DOCS / 'completion' / 'git-exp.fish'}'; complete -C '{line}'"
    done = subprocess.run(
        [require("fish"), "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HOME": str(home), "TERM": "dumb"},
    )
    assert done.stderr == ""
    return [word.partition("\t")[0] for word in done.stdout.splitlines()]


@pytest.mark.parametrize("program", ["git exp", "git-exp"])
def test_fish_completes_commands_options_values_and_runs(
    two_runs: list[str], hermetic: Path, program: str
) -> None:
    assert "checkout" in complete_in_fish(f"{program} che", hermetic)
    assert "--since" in complete_in_fish(f"{program} best --si", hermetic)
    assert complete_in_fish(f"{program} best --by l", hermetic) == ["last"]
    offered = complete_in_fish(f"{program} show ", hermetic)
    assert {"latest", "baseline", *two_runs} <= set(offered)
    assert "best" not in complete_in_fish(f"{program} best b", hermetic)


def test_zsh_knows_the_function_and_its_run_list(
    two_runs: list[str], tmp_path: Path, hermetic: Path
) -> None:
    zsh = require("zsh")
    functions = tmp_path / "functions"
    functions.mkdir()
    shutil.copyfile(DOCS / "completion" / "git-exp.zsh", functions / "_git-exp")
    script = (
        f"fpath=({functions} $fpath); autoload -Uz compinit; compinit -u -D; "
        "echo ${_comps[git-exp]}; compdef () {}; source $fpath[1]/_git-exp; "
        'compadd () { shift; print -rl -- "${(@P)1}" }; __git_exp_runs'
    )
    done = subprocess.run([zsh, "-f", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "_git-exp",
        "latest",
        two_runs[1],
        two_runs[0],
        "baseline",
    ]
