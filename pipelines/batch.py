"""Scores of more customers than one machine holds: a trained churn model answers on Spark, where the rows are.

The model is loaded and checked here as everywhere, and goes to the workers as skops, which they read with the same
list of types. A probability depends on nothing but its own row, so the parts give what the whole would.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa
import skops.io

from models.churn import PROBABILITIES, ChurnModel
from pipelines.artifacts import ALLOWED_TYPES, load_model
from pipelines.run import spark_engine

SCHEMA = pa.schema(
    [("customer_id", pa.string()), ("as_of", pa.timestamp("us")), *((name, pa.float64()) for name in PROBABILITIES)]
)
"""Columns of the scores."""


def churn_scores(matrix: ir.Table, folder: Path, expected_digest: str, facts: Mapping[str, Any]) -> ir.Table:
    """Return the probability of churn of each row of a feature matrix on Spark, with its interval.

    Columns: customer_id, as_of, churn_probability, churn_probability_low, churn_probability_high. None is null. It is
    computed when it is read.

    Parameters
    ----------
    matrix
        One row per customer_id and ``as_of`` with the model's features, of a ``data.cluster.SparkBackend``. Leave out
        whoever is not eligible before.
    folder
        The model as ``pipelines.artifacts.save_model`` wrote it.
    expected_digest
        Digest that was recorded when it was made.
    facts
        ``ChurnModel.facts`` of it. Null features are filled as in training.

    Raises
    ------
    ArtifactError
        A byte of the model differs from what was recorded, or it holds types that we do not load.
    ConfigError
        pyspark is not installed.
    """
    stored = skops.io.dumps(load_model(folder, expected_digest))
    scorer = _Scorer(stored, dict(facts))
    rows = matrix.select("customer_id", "as_of", *scorer.model.names)
    scores: ir.Table = spark_engine().with_answers(rows, _Scorer(stored, dict(facts)), SCHEMA)
    return scores


@dataclass(frozen=True)
class _Scorer:
    """What goes to a worker: the bytes of a checked model, read once for all batches of a part."""

    stored: bytes
    facts: Mapping[str, Any]

    @cached_property
    def model(self) -> ChurnModel:
        estimator = skops.io.loads(self.stored, trusted=sorted(ALLOWED_TYPES))
        return ChurnModel.restore(estimator, self.facts)

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                yield self._scored(batch)

    def _scored(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        found = self.model.predict(batch.to_pandas())
        columns = [batch["customer_id"], batch["as_of"], *(pa.array(found[name].to_numpy()) for name in PROBABILITIES)]
        return pa.record_batch([column.cast(kind) for column, kind in zip(columns, SCHEMA.types, strict=True)], SCHEMA)
