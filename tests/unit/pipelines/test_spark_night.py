"""A night whose features come from Spark has the tables of a night on one machine, and so have scores made there."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from data import demo
from data.contracts import CONTRACTS
from data.errors import ArtifactError, ConfigError
from features.battery.worlds import SCHEMAS, TIMEZONE
from features.registry import FEATURES
from models.churn import PROBABILITIES, fit
from models.inputs import INPUTS
from pipelines import run as runs
from pipelines.artifacts import save_model
from pipelines.batch import SCHEMA, churn_scores
from pipelines.kept import MADE_FROM
from pipelines.observe import TABLES, observe
from pipelines.run import Run
from pipelines.settings import Churn, Engine, Settings

pytestmark = [
    pytest.mark.slow,
    # PySpark and its bridge leave their sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ON_SPARK = Engine(kind="spark", threads=2, memory_limit="1.5GB")


def assert_same(found: pa.Table, expected: pa.Table) -> None:
    """Hold two tables against each other: floats within 1e-9, all else exactly."""
    assert found.schema.equals(expected.schema)
    order = [(name, "ascending") for name in found.column_names]
    found, expected = found.sort_by(order), expected.sort_by(order)
    for name in found.column_names:
        if pa.types.is_floating(found.schema.field(name).type):
            left, right = (table[name].to_pandas().to_numpy() for table in (found, expected))
            np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-9, err_msg=name)
        else:
            assert found[name].equals(expected[name]), name


def complete_journey() -> dict[str, pa.Table]:
    """Return the accepted tables of some households."""
    tables = {name: schema.empty_table() for name, schema in SCHEMAS.items()}
    for name, raw in demo.raw_tables().items():
        rows = raw
        if "customer_id" in rows.column_names:
            rows = rows.filter(pc.match_substring_regex(rows["customer_id"], "[1-4]7$"))
        if name == "transactions":
            wall = rows["event_time"].to_pandas().dt.tz_localize("UTC").dt.tz_convert(TIMEZONE).dt.tz_localize(None)
            rows = rows.append_column("local_time", pa.array(wall, pa.timestamp("us")))
        have = {
            one.name: rows[one.name].cast(one.type) if one.name in rows.column_names else pa.nulls(len(rows), one.type)
            for one in SCHEMAS[name]
        }
        tables[name] = pa.table(have, SCHEMAS[name])
    return {name: pa.table({"customer_id": pa.array([], pa.string())}) for name in CONTRACTS} | tables


def test_the_features_of_a_night_are_the_same_tables(spark_backend: Any, tmp_path: Path) -> None:
    """Matrix, labels, eligible customers and all else of the stage, of a real shop."""
    assert spark_backend.session is not None
    settings = Settings.demo(tmp_path).model_copy(update={"churn": Churn(n_training_dates=2, horizon_days=28)})
    here = Run(settings, datetime(2018, 1, 1, 5), "source")
    there = Run(settings.model_copy(update={"engine": ON_SPARK}), here.as_of, "source")
    assert here.run_key != there.run_key
    versions = {
        name: here.lake.write(name, rows, as_of=None, fingerprint=name) for name, rows in complete_journey().items()
    }
    expected, found = observe(here, versions), observe(there, versions)
    assert set(found) == set(TABLES)
    for table in TABLES:
        sliced = table != "training_observations"
        rows, others = (run.frame(table, made, sliced=sliced) for run, made in ((here, expected), (there, found)))
        assert rows.num_rows
        if not sliced:
            # Each engine has a hash of its own, and takes over no row of the other.
            assert not set(rows[MADE_FROM].to_pylist()) & set(others[MADE_FROM].to_pylist())
            rows, others = rows.drop_columns(MADE_FROM), others.drop_columns(MADE_FROM)
        assert_same(others, rows)
    assert set(FEATURES) <= set(here.lake.schema("observations", expected["observations"]).names)


def test_scores_of_a_matrix_on_spark_are_those_of_one_machine(spark_backend: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.lognormal(size=600) for name in INPUTS})
    frame[INPUTS[0]] = frame[INPUTS[0]].where(rng.random(600) < 0.8)
    frame["customer_id"] = [f"c{number:03}" for number in range(600)]
    frame["as_of"] = pd.Timestamp("2024-01-01").as_unit("us")
    train = frame.assign(has_churned=rng.random(600) < 1 / (1 + frame["n_orders_84d"]))
    model = fit(train, INPUTS, seed=1)
    digest = save_model(model.estimator, tmp_path / "churn")
    matrix = pa.Table.from_pandas(frame, preserve_index=False)
    spark_backend.session.createDataFrame(matrix).repartition(2).createOrReplaceTempView("matrix")
    rows = spark_backend.table("matrix")
    scores = churn_scores(rows, tmp_path / "churn", digest, model.facts()).order_by("customer_id").to_pyarrow()
    assert scores.schema.equals(SCHEMA)
    assert scores["customer_id"].to_pylist() == frame["customer_id"].tolist()
    expected = model.predict(frame)
    for name in PROBABILITIES:
        np.testing.assert_allclose(scores[name].to_numpy(), expected[name], rtol=1e-9, atol=0)


def test_a_model_that_was_changed_scores_nobody(spark_backend: Any, tmp_path: Path) -> None:
    (tmp_path / "model.skops").write_bytes(b"another")
    with pytest.raises(ArtifactError, match="digest"):
        churn_scores(spark_backend.session.range(1), tmp_path, "0" * 64, {})


def test_without_pyspark_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "find_spec", lambda _: None)
    run = Run(Settings(root=tmp_path, engine=ON_SPARK), datetime(2018, 1, 1, 5), "source")
    with pytest.raises(ConfigError, match="regulars\\[spark\\]"):
        run.history({})
