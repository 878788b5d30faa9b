"""The principal components of trajectories, by numpy's SVD in f64: data/components.

    python tests/golden/components.py

Each of `cases` is some runs of some steps: run r goes from its noise `randn(2 r)` to its end `randn(2 r + 1)`, and at step s of n it is at
`(n - s) / n * scale * noise + (s / n)^2 * end`. Inputs are not stored.
"""

import numpy as np
import torch

from record import Record

CASES = {
    "one": {"runs": 1, "steps": 20, "shape": [4, 8, 8], "scale": 14.6},
    "few": {"runs": 3, "steps": 12, "shape": [4, 8, 12], "scale": 1.0},
    "many": {"runs": 20, "steps": 50, "shape": [4, 16, 16], "scale": 14.6},
}


def randn(seed: int, shape) -> np.ndarray:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).numpy()


def points(runs: int, steps: int, shape, scale: float) -> np.ndarray:
    rows = []
    for run in range(runs):
        noise, end = randn(2 * run, shape).ravel(), randn(2 * run + 1, shape).ravel()
        for step in range(steps):
            left, done = np.float32((steps - step) / steps * scale), np.float32((step / steps) ** 2)
            rows.append(left * noise + done * end)
    return np.stack(rows).astype(np.float64)


def make() -> None:
    record = Record("components", cases=CASES, names="CASE.coordinates [points, 2], CASE.explained [2]")
    for name, case in CASES.items():
        x = points(**case)
        u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
        coordinates = u[:, :2] * s[:2]
        # The sign of a component is arbitrary: the first point lies on the negative side.
        coordinates *= np.where(coordinates[0] > 0, -1, 1)
        record.add(f"{name}.coordinates", torch.from_numpy(coordinates), whole=True)
        record.add(f"{name}.explained", torch.from_numpy(s[:2] ** 2 / (s**2).sum()))
        print(name, s[:4], (s[:2] ** 2 / (s**2).sum()))
    record.write()


if __name__ == "__main__":
    make()
