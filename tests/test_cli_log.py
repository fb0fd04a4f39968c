"""The options by which log and best choose, sort and show runs."""

from __future__ import annotations

import pytest

from gitexp.experiment import Experiment
from gitexp.records.facts import EndFact, RemarkFact, RunFact, Summary
from tests.full_store import BY, Caller, commit, table, write_facts
from tests.support import Git

OTHERS = "Ada <ada@example.org>"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


def summary(value: float | str) -> Summary:
    if isinstance(value, str):
        return Summary(first=value, last=value, count=1)
    return Summary(value, value, 1, value, value, value, 0, 0)


def store(
    repo: Git,
    day: int,
    name: str,
    metrics: dict[str, float | str],
    *,
    lr: object = None,
    by: str = BY,
) -> str:
    """Store a finished run of a day in January."""
    run_id = commit(repo, name)
    time = f"2026-01-{day:02d}T12:00:00.000000Z"
    parameters = {} if lr is None else {"lr": lr}
    summaries = {path: summary(value) for path, value in metrics.items()}
    write_facts(
        run_id,
        RunFact(time=time, by=by, name=name, parameters=parameters, tags=("all",)),
        EndFact(time=time, by=by, status="finished", duration=1.0, metrics=summaries),
    )
    return run_id


@pytest.fixture
def runs(repo: Git) -> dict[str, str]:
    return {
        "low": store(repo, 1, "low", {"acc": 0.5, "latency": 1.0}, lr=0.1),
        "mid": store(repo, 2, "mid", {"acc": 0.7, "latency": 3.0}, lr=0.2, by=OTHERS),
        "high": store(repo, 3, "high", {"acc": 0.9, "latency": 5.0}, lr="auto"),
        "slow": store(repo, 4, "slow", {"acc": 0.6, "latency": 9.0}),
        "lost": store(repo, 5, "lost", {"acc": "NaN"}, lr=0.3),
    }


def names(call: Caller, *words: str) -> list[str]:
    return [run["name"] for run in call.json("log", *words)["runs"]]


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--where", "lr < 0.25"], ["mid", "low"]),
        (["--where", "lr < 0.25", "--where", "acc > 0.6"], ["mid"]),
        (["--where", "lr is None"], ["slow"]),
        (["--where", "isnan(acc)"], ["lost"]),
        (["--where", "started >= '2026-01-04T00:00Z'"], ["lost", "slow"]),
        (["--author", "^Ada"], ["mid"]),
        (["--author", "example\\.org", "-n", "1"], ["lost"]),
        (["--sort", "acc"], ["low", "slow", "mid", "high", "lost"]),
        (["--sort", "acc desc", "-n", "2"], ["high", "mid"]),
        (["--sort", "latency desc, acc"], ["slow", "high", "mid", "low", "lost"]),
        (["--sort=-lr"], ["high", "lost", "mid", "low", "slow"]),
        (["--where", "acc > 0.5", "--sort", "lr", "-1"], ["mid"]),
    ],
)
def test_runs_are_chosen_and_sorted(call: Caller, words: list[str], expected: list[str]) -> None:
    assert names(call, *words) == expected


def test_columns_may_be_expressions(call: Caller, runs: dict[str, str]) -> None:
    shown = table(call("log", "--columns", "name, acc * 100, latency", "--sort", "name").out)
    assert shown[0] == ["name", "acc * 100", "latency"]
    assert shown[1] == ["high", "90.0", "5.0"]
    assert shown[3] == ["lost", "", ""] or shown[2] == ["lost", "", ""]


@pytest.mark.usefixtures("runs")
def test_json_holds_the_columns_that_were_asked_for(call: Caller) -> None:
    (run,) = call.json("log", "-n", "1", "--columns", "name,acc,lr * 2,started")["runs"]
    assert run["columns"] == {
        "name": "lost",
        "acc": "NaN",
        "lr * 2": 0.6,
        "started": "2026-01-05T12:00:00Z",
    }
    assert run["parameters"] == {"lr": 0.3}


@pytest.mark.usefixtures("runs")
def test_only_changed_leaves_out_what_is_the_same_for_all(call: Caller) -> None:
    header, *_ = table(call("log", "--only-changed", "--where", "name in ['low', 'mid']").out)
    assert header == ["run", "name", "started", "ended", "by", "acc", "latency", "params.lr"]
    asked = ("--columns", "tags,name", "--only-changed")
    assert table(call("log", *asked).out)[0] == ["name"]


@pytest.mark.parametrize("words", [["log", "--where"], ["best", "acc", "--where"]], ids=" ".join)
@pytest.mark.usefixtures("runs")
def test_an_error_in_an_expression_has_a_caret_under_its_place(
    call: Caller, words: list[str]
) -> None:
    said = call(*words, "acc > 0.5 and lrr < 1", code=2).err.splitlines()
    caret = next(i for i, line in enumerate(said) if line.strip() == "^")
    assert said[caret].index("^") == said[caret - 1].index("lrr")
    assert any("params.lr" in line for line in said if line.startswith("hint: "))


