"""torch's CPU noise: whole-tensor hashes, a generator that continues, and the other path for fewer than 16 values."""

import hashlib

import torch

from record import Record

SEEDS = [0, 32, 2**32 + 5]
SHAPES = [(1, 4, 64, 64), (1, 4, 16, 16), (3, 4, 9, 13)]
STRIDE = 97


def sha256(values: torch.Tensor) -> str:
    """Of the values as little-endian f32, in row-major order."""
    return hashlib.sha256(values.contiguous().numpy().astype("<f4").tobytes()).hexdigest()


def shape_name(shape) -> str:
    return "x".join(map(str, shape))


def make() -> None:
    record = Record("noise", subset_stride=STRIDE, note="`.first`: 32 values; `.subset`: every 97th of the flat tensor")

    def add(name: str, values: torch.Tensor, **facts) -> None:
        flat = values.flatten()
        facts |= {"drawn_shape": list(values.shape), "sha256": sha256(values)}
        if flat.numel() < 32:
            record.add(name, flat, **facts)
        else:
            record.add(f"{name}.first", flat[:32], **facts)
            record.add(f"{name}.subset", flat[::STRIDE], **facts)

    for seed in SEEDS:
        for shape in SHAPES:
            add(f"seed{seed}.{shape_name(shape)}", torch.randn(shape, generator=torch.Generator().manual_seed(seed)), seed=seed)

    # One generator, draw after draw. 3x4x9x13 = 1404 is no multiple of 16: its last 16 values are drawn afresh.
    generator = torch.Generator().manual_seed(32)
    for draw, shape in enumerate([(1, 4, 16, 16), (3, 4, 9, 13), (1, 4, 16, 16)]):
        add(f"continued.{draw}", torch.randn(shape, generator=generator), seed=32, draw=draw)

    # Fewer than 16 values: double-precision Box-Muller in pairs. After an odd count the generator keeps the pair's second
    # value for its next draw of this kind; a draw of 16 or more in between neither uses nor loses it.
    generator = torch.Generator().manual_seed(0)
    for draw, count in enumerate([5, 16, 5, 15]):
        add(f"few.{draw}.n{count}", torch.randn(count, generator=generator), seed=0, draw=draw)
    for count in [5, 15]:
        add(f"few.fresh.n{count}", torch.randn(count, generator=torch.Generator().manual_seed(0)), seed=0)
    record.write()
