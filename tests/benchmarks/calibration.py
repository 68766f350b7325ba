"""Calibration on units that are not the shipped ones: 2 s of music, judged on the 10 s that follow.

    python -m tests.benchmarks.calibration

Twelve units of `other_units`; medians and the worst, and beside them the median ESR of the shipped model with its best gain
and of a constant gain, and on how many units these would have been better. The response is the worst difference in level by
third octaves up to 12.5 kHz, where the unit is heard above its noise.
"""

from __future__ import annotations

import numpy as np

import mlxopto
from mlxopto.data.delay import advanced, fraction_late
from mlxopto.data.takes import Take
from mlxopto.metrics import esr, gain_error_db, spectra
from mlxopto.training import calibration
from tests.benchmarks.other_units import NOISE_DBFS, RATE, OtherUnit
from tests.benchmarks.results import tell

KINDS, SEEDS, HEARD_S, REST_S = ("la2a", "cl1b"), range(6), 2, 10
WINDOW, HIGHEST_HZ = 8192, 12500.0
ABOVE_NOISE_DB = 15.0


def judged(unit: OtherUnit) -> tuple[float, ...]:
    """Of the rest: ESR, gain error in dB and response in dB of the calibrated model, ESR of the shipped one and of a constant
    gain.
    """
    take = unit.take(HEARD_S + REST_S)
    heard, rest = slice(0, HEARD_S * RATE), slice(HEARD_S * RATE, None)
    y = advanced(take.y, fraction_late(take.x[heard], take.y[heard]))
    compressor = mlxopto.load(unit.kind)
    shipped = compressor(take.x, RATE, **take.setting)[rest]
    calibration.calibrate(
        compressor.model, compressor.panel, [Take(take.x[heard], y[heard], take.setting)], RATE, lambda *_: None
    )
    estimate = mlxopto.Compressor(compressor.model, compressor.card)(take.x, RATE, **take.setting)[rest]
    x, target = take.x[rest], y[rest]
    others = (esr(target, float(signal @ target / (signal @ signal)) * signal) for signal in (shipped, x))
    return esr(target, estimate), gain_error_db(x, target, estimate, RATE), response_db(target, estimate), *others


def response_db(target: np.ndarray, estimate: np.ndarray) -> float:
    """The worst difference in level by third octaves, where the target is well above the units' noise."""
    wanted, found = (np.square(spectra.magnitudes(signal, WINDOW, WINDOW // 2)).mean(axis=0) for signal in (target, estimate))
    f = np.fft.rfftfreq(WINDOW, 1 / RATE)
    noise = 10 ** (NOISE_DBFS / 10) * np.square(np.hanning(WINDOW)).sum()
    worst = 0.0
    for centre in 1000 * 2 ** (np.arange(-14, 12) / 3):
        band = (f >= centre * 2 ** (-1 / 6)) & (f < centre * 2 ** (1 / 6))
        if centre <= HIGHEST_HZ and band.any() and wanted[band].mean() > noise * 10 ** (ABOVE_NOISE_DB / 10):
            worst = max(worst, abs(10 * np.log10(found[band].sum() / wanted[band].sum())))
    return worst


def main() -> None:
    rows = []
    for kind in KINDS:
        found = np.array([judged(OtherUnit(kind, seed)) for seed in SEEDS])
        better = [int(np.sum(found[:, 0] > found[:, column])) for column in (3, 4)]
        middle, worst = np.median(found, axis=0), found.max(axis=0)
        rows.append(
            (
                *(kind, f"{middle[0]:.1e}", f"{worst[0]:.1e}"),
                *(f"{middle[i]:.2f}, {worst[i]:.2f}" for i in (1, 2)),
                *(f"{middle[i]:.1e} ({count})" for i, count in zip((3, 4), better, strict=True)),
            )
        )
    columns = ["units of", "ESR, median", "worst", "gain error, dB", "response, dB"]
    columns += ["shipped (better on)", "constant gain (better on)"]
    tell(f"Calibration on {HEARD_S} s of other units", columns, rows, f"{len(SEEDS)} units each")


if __name__ == "__main__":
    main()