def test_replicates_have_the_same_code_parameters_and_command(repo: Git, call: Caller) -> None:
    for seed in (1, 2):
        Experiment("twice", params={"lr": 0.1}, metadata={"seed": seed}).finish()
    Experiment("other parameters", params={"lr": 0.2}).finish()
    repo.write("train.py", "changed\n")
    changed = Experiment("other code", params={"lr": 0.1})
    changed.finish()
    assert names(call, "--tree", "latest~2") == ["twice", "twice"]
    assert names(call, "--tree", "latest") == ["other code"]
    assert names(call, "--commit", "HEAD") == ["other parameters", "twice", "twice"]
    assert names(call, "--commit", changed.run_id) == ["other code"]
    assert names(call, "--commit", "HEAD", "--where", "lr == 0.2") == ["other parameters"]
    assert "no commit" in call("log", "--commit", "nothing", code=1).err


@pytest.mark.usefixtures("runs")
def test_several_metrics_give_the_front_of_best_compromises(call: Caller) -> None:
    said = call("best", "acc", "latency")
    assert [row[1] for row in table(said.out)[1:]] == ["high", "mid", "low"]
    assert "highest best acc" in said.err
    assert "lowest best latency" in said.err
    front = call.json("best", "acc", "latency", "--where", "lr < 1")
    assert [run["values"] for run in front["runs"]] == [
        {"acc": 0.7, "latency": 3.0},
        {"acc": 0.5, "latency": 1.0},
    ]
    assert front["metrics"][1] == {"metric": "latency", "goal": "min", "goal_source": "name"}


@pytest.mark.usefixtures("runs")
def test_best_ranks_what_fits_and_says_what_it_skipped(call: Caller) -> None:
    ranking = call.json("best", "acc", "--top", "2")
    assert [(run["name"], run["value"]) for run in ranking["runs"]] == [("high", 0.9), ("mid", 0.7)]
    assert ranking["skipped"] == 1
    fitting = call.json("best", "acc", "--where", "lr <= 0.2")
    assert [run["name"] for run in fitting["runs"]] == ["mid", "low"]
    assert fitting["skipped"] == 0
    assert "No run that fits" in call("best", "acc", "--where", "lr > 5", code=1).err


def test_a_run_in_progress_takes_its_place(call: Caller, runs: dict[str, str]) -> None:
    with Experiment("now", params={"lr": 0.15}) as experiment:
        experiment.track({"acc": 0.8})
        experiment.track({"acc": 0.65})
        assert names(call, "--sort", "max(acc) desc", "-n", "3") == ["high", "now", "mid"]
        assert names(call, "--where", "0.1 < lr < 0.2") == ["now"]
        best = call.json("best", "acc")["runs"]
        assert [(run["name"], run["value_step"]) for run in best[:2]] == [("high", 0), ("now", 0)]
        write_facts(
            experiment.run_id,
            RemarkFact(time="2026-01-09T00:00:00.000000Z", by=BY, add_tags=("seen",)),
        )
        assert names(call, "--where", "tag == 'seen' and status == 'running'") == ["now"]


@pytest.mark.parametrize(
    "name", ["select", "from", "a.b c", "🔥", 'quo"te', "val/acc", "name", "min"]
)
def test_metrics_of_odd_names_can_be_asked_for(repo: Git, call: Caller, name: str) -> None:
    store(repo, 1, "first", {name: 1.0})
    store(repo, 2, "second", {name: 2.0})
    quoted = f"metrics.`{name}`"
    assert names(call, "--where", f"{quoted} > 1") == ["second"]
    assert names(call, "--sort", f"max({quoted}) desc", "--columns", quoted) == ["second", "first"]
    assert call.json("best", name, "--max")["runs"][0]["value"] == 2.0


def test_two_metrics_of_one_suffix_are_named(repo: Git, call: Caller) -> None:
    store(repo, 1, "first", {"train.acc": 1.0, "val.acc": 0.5})
    for words in (["--where", "acc > 0"], ["--sort", "acc"], ["--columns", "acc"]):
        said = call("log", *words, code=2).err
        assert "train.acc" in said
        assert "val.acc" in said
    assert names(call, "--where", "val.acc == 0.5") == ["first"]


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    "hostile",
    [
        "acc > 0 " + "and acc > 0 " * 100_000,
        "(" * 50_000 + "acc" + ")" * 50_000,
        "not " * 20_000 + "acc",
        "__import__('os').system('true')",
        "name.startswith('a')",
        "eval('1')",
        "acc; DROP TABLE run",
    ],
    ids=["1 MB", "deep", "nots", "import", "method", "eval", "sql"],
)
def test_a_hostile_expression_is_one_clear_error(call: Caller, hostile: str) -> None:
    said = call("log", "--where", hostile, code=2).err
    assert said.startswith("error: ")
    assert len(said) < 2000
    assert len(names(call)) == 5
