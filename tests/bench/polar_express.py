"""The coefficients of Muon's polynomials, and how close to orthogonal they bring matrices of the presets' shapes.

    python -m tests.bench.polar_express [--count 100] [--shapes 128x128 384x384 …]

Prints the coefficients (Amsel et al. 2025, algorithm 1, with the paper's precautions for bf16), then, by shape and
dtype, over random, low-rank and power-law matrices: the largest singular value that comes out, and the smallest of
those that went in above 0.01 of the largest. The largest must be at most 1.3, the smallest at least 0.5.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from math import inf, sqrt

import numpy as np
import torch
from torch import Tensor

from tests.bench.peers import report
from tui_gpt.training.optimizers.muon import orthogonalize

SHAPES = ("128x128", "384x384", "512x512", "768x768", "768x3072", "3072x768")
LOWER_ENDS = {5: 1e-3, 4: 2.5e-3}  # by the number of polynomials: of the singular values, relative to the norm
SAFETY_FACTOR, CUSHION = 1.01, 0.02

Coefficients = tuple[float, float, float]


def coefficients(count: int) -> list[Coefficients]:
    """Return `count` odd polynomials of degree 5, each the best for the interval that those before it leave."""
    found: list[Coefficients] = []
    low, high = LOWER_ENDS[count], 1.0
    for index in range(count):
        a, b, c = best_quintic(max(low, CUSHION * high), high)
        if low < CUSHION * high:  # center the values on 1 again
            scale = 2 / (a * (low + high) + b * (low**3 + high**3) + c * (low**5 + high**5))
            a, b, c = a * scale, b * scale, c * scale
        if index < count - 1:
            a, b, c = a / SAFETY_FACTOR, b / SAFETY_FACTOR**3, c / SAFETY_FACTOR**5
        found.append((a, b, c))
        low = a * low + b * low**3 + c * low**5
        high = 2 - low
    return found


def best_quintic(low: float, high: float) -> Coefficients:
    """Return the odd polynomial of degree 5 nearest to 1 on [low, high], by Remez's exchange of its extrema."""
    q, r = (3 * low + high) / 4, (low + 3 * high) / 4
    error, last = 0.0, inf
    while abs(error - last) > 1e-15:
        last = error
        points = np.array([low, q, r, high])
        signs = np.array([1, -1, 1, -1])
        a, b, c, error = np.linalg.solve(np.stack([points, points**3, points**5, signs], axis=1), np.ones(4))
        root = sqrt(9 * b**2 - 20 * a * c)
        q, r = np.sqrt((-3 * b + np.array([-root, root])) / (10 * c))
    return float(a), float(b), float(c)


def matrices(rows: int, columns: int, count: int) -> Iterator[Tensor]:
    """Yield random matrices: of low rank, Gaussian, of low rank with noise, and with a power-law spectrum."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    n, m = min(rows, columns), max(rows, columns)
    for index in range(count):
        rank = max(1, int(n * 10 ** (-2 * float(torch.rand((), generator=generator)))))
        match index % 4:
            case 0:
                matrix = normal(n, rank) @ normal(rank, m)
            case 1:
                matrix = normal(n, m)
            case 2:
                matrix = normal(n, rank) @ normal(rank, m) + 1e-3 * normal(n, m)
            case _:
                exponent = 0.5 + float(torch.rand((), generator=generator))
                left, right = torch.linalg.qr(normal(n, n))[0], torch.linalg.qr(normal(m, n))[0]
                matrix = (left * torch.arange(1, n + 1) ** -exponent) @ right.mT
        matrix *= 10 ** float(2 * normal())
        yield matrix if rows <= columns else matrix.mT.contiguous()


def extremes(x: Tensor, dtypes: tuple[torch.dtype, ...]) -> list[tuple[float, float]]:
    """Return, for each dtype, the largest singular value that comes out and the smallest that must be near 1."""
    x = x if x.shape[0] <= x.shape[1] else x.mT  # as the optimizer does
    wide = x.double()
    squares, vectors = torch.linalg.eigh(wide @ wide.mT)
    kept = squares > (0.01**2) * squares[-1]
    left, sizes = vectors[:, kept], squares[kept].sqrt()
    right = wide.mT @ left / sizes
    found = []
    for dtype in dtypes:
        y = orthogonalize(x[None], dtype)[0].double()
        largest = torch.linalg.eigvalsh(y @ y.mT)[-1].sqrt()
        found.append((float(largest), float(torch.linalg.svdvals(left.mT @ y @ right)[-1])))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--shapes", nargs="*", default=SHAPES)
    arguments = parser.parse_args()
    for count in LOWER_ENDS:
        report("polar express", polynomials=count, coefficients=coefficients(count))
    dtypes = (torch.float32, torch.bfloat16)
    for shape in arguments.shapes:
        rows, columns = map(int, shape.split("x"))
        found = [extremes(matrix, dtypes) for matrix in matrices(rows, columns, arguments.count)]
        for index, dtype in enumerate(dtypes):
            largest, smallest = max(one[index][0] for one in found), min(one[index][1] for one in found)
            report(
                "singular values", shape=shape, dtype=str(dtype), matrices=arguments.count,
                largest=round(largest, 4), smallest=round(smallest, 4), ok=largest <= 1.3 and smallest >= 0.5,
            )  # fmt: skip


if __name__ == "__main__":
    main()
