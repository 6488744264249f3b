"""Makes the table `_WIDER` of `vslm.stats.skewed`: python tests/stats/calibration.py

For every count of values and error, the least factor with which an interval misses the mean of normal and t(3) values
no more often than the error says, and of log-normal ones no more often than 1.2 times that. 1.2 million samples a cell.
"""

import math

import numpy as np
from scipy.special import stdtrit

SAMPLES, BLOCKS = 400_000, 3
COUNTS = (3, 4, 5, 6, 8, 12, 16, 24, 32, 48)
ERRORS = (0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
ALLOWED = {"normal": 1.0, "t(3)": 1.0, "log-normal 0.5": 1.2, "log-normal 1": 1.2}


def draw(noise: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Values around a mean of 0."""
    if noise == "normal":
        return rng.standard_normal(shape)
    if noise == "t(3)":
        return rng.standard_t(3, shape)
    sigma = float(noise.split()[1])
    return np.exp(sigma * rng.standard_normal(shape)) - math.exp(sigma**2 / 2)


def t_and_skewness(values_RN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of every row: its mean in standard errors, and its sample skewness."""
    count = values_RN.shape[1]
    mean_R = values_RN.mean(axis=1)
    apart_RN = values_RN - mean_R[:, None]
    square_R = (apart_RN**2).mean(axis=1)
    error_R = np.sqrt(square_R * count / (count - 1)) / math.sqrt(count)
    return mean_R / error_R, (apart_RN**3).mean(axis=1) / square_R**1.5


def factor(count: int, error: float, found: dict[str, tuple[np.ndarray, np.ndarray]]) -> float:
    """The least that holds for all noises; no less than 1."""
    t = float(stdtrit(count - 1, 1 - error / 2))
    needed = [1.0]
    for noise, (mean_R, skewness_R) in found.items():
        # A mean below 0 is missed by the upper end, which a skew to above moves away, and the other way round.
        away_R = np.maximum(np.where(mean_R < 0, skewness_R, -skewness_R), 0)
        needed.append(float(np.quantile(np.abs(mean_R) / (t * (1 + t * away_R / 6)), 1 - ALLOWED[noise] * error)))
    return max(needed)


def main() -> None:
    """Print the table; no entry below the one of a larger error."""
    rng = np.random.default_rng(20261130)
    for count in COUNTS:
        found = {}
        for noise in ALLOWED:
            parts = [t_and_skewness(draw(noise, (SAMPLES, count), rng)) for _ in range(BLOCKS)]
            found[noise] = (np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))
        row = np.maximum.accumulate([factor(count, error, found) for error in ERRORS])
        print(f"    ({', '.join(f'{one:.2f}' for one in row)}),  # {count}", flush=True)


if __name__ == "__main__":
    main()
