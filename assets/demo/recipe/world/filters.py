"""Styles by hand: what turns a finished scene into a watercolour or into pixel art."""

import functools

import numpy as np
from PIL import Image, ImageFilter


@functools.cache
def noise(cells: int, seed: int, side: int) -> np.ndarray:
    """Smooth noise from about -1 to 1, `cells` across; the same field at every size."""
    a = np.random.default_rng(seed).normal(0, 0.5, (cells, cells)).clip(-1, 1).astype("float32")
    return np.asarray(Image.fromarray(a, "F").resize((side, side), Image.BICUBIC))


@functools.cache
def grid(side: int) -> np.ndarray:
    return np.mgrid[0:side, 0:side].astype("float32")


def to_unit_range(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype("float32") / 255


def from_unit_range(a: np.ndarray) -> Image.Image:
    return Image.fromarray((a * 255).clip(0, 255).astype("uint8"))


def blurred(image: Image.Image, radius: float) -> np.ndarray:
    return to_unit_range(image.filter(ImageFilter.GaussianBlur(radius)))


def warped(a: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> np.ndarray:
    """`a` with each pixel taken from (dy, dx) away, bilinear."""
    side = a.shape[0]
    y, x = grid(side)
    y, x = (y + dy).clip(0, side - 1.01), (x + dx).clip(0, side - 1.01)
    i, j = y.astype(int), x.astype(int)
    fy, fx = (y - i)[..., None], (x - j)[..., None]
    upper = a[i, j] * (1 - fx) + a[i, j + 1] * fx
    lower = a[i + 1, j] * (1 - fx) + a[i + 1, j + 1] * fx
    return upper * (1 - fy) + lower * fy


def watercolor(image: Image.Image, r, k: float) -> Image.Image:
    """`r`: the scene's generator. `k`: pixels per unit of a 128 grid."""
    side = image.width
    n = r.randint(0, 5)
    wet = warped(to_unit_range(image), noise(14, n, side) * 1.3 * k, noise(14, n + 50, side) * 1.3 * k)
    wet = from_unit_range(wet)
    pigment = 1 - blurred(wet, 0.5 * k)
    # It gathers at edges, and settles unevenly.
    edges = np.abs(blurred(wet, 0.8 * k) - blurred(wet, 3 * k)).max(2, keepdims=True)
    uneven = 0.74 + 0.3 * noise(7, n + 10, side) + 0.16 * noise(18, n + 20, side)
    pigment = pigment * uneven[..., None] + 0.5 * edges
    # Bare paper around the wash.
    y, x = grid(side)
    border = np.minimum.reduce([x, y, side - 1 - x, side - 1 - y]) / k
    border = border + 5 * noise(10, n + 30, side) + 2 * noise(26, n + 40, side)
    wash = ((border - 5) / 3).clip(0, 1)[..., None]
    paper = np.array([1.0, 0.99, 0.965], "float32")
    return from_unit_range((1 - pigment.clip(0, 1) * wash * 0.94) * paper - 0.012 * noise(64, 9, side)[..., None])


def pixel(image: Image.Image, r, k: float) -> Image.Image:
    small = image.resize((32, 32), Image.BOX).quantize(28, dither=0).convert("RGB")
    return small.resize(image.size, Image.NEAREST)


FILTERS = {"watercolor": watercolor, "pixel": pixel}
