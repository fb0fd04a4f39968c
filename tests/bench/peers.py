"""The runs of `tests.bench.corpus` in MLflow and in exprag, and the same questions to both.

Each question gives names of runs, best or latest first, and `expected` says which they must be:
a peer that answers something else is not measured but refused.

**MLflow** keeps them in SQLite, its own default. Its client needs about 15 ms for a run, half an
hour for 100,000, so the rows are inserted through MLflow's own tables in bulk; `check_mlflow` logs
some runs through the public client too and compares what `search_runs` says of both. It is given
what favours it: of each metric only the best value, so that the value it ranks by (the last one
logged) is the one that is asked for, and no histories, which would make its file many times larger;
and SQLite's statistics (``ANALYZE``), which MLflow never asks for. Without them SQLite 3.40 joins
runs and metrics by going through all pairs: 3 s instead of 0.03 s at 10,000 runs. Its
parameters are texts, and its filters on them know ``=``, ``!=`` and ``LIKE`` but no order. So
``dropout < 0.3`` is asked as "neither 0.3 nor 0.5", which needs to know all values there are; and
``lr < 2e-5`` is asked as users do: filter by the other parameter, get the runs page by page in the
order wanted, and compare in Python until there are enough.

**exprag** keeps one file of lines for each run. It has helpers that load all of them into memory,
and select a path among the records; conditions and order are left to the caller. It is given one
tracked line for each run. Questions are measured with the records in memory, which cannot see a new
run; `load_exprag` is what seeing one takes.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import json
import os
import sqlite3
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from gitexp.records.times import format_time, parse_time
from tests.bench.common import Action, experiment_of, make_repository, medians
from tests.bench.corpus import SampledRun, sample_runs

Question = Callable[[], list[str]]
"""Asks something and returns names of runs, the first of them first."""

TOP, ROWS = 10, 20
"""Rows of the ranking, and of every other answer."""

BEHIND_LOSS = 2
"""The question ``behind`` is for runs whose loss has never been below."""

_CHUNK = 2000  # runs inserted at once
_PAGE = 1000  # the default of `search_runs`
DATABASE = "mlflow.db"
_EXPERIMENT = "bench"
_MLFLOW_STATUS = {"finished": "FINISHED", "interrupted": "KILLED"}  # the others are FAILED
_LOWER = frozenset({"loss", "val_loss"})


def expected(runs: int, seed: int = 0) -> dict[str, list[str]]:
    """Return the right answer to each question, out of the values themselves."""
    rows = [_row(sample) for sample in sample_runs(runs, seed)]
    behind = (row for row in rows if row[3] > BEHIND_LOSS)
    broad = (row for row in rows if row[2]["dropout"] < 0.3)
    narrow = (row for row in rows if row[2]["optimizer"] == "shampoo")
    pair = (row for row in rows if row[2]["optimizer"] == "muon" and row[2]["lr"] < 2e-5)
    return {
        "best": _best(rows, TOP),
        "last": [name for _, name, *_ in rows[: -ROWS - 1 : -1]],
        "broad": _best(broad, ROWS),
        "narrow": _best(narrow, ROWS),
        "pair": _best(pair, ROWS),
        "behind": _best(behind, ROWS),
    }


def _row(sample: SampledRun) -> tuple[float, str, dict[str, Any], float]:
    """Return the best acc, the name, the parameters and the best loss of a run."""
    best = best_values(sample)
    return best["acc"][0], sample.run.name, sample.run.parameters, best["loss"][0]


def _best(rows: Iterable[tuple[Any, ...]], count: int) -> list[str]:
    return [name for _, name, *_ in heapq.nlargest(count, rows, key=lambda row: row[0])]


def best_values(sample: SampledRun) -> dict[str, tuple[float, int]]:
    """Return the best value of each metric and its step."""
    found = {}
    for name, summary in sample.end.metrics.items():
        lower = name in _LOWER
        value = summary.min if lower else summary.max
        step = summary.step_of_min if lower else summary.step_of_max
        if value is not None and step is not None:
            found[name] = (float(value), step)
    return found


def timed(question: Callable[[], object]) -> Action:
    """Return the question as something to measure."""

    def action() -> float:
        begin = time.perf_counter()
        question()
        return time.perf_counter() - begin

    return action


def ask(questions: Mapping[str, Question], samples: int) -> dict[str, float]:
    """Return the median seconds that each question takes, asked in turns in this process."""
    return medians({name: timed(question) for name, question in questions.items()}, samples)


def check(questions: Mapping[str, Question], right: Mapping[str, list[str]]) -> None:
    """Ask each question once.

    Raises:
        RuntimeError: An answer is wrong, so its time would mean nothing.
    """
    for name, question in questions.items():
        if (answer := question()) != right[name]:
            raise RuntimeError(f"{name}: {answer} is not {right[name]}")


def cold_best(mlflow: Path, exprag: Path) -> dict[str, tuple[Sequence[str], Path]]:
    """Return the processes that print the best runs, for `median_costs`."""
    return {
        "mlflow": ([sys.executable, "-c", _MLFLOW_BEST], mlflow),
        "exprag": ([sys.executable, "-c", _EXPRAG_BEST], exprag),
    }


# --- MLflow ------------------------------------------------------------------------------------

_MLFLOW_BEST = f"""\
from mlflow import MlflowClient

