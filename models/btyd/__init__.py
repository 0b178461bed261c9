"""Buy-till-you-die models: how often customers buy, whether they still do, and what they spend each time.

Words are those of the literature: ``frequency`` repeat purchases, ``recency`` time from first to last purchase, ``T``
time from first purchase to the end of the history, ``monetary_value`` mean spend per repeat purchase. Times are in one
unit of the caller's choice, days or weeks; horizons are in the same unit.
"""

from models.btyd.fitted import Fit
from models.btyd.geometric import BgNbd, MbgNbd, fit_bg_nbd, fit_mbg_nbd
from models.btyd.intervals import interval
from models.btyd.pareto import ParetoNbd, fit_pareto_nbd
from models.btyd.spend import GammaGamma, fit_gamma_gamma

__all__ = [
    "BgNbd",
    "Fit",
    "GammaGamma",
    "MbgNbd",
    "ParetoNbd",
    "fit_bg_nbd",
    "fit_gamma_gamma",
    "fit_mbg_nbd",
    "fit_pareto_nbd",
    "interval",
]
