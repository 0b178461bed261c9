"""The gate promotes a clear win and nothing else."""

import numpy as np
import pytest

from models.gate import decide


@pytest.fixture
def judged():
    rng = np.random.default_rng(11)
    p = rng.beta(1, 3, size=1200)
    y = (rng.random(1200) < p).astype(int)
    blunt = 0.25 + 0.3 * (p - 0.25)
    return y, p, blunt


def test_clear_win_without_champion_is_promoted(judged):
    y, sharp, blunt = judged
    found = decide("log_loss", y, sharp, blunt, groups=np.arange(1200), seed=0)
    assert (found.decision, found.reference) == ("promoted", "baseline")
    assert found.difference_high < 0
    assert found.difference == pytest.approx(found.candidate_value - found.reference_value)
    assert "better than the baseline on 1200 judged customers" in found.reason


def test_no_win_over_the_baseline_is_refused(judged):
    y, sharp, blunt = judged
    worse = decide("log_loss", y, blunt, sharp, groups=np.arange(1200), seed=0)
    assert worse.decision == "refused"
    assert "worse than" in worse.reason
    assert "nothing ships" in worse.reason
    assert decide("log_loss", y, blunt, blunt, groups=np.arange(1200), seed=0).decision == "refused"


@pytest.mark.parametrize("case", ["worse", "equal", "noise"])
def test_champion_is_kept(judged, case):
    y, sharp, blunt = judged
    noise = np.clip(sharp + 0.01 * np.random.default_rng(4).normal(size=1200), 0.001, 0.999)
    candidate = {"worse": 0.6 * sharp + 0.4 * blunt, "equal": sharp, "noise": noise}[case]
    found = decide("log_loss", y, candidate, blunt, groups=np.arange(1200), seed=0, champion=sharp)
    assert (found.decision, found.reference) == ("kept", "champion")
    assert "the champion stays" in found.reason


def test_better_than_the_champion_is_promoted(judged):
    y, sharp, blunt = judged
    middle = (sharp + blunt) / 2
    found = decide("log_loss", y, sharp, blunt, groups=np.arange(1200), seed=0, champion=middle)
    assert (found.decision, found.reference) == ("promoted", "champion")


def test_champion_stays_where_the_baseline_is_not_beaten(judged):
    y, sharp, blunt = judged
    found = decide("log_loss", y, blunt, blunt, groups=np.arange(1200), seed=0, champion=sharp)
    assert (found.decision, found.reference) == ("kept", "baseline")


def test_higher_is_better_where_it_is(judged):
    y, sharp, _ = judged
    assert decide("auc", y, sharp, 1 - sharp, groups=np.arange(1200), seed=0).decision == "promoted"


def test_amounts_are_printed_plainly():
    truth = np.linspace(1e3, 1e5, 200)
    found = decide("root_squared_error", truth, truth, truth + 50_000, groups=np.arange(200), seed=0)
    assert "root_squared_error 0.0000 against 50,000, difference -50,000" in found.reason


def test_a_measure_without_direction_cannot_decide(judged):
    y, sharp, blunt = judged
    with pytest.raises(ValueError, match="no better direction"):
        decide("calibration_slope", y, sharp, blunt, groups=np.arange(1200), seed=0)