client = MlflowClient("sqlite:///{DATABASE}")
found = client.get_experiment_by_name("{_EXPERIMENT}")
order = ["metrics.acc DESC"]
for run in client.search_runs([found.experiment_id], order_by=order, max_results={TOP}):
    print(run.info.run_id, run.data.metrics["acc"])
"""


def _mlflow_client(folder: Path) -> Any:
    """Return MLflow's client for the database in a folder, quiet and without telemetry."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{folder / DATABASE}")


def fill_mlflow(folder: Path, runs: int, *, seed: int = 0, statistics: bool = True) -> None:
    """Make the database in a new folder and insert all runs into its tables.

    Args:
        statistics: Have SQLite gather its statistics at the end, as MLflow itself does not.
    """
    folder.mkdir(parents=True)
    client = _mlflow_client(folder)
    experiment = client.create_experiment(_EXPERIMENT, str(folder / "artifacts"))
    _insert(folder, client.get_experiment(experiment), sample_runs(runs, seed))
    if statistics:
        with contextlib.closing(sqlite3.connect(folder / DATABASE)) as database:
            database.execute("ANALYZE")
            database.commit()


def _insert(folder: Path, experiment: Any, samples: Iterator[SampledRun]) -> None:
    """Insert runs as the client would have left them."""
    from mlflow.store.tracking.dbmodels import models
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(f"sqlite:///{folder / DATABASE}", experiment.artifact_location)
    while chunk := list(islice(samples, _CHUNK)):
        metrics = [row for sample in chunk for row in _metric_rows(sample)]
        tables = {
            models.SqlRun: [_run_row(sample, experiment) for sample in chunk],
            models.SqlTag: [row for sample in chunk for row in _pairs(sample, _tags(sample))],
            models.SqlParam: [row for sample in chunk for row in _pairs(sample, _params(sample))],
            models.SqlMetric: metrics,
            models.SqlLatestMetric: metrics,
        }
        with store.engine.begin() as connection:
            for model, rows in tables.items():
                connection.execute(model.__table__.insert(), rows)


def _run_id(sample: SampledRun) -> str:
    """Return an id as random as a real one, and always the same for the same run."""
    return hashlib.sha256(f"{sample.number} {sample.run.time}".encode()).hexdigest()[:32]


def _milliseconds(text: str) -> int:
    return int(parse_time(text).timestamp() * 1000)


def _run_row(sample: SampledRun, experiment: Any) -> dict[str, Any]:
    run_id = _run_id(sample)
    return {
        "run_uuid": run_id,
        "name": sample.run.name,
        "source_type": "UNKNOWN",
        "source_name": "",
        "entry_point_name": "",
        "user_id": sample.run.by,
        "status": _MLFLOW_STATUS.get(sample.end.status, "FAILED"),
        "start_time": _milliseconds(sample.run.time),
        "end_time": _milliseconds(sample.end.time),
        "source_version": "",
        "lifecycle_stage": "active",
        "artifact_uri": f"{experiment.artifact_location}/{run_id}/artifacts",
        "experiment_id": int(experiment.experiment_id),
    }


