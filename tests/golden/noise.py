"""torch's CPU noise: whole-tensor hashes, a generator that continues, and the other path for fewer than 16 values. Noise of
NVIDIA cards: Philox in whole-number arithmetic of Python and the normal numbers in numpy, as AUTOMATIC1111 makes them."""

import hashlib

import numpy as np
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


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 of Salmon et al. (2011), section 3.3."""
    mask = 2**32 - 1
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        left, right = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (right >> 32) ^ c1 ^ k0, right & mask, (left >> 32) ^ c3 ^ k1, left & mask
        k0, k1 = (k0 + 0x9E3779B9) & mask, (k1 + 0xBB67AE85) & mask
    return [c0, c1, c2, c3]


def nvidia(seed: int, draw: int, count: int) -> np.ndarray:
    """The normal numbers of a generator's n-th draw: one Philox block each, of which two words are used."""
    words = [philox([draw, 0, i, 0], [seed & (2**32 - 1), seed >> 32]) for i in range(count)]
    first, second = (np.array([word[k] for word in words], dtype=np.float64) for k in [0, 1])
    turn, angle = np.float32(2.3283064e-10), np.float32(2.3283064e-10 * 6.2831855)
    u = first * np.float64(turn) + np.float64(turn / 2)
    v = second * np.float64(angle) + np.float64(angle / 2)
    return (np.sqrt(-2 * np.log(u)) * np.sin(v)).astype(np.float32)


def make_nvidia() -> None:
    record = Record("nvidia-noise", names="seedSEED.DRAW: 256 values")
    for seed in [*SEEDS, 2**64 - 1]:
        for draw in [0, 1, 2]:
            record.add(f"seed{seed}.{draw}", torch.from_numpy(nvidia(seed, draw, 256)))
    record.write()


def make() -> None:
    make_nvidia()
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

    # One generator, draw after draw. 3x4x9x13 = 1404 is not a multiple of 16: its last 16 values are drawn again.
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
