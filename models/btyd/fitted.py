"""What every fit of this room tells of itself: likelihood, uncertainty, and whatever is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np
from scipy import stats

from models.btyd.newton import BOUND, Maximum
from models.spec import FloatArray

LEVEL = 0.90
_VAGUE = 3.0
"""A standard error of a parameter's logarithm beyond which the data say next to nothing of it (a factor of 20)."""


@dataclass(frozen=True)
class Fit:
    """Tell how a fit went.

    Parameters
    ----------
    log_likelihood
        Natural logarithm of the likelihood of all customers at the maximum.
    n_customers, n_rows
        Customers, and distinct rows among them.
    n_iterations
        Steps of the optimiser on all rows.
    covariance
        Covariance of the logarithms of the parameters, from the observed information; a parameter at the edge of what
        is allowed counts as known and has zeros.
    warning
        What is wrong with the fit, or null. The numbers of a fit with a warning may serve, its parameters mean little.
    """

    log_likelihood: float
    n_customers: int
    n_rows: int
    n_iterations: int
    covariance: tuple[tuple[float, ...], ...]
    warning: str | None

    def warned(self, problem: str) -> "Fit":
        """Return the account with one more problem in its warning."""
        return replace(self, warning=problem if self.warning is None else f"{self.warning}; {problem}")


@dataclass(frozen=True)
class Fitted:
    """Hold named positive parameters and the fit that they come from.

    Parameters
    ----------
    fit
        How the fit went.
    """

    fit: Fit
    PARAMETERS: ClassVar[tuple[str, ...]] = ()

    @property
    def parameters(self) -> FloatArray:
        """Values in the order of ``PARAMETERS``."""
        return np.array([getattr(self, name) for name in self.PARAMETERS])

    @property
    def warning(self) -> str | None:
        """What is wrong with the fit, or null."""
        return self.fit.warning

    def parameter_intervals(self, level: float = LEVEL) -> dict[str, tuple[float, float]]:
        """Return an interval of each parameter, from the normal distribution of its logarithm.

        Parameters
        ----------
        level
            Nominal coverage.

        Returns
        -------
        dict
            Low and high end by parameter; NaN for a parameter at the edge of what is allowed.
        """
        error = np.sqrt(np.diag(np.array(self.fit.covariance)))
        with np.errstate(over="ignore"):
            # Of a parameter that the data hardly determine, infinity is the honest end.
            reach = np.exp(stats.norm.ppf((1 + level) / 2) * np.where(error > 0, error, np.nan))
        values = self.parameters
        return {
            name: (float(value / factor), float(value * factor))
            for name, value, factor in zip(self.PARAMETERS, values, reach, strict=True)
        }

    def facts(self) -> dict[str, Any]:
        """Return everything as plain values that JSON can hold."""
        own = {name: float(getattr(self, name)) for name in self.PARAMETERS}
        return {**own, "fit": {field.name: getattr(self.fit, field.name) for field in fields(Fit)}}

    @classmethod
    def restore(cls, facts: dict[str, Any]) -> Self:
        """Return the model again from its facts."""
        told = {**facts["fit"], "covariance": tuple(tuple(row) for row in facts["fit"]["covariance"])}
        return cls(**{**facts, "fit": Fit(**told)})


def told(
    maximum: Maximum, *, log_likelihood: float, n_customers: int, n_rows: int, edges: Mapping[int, tuple[str, str]]
) -> Fit:
    """Return how a fit went, with a warning where its end is no clean maximum.

    Parameters
    ----------
    maximum
        Where the climb ended, in logarithms of the parameters.
    log_likelihood
        Log-likelihood there, in the units of the data.
    n_customers, n_rows
        Customers and distinct rows.
    edges
        For each coordinate, what its low and its high edge mean.

    Returns
    -------
    Fit
        The account.
    """
    # A climb that ends a step short of the edge says the same as one that ends on it.
    at_edge = np.abs(maximum.point) >= BOUND - 1
    free = ~at_edge
    covariance = np.zeros_like(maximum.hessian)
    information = -maximum.hessian[np.ix_(free, free)]
    problems = [edges[int(index)][int(maximum.point[index] > 0)] for index in np.flatnonzero(at_edge)]
    if not maximum.has_converged:
        problems.append(f"the fit had not converged after {maximum.n_iterations} steps")
    if free.any() and np.linalg.eigvalsh(information).min() > 0:
        covariance[np.ix_(free, free)] = np.linalg.inv(information)
    else:
        problems.append("the likelihood is flat, so that no interval can be told")
    if np.diag(covariance).max() > _VAGUE**2:
        problems.append("the data hardly determine the parameters")
    return Fit(
        log_likelihood=log_likelihood,
        n_customers=n_customers,
        n_rows=n_rows,
        n_iterations=maximum.n_iterations,
        covariance=tuple(tuple(map(float, row)) for row in covariance),
        warning="; ".join(problems) or None,
    )