def _pairs(sample: SampledRun, values: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    run_id = _run_id(sample)
    return ({"key": key, "value": value, "run_uuid": run_id} for key, value in values.items())


def _metric_rows(sample: SampledRun) -> Iterator[dict[str, Any]]:
    run_id, moment = _run_id(sample), _milliseconds(sample.end.time)
    for name, (value, step) in best_values(sample).items():
        yield {
            "key": name,
            "value": value,
            "timestamp": moment,
            "step": step,
            "is_nan": False,
            "run_uuid": run_id,
        }


def _params(sample: SampledRun) -> dict[str, str]:
    return {key: str(value) for key, value in sample.run.parameters.items()}


def _tags(sample: SampledRun) -> dict[str, str]:
    """Return what MLflow's tags hold of a run: those it sets itself, then the user's."""
    tags = {
        "mlflow.runName": sample.run.name,
        "mlflow.user": sample.run.by,
        "mlflow.source.name": "train.py",
        "mlflow.source.type": "LOCAL",
        "host": str(sample.run.host),
        **dict.fromkeys(sample.run.tags, "true"),
    }
    note = sample.run.description
    return tags if note is None else {**tags, "mlflow.note.content": note}


def mlflow_questions(folder: Path) -> dict[str, Question]:
    """Return all questions to a database that is open."""
    client = _mlflow_client(folder)
    place = client.get_experiment_by_name(_EXPERIMENT).experiment_id
    by_acc, neither = "metrics.acc DESC", "params.dropout != '0.3' and params.dropout != '0.5'"

    def find(where: str, order: str, count: int, page: str | None = None) -> Any:
        return client.search_runs(
            [place], where, order_by=[order], max_results=count, page_token=page
        )

    def names(where: str, order: str, count: int) -> list[str]:
        return [run.info.run_name for run in find(where, order, count)]

    def pages(where: str, order: str) -> Iterator[Any]:
        page = find(where, order, _PAGE)
        yield from page
        while page.token:
            page = find(where, order, _PAGE, page.token)
            yield from page

    def pair() -> list[str]:
        muon = pages("params.optimizer = 'muon'", by_acc)
        matching = (run.info.run_name for run in muon if float(run.data.params["lr"]) < 2e-5)
        return list(islice(matching, ROWS))

    return {
        "best": lambda: names("", by_acc, TOP),
        "last": lambda: names("", "attributes.start_time DESC", ROWS),
        "broad": lambda: names(neither, by_acc, ROWS),
        "narrow": lambda: names("params.optimizer = 'shampoo'", by_acc, ROWS),
        "pair": pair,
        "behind": lambda: names(f"metrics.loss > {BEHIND_LOSS}", by_acc, ROWS),
    }


def fill_mlflow_history(
    folder: Path, sample: SampledRun, metric: str, points: Iterable[tuple[int, float]]
) -> Callable[[], Sequence[Any]]:
    """Make a database in a new folder with one run and one long history.

    Args:
        points: Milliseconds since 1970 and value, step by step.

    Returns:
        What reads the history.
    """
    folder.mkdir(parents=True)
    client = _mlflow_client(folder)
    experiment = client.create_experiment(_EXPERIMENT, str(folder / "artifacts"))
    _insert(folder, client.get_experiment(experiment), iter([sample]))
    run_id = _run_id(sample)
    rows = ((metric, value, ms, step, run_id) for step, (ms, value) in enumerate(points))
    sql = "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid)"
    with contextlib.closing(sqlite3.connect(folder / DATABASE)) as database:
        database.execute("DELETE FROM metrics")
        database.executemany(f"{sql} VALUES (?, ?, ?, ?, 0, ?)", rows)
        database.commit()

    def read() -> Sequence[Any]:
        history: Sequence[Any] = client.get_metric_history(run_id, metric)
        return history

    return read


def check_mlflow(folder: Path, runs: int = 50) -> None:
    """Log runs through the client, insert the same in bulk, and compare what is found of both.

    Raises:
        RuntimeError: Not everything is the same but ids and places.
    """
    folder.mkdir(parents=True)
    client = _mlflow_client(folder)
    logged, inserted = (
        client.create_experiment(name, str(folder / name)) for name in ("logged", "inserted")
    )
    for sample in sample_runs(runs):
        _log(client, logged, sample)
    _insert(folder, client.get_experiment(inserted), sample_runs(runs))
    for where in ("", "params.optimizer != 'adamw'", "metrics.acc > 0.5", "tags.paper = 'true'"):
        for order in ("metrics.acc DESC", "metrics.loss ASC", "attributes.start_time DESC"):
            both = [_plain(client, place, where, order) for place in (logged, inserted)]
            if both[0] != both[1] or not both[0]:
                raise RuntimeError(f"runs inserted are not as runs logged: {where!r}, {order!r}")


def _log(client: Any, experiment: str, sample: SampledRun) -> None:
    """Record one run as a user's program would."""
    from mlflow.entities import Metric, Param

    tags, moment = _tags(sample), _milliseconds(sample.end.time)
    run_id = client.create_run(
        experiment, _milliseconds(sample.run.time), tags, sample.run.name
    ).info.run_id
    values = best_values(sample).items()
    client.log_batch(
        run_id,
        [Metric(name, value, moment, step) for name, (value, step) in values],
        [Param(key, value) for key, value in _params(sample).items()],
    )
    status = _MLFLOW_STATUS.get(sample.end.status, "FAILED")
    client.set_terminated(run_id, status, moment)


def _plain(client: Any, experiment: str, where: str, order: str) -> list[dict[str, Any]]:
    """Return all that `search_runs` says, but for ids and places."""
    found = client.search_runs([experiment], where, order_by=[order])
    plain = [run.to_dictionary() for run in found]
    for run in plain:
        for name in ("run_id", "run_uuid", "experiment_id", "artifact_uri"):
            run["info"].pop(name, None)
    return plain


# --- exprag ------------------------------------------------------------------------------------

_EXPRAG_BEST = f"""\
import exprag.agent.skills as exprag

rows = exprag.select_values(exprag.load_records(), "value.acc")
best = {{}}
for row in rows:
    best[row["run_id"]] = max(row["value"], best.get(row["run_id"], row["value"]))
for run, value in sorted(best.items(), key=lambda item: -item[1])[:{TOP}]:
    print(run, value)
"""


def fill_exprag(folder: Path, runs: int, *, seed: int = 0) -> None:
    """Make a repository with one file for each run, in the form of a real one."""
    path, begin, track = _exprag_lines(folder)
    for sample in sample_runs(runs, seed):
        tracked = {name: value for name, (value, _) in best_values(sample).items()}
        _write_exprag(path, begin, track, sample, [(sample.end.time, tracked)])


def fill_exprag_history(
    folder: Path, sample: SampledRun, calls: Iterable[tuple[int, dict[str, float]]]
) -> None:
    """Make a repository with one run.

    Args:
        calls: Nanoseconds since 1970 and what was tracked.
    """
    path, begin, track = _exprag_lines(folder)
    tracked = ((format_time(time_ns), value) for time_ns, value in calls)
    _write_exprag(path, begin, track, sample, tracked)


_Record = dict[str, Any]


def _exprag_lines(folder: Path) -> tuple[Path, _Record, _Record]:
    """Make a repository; return where a real run stood in it, and its two lines."""
    make_repository(folder, 50)
    with contextlib.chdir(folder):
        exp = experiment_of("exprag")("bench", metadata={})
        exp.track({})
        path = folder / exp.path
        del exp
    begin, track = (json.loads(line) for line in path.read_text().splitlines()[:2])
    path.unlink()
    return path, begin, track


def _write_exprag(
    path: Path,
    begin: _Record,
    track: _Record,
    sample: SampledRun,
    calls: Iterable[tuple[str, Mapping[str, float]]],
) -> None:
    """Write the file of one run beside ``path``."""
    run_id = str(uuid.UUID(_run_id(sample)))
    shared = {"run_id": run_id, "experiment_name": sample.run.name}
    value = {**begin["value"], "metadata": sample.run.parameters}
    first = {**begin, **shared, "created_at": sample.run.time, "value": value}
    rest = ({**track, **shared, "created_at": at, "value": tracked} for at, tracked in calls)
    with path.with_name(f"{run_id}.jsonl").open("w") as file:
        for line in chain([first], rest):
            file.write(json.dumps(line, separators=(",", ":")) + "\n")


def load_exprag(folder: Path) -> list[dict[str, Any]]:
    """Return all records, as exprag's helper loads them."""
    from exprag.agent import skills

    records: list[dict[str, Any]] = skills.load_records(str(folder / ".exprag"))
    return records


def exprag_values(records: list[dict[str, Any]], metric: str) -> list[dict[str, Any]]:
    """Return what a metric was in every record, as exprag's helper selects it."""
    from exprag.agent import skills

    values: list[dict[str, Any]] = skills.select_values(records, f"value.{metric}")
    return values


def exprag_questions(records: list[dict[str, Any]]) -> dict[str, Question]:
    """Return all questions to records that are in memory (see `load_exprag`)."""
    from exprag.agent import skills

    def among(keep: Callable[[Mapping[str, Any]], bool]) -> set[str]:
        begun = skills.run_start_records(records)
        return {run["run_id"] for run in begun if keep(skills.get_path(run, "value.metadata"))}

    def ranked(count: int, kept: set[str] | None = None) -> list[str]:
        values = exprag_values(records, "acc")
        rows = [row for row in values if kept is None or row["run_id"] in kept]
        return _best(((row["value"], row["experiment_name"]) for row in rows), count)

    def last() -> list[str]:
        begun = skills.latest_records(skills.run_start_records(records), n=ROWS)
        return [run["experiment_name"] for run in reversed(begun)]

    def behind() -> list[str]:
        rows = exprag_values(records, "loss")
        return ranked(ROWS, {row["run_id"] for row in rows if row["value"] > BEHIND_LOSS})

    return {
        "best": lambda: ranked(TOP),
        "last": last,
        "broad": lambda: ranked(ROWS, among(lambda run: run["dropout"] < 0.3)),
        "narrow": lambda: ranked(ROWS, among(lambda run: run["optimizer"] == "shampoo")),
        "pair": lambda: ranked(
            ROWS, among(lambda run: run["optimizer"] == "muon" and run["lr"] < 2e-5)
        ),
        "behind": behind,
    }
