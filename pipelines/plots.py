"""Plots for MLflow: what a data scientist wants to see of a night beside its numbers."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.report.night import Night


def draw_plots(night: Night, folder: Path) -> None:
    """Write the plots of a night as PNG files into a folder.

    Parameters
    ----------
    night
        The results of one run.
    folder
        An existing folder.
    """
    # Without a window system, and without the date in the file: the same night gives the same bytes.
    with mpl.rc_context({"figure.dpi": 110, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        for name, draw in (("calibration", _calibration), ("gaps", _gaps), ("campaigns", _campaigns)):
            figure = Figure(figsize=(5.5, 4), layout="constrained")
            draw(figure.add_subplot(), night)
            figure.savefig(folder / f"{name}.png", metadata={"Software": None})


def _calibration(axes: Axes, night: Night) -> None:
    curve = night.calibration
    reach = np.abs(curve[["low", "high"]].to_numpy().T - curve["observed"].to_numpy())
    axes.errorbar(curve["predicted"], curve["observed"], yerr=reach, fmt="o", capsize=2)
    axes.axline((0, 0), slope=1, linestyle=":", color="grey")
    axes.set(
        xlabel="predicted share that leaves", ylabel="observed share, 95 %", title="Calibration on the judged date"
    )


def _gaps(axes: Axes, night: Night) -> None:
    axes.plot(night.gaps["days"], night.gaps["share_returned"], marker="o")
    axes.axvline(night.horizon_days, linestyle=":", color="grey")
    axes.set(xlabel="days since a purchase", ylabel="share that came back", title="How long customers stay away")


def _campaigns(axes: Axes, night: Night) -> None:
    verdicts = night.campaign_verdicts.dropna(subset=["effect_cents"])
    places = np.arange(len(verdicts))
    effect = verdicts["effect_cents"].to_numpy(dtype=float) / 100
    ends = verdicts[["effect_low_cents", "effect_high_cents"]].to_numpy(dtype=float).T / 100
    axes.errorbar(effect, places, xerr=np.abs(ends - effect), fmt="o", capsize=2, label="adjusted")
    axes.plot(verdicts["naive_cents"].to_numpy(dtype=float) / 100, places, "x", label="plain difference")
    axes.axvline(0, linestyle=":", color="grey")
    axes.set_yticks(
        places, [f"{name}: {word}" for name, word in zip(verdicts["name"], verdicts["verdict"], strict=True)]
    )
    axes.set(xlabel=f"effect per targeted customer, {night.currency}", title="Campaigns")
    if len(verdicts):
        axes.legend(loc="best")
