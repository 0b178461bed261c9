"""The integral over the unseen moment of leaving, in the Pareto/NBD model, by Gauss-Legendre quadrature."""

import numpy as np

from models.spec import FloatArray

_N_NODES = 32
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(_N_NODES)
_SHARES, _LOG_WEIGHTS = (_NODES + 1) / 2, np.log(_WEIGHTS / 2)
_NEGLIGIBLE = 42.0
"""Where the integrand is e^-42 of its peak, the rest is less than rounding."""
_N_CUTS = 10


class Departure:
    """Integrate (alpha + t)^-k (beta + t)^-(s + 1) over t from one time to another, for every row.

    In the logarithm of t plus the smaller of alpha and beta, the integrand is log-concave and has no singularity nearer
    to the path than pi, whatever the parameters; cut where it is negligible, 32 nodes give all digits.

    Parameters
    ----------
    k
        Exponent of each row: r plus purchases.
    s
        Exponent of leaving.
    alpha, beta
        Rates, one for all rows or one a row.
    begin, end
        Limits of each row.
    """

    def __init__(
        self,
        k: FloatArray,
        s: float,
        *,
        alpha: float | FloatArray,
        beta: float | FloatArray,
        begin: FloatArray,
        end: FloatArray,
    ) -> None:
        self._k, self._s = k, s
        alpha, beta = np.broadcast_to(alpha, k.shape), np.broadcast_to(beta, k.shape)
        self._alpha, self._beta = alpha, beta
        near, far = np.minimum(alpha, beta), np.abs(alpha - beta)
        near_power, far_power = np.where(alpha <= beta, k, s + 1), np.where(alpha <= beta, s + 1, k)
        length = _useful_length(near + begin, far, near_power, far_power, np.log1p((end - begin) / (near + begin)))
        time_near = (near + begin)[:, None] * np.exp(length[:, None] * _SHARES)
        self._log_near, time_far = np.log(time_near), time_near + far[:, None]
        self._log_far = np.log(time_far)
        is_alpha = (alpha <= beta)[:, None]
        self._log_alpha = np.where(is_alpha, self._log_near, self._log_far)
        self._log_beta = np.where(is_alpha, self._log_far, self._log_near)
        height = self._log_near - k[:, None] * self._log_alpha - (s + 1) * self._log_beta + _LOG_WEIGHTS
        peak = height.max(axis=1)
        mass = np.exp(height - peak[:, None])
        total = mass.sum(axis=1)
        with np.errstate(divide="ignore"):
            self.log_integral: FloatArray = peak + np.log(total) + np.log(length)
        self._share = mass / total[:, None]

    def derivatives(self, r: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the logarithm of the integral, its gradient and second derivatives by log r, alpha, s and beta.

        Parameters
        ----------
        r
            The part of ``k`` that is a parameter.

        Returns
        -------
        tuple of numpy.ndarray
            Rows; rows x 4; rows x 4 x 4.
        """
        alpha_part = self._alpha[:, None] * np.exp(-self._log_alpha)
        beta_part = self._beta[:, None] * np.exp(-self._log_beta)
        features = np.stack([self._log_alpha, alpha_part, self._log_beta, beta_part], axis=1)
        mean = (features * self._share[:, None, :]).sum(axis=2)
        scale = np.empty_like(mean)
        scale[:] = [-r, 0.0, -self._s, -(self._s + 1)]
        scale[:, 1] = -self._k
        features -= mean[:, :, None]
        spread = (features * self._share[:, None, :]) @ features.transpose(0, 2, 1)
        curve = spread * scale[:, :, None] * scale[:, None, :]
        slope = mean * scale
        curve[:, 0, 0] += slope[:, 0]
        curve[:, 2, 2] += slope[:, 2]
        curve[:, 0, 1] -= r * mean[:, 1]
        curve[:, 1, 0] -= r * mean[:, 1]
        curve[:, 2, 3] -= self._s * mean[:, 3]
        curve[:, 3, 2] -= self._s * mean[:, 3]
        for index in (1, 3):
            # The mean of p (1 - p), from the mean and the variance of p.
            rest = mean[:, index] * (1 - mean[:, index]) - spread[:, index, index]
            curve[:, index, index] += scale[:, index] * rest
        return self.log_integral, slope, curve


def _useful_length(
    begin: FloatArray, far: FloatArray, near_power: FloatArray, far_power: FloatArray, length: FloatArray
) -> FloatArray:
    """Return how far to integrate in the logarithm: to the end, or to where the integrand is negligible.

    The height is concave, so Newton's steps from the right end towards the level stay right of it: every one is safe.
    """

    def height(along: FloatArray) -> FloatArray:
        return np.asarray((1 - near_power) * along - far_power * np.log1p(begin * np.expm1(along) / (begin + far)))

    level = np.maximum(0.0, height(length)) - _NEGLIGIBLE
    for _ in range(_N_CUTS):
        excess = level - height(length)
        grown = begin * np.exp(length)
        slope = (1 - near_power) - far_power * grown / (grown + far)
        length = np.where(excess > 0, length + excess / np.minimum(slope, -1e-300), length)
    return length
