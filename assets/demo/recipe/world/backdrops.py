"""The eight settings, drawn in SVG on a grid of 128 x 128, and the plain backgrounds.

Each setting has 24 variants, by a seeded generator. The calls of the generator are in the order in which the pool was drawn.
"""

import functools
import math
import random

import numpy as np
from PIL import Image

from .art import rasterized, rgb
from .words import COLORS, SETTINGS

VARIANTS = 24


class Drawing:
    """A list of SVG shapes."""

    def __init__(self):
        self.shapes, self.gradients = [], []

    def gradient(self, *colors, radial=False) -> str:
        stops = "".join(
            f'<stop offset="{i / (len(colors) - 1)}" stop-color="{color}"/>' for i, color in enumerate(colors)
        )
        name = f"g{len(self.gradients) + 1}"
        self.gradients.append(
            f'<radialGradient id="{name}">{stops}</radialGradient>'
            if radial
            else f'<linearGradient id="{name}" x1="0" y1="0" x2="0" y2="1">{stops}</linearGradient>'
        )
        return f"url(#{name})"

    def shape(self, element: str, fill: str, opacity=1):
        self.shapes.append(f'<{element} fill="{fill}" opacity="{opacity}"/>')

    def sky(self, *colors):
        self.shape('rect width="128" height="128"', self.gradient(*colors))

    def circle(self, x, y, r, fill, opacity=1, ry=None):
        self.shape(f'ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{r:.1f}" ry="{ry or r:.1f}"', fill, opacity)

    def rect(self, x, y, width, height, fill):
        self.shape(f'rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"', fill)

    def path(self, d, fill, opacity=1):
        self.shape(f'path d="{d}"', fill, opacity)

    def hill(self, y, amplitude, phase, fill, opacity=1):
        """Rolling ground from `y` down."""
        points = " ".join(f"{x} {y + amplitude * math.sin(x / 128 * 4.4 + phase):.1f}" for x in range(-4, 136, 4))
        self.path(f"M-4 140 L{points} L132 140Z", fill, opacity)

    def cloud(self, x, y, k, opacity=0.9):
        self.path(
            f"M{x - 11 * k:.1f} {y:.1f}a{5 * k:.1f} {5 * k:.1f} 0 0 1 {4 * k:.1f} {-7 * k:.1f}"
            f"a{7 * k:.1f} {7 * k:.1f} 0 0 1 {13 * k:.1f} {-1 * k:.1f}"
            f"a{5 * k:.1f} {5 * k:.1f} 0 0 1 {4 * k:.1f} {8 * k:.1f}z",
            "#fff",
            opacity,
        )

    def svg(self) -> str:
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 128 128">'
            f'<defs>{"".join(self.gradients)}</defs><rect width="128" height="128" fill="#fff"/>'
            f"{''.join(self.shapes)}</svg>"
        )


def meadow(d: Drawing, u, choice, y, across):
    d.sky("#7cc4fb", "#e8f7ff", "#fff")
    d.circle(across(106), 20, 20, d.gradient("#fff6c8", "#fff6c800", radial=True))
    d.circle(across(106), 20, 8, "#fff1a6")
    d.cloud(across(u(24, 40)), u(20, 32), u(0.9, 1.2))
    d.cloud(across(u(66, 80)), u(28, 40), u(0.6, 0.8), 0.75)
    d.hill(y - 6, 5, u(0, 6), d.gradient("#b4e38c", "#8fd06f"))
    d.hill(y + 3, 3, u(0, 6), d.gradient("#8ad25f", "#4aa63f"))
    for _ in range(9):
        d.circle(u(4, 124), u(y + 10, 124), 1.8, choice(["#fff", "#ffe66d", "#ff9ec4"]))


def snow(d: Drawing, u, choice, y, across):
    d.sky("#a9c9ef", "#dcebfb", "#f7fbff")
    d.hill(y - 8, 6, u(0, 6), d.gradient("#dfeaf8", "#c8daf0"))
    for i in range(3):
        x, h = across(10 + i * 13 + u(-2, 2)), u(20, 28)
        for w, t, color in ((8, 0, "#5f8f8a"), (6.5, h * 0.28, "#74a59e"), (4.5, h * 0.56, "#f2f8fd")):
            d.path(f"M{x - w} {y - t}L{x} {y - t - h * 0.5}L{x + w} {y - t}Z", color)
    d.hill(y + 2, 3, u(0, 6), d.gradient("#ffffff", "#cfdff2"))
    for _ in range(26):
        d.circle(u(0, 128), u(0, 128), u(0.9, 1.7), "#fff", 0.9)


def beach(d: Drawing, u, choice, y, across):
    d.sky("#58b9f5", "#c9eeff")
    d.circle(across(22), 20, 9, "#fff3b0")
    d.cloud(across(u(80, 104)), u(20, 30), u(0.8, 1.1))
    d.rect(0, y - 18, 128, 40, d.gradient("#1f8fd0", "#5fd2e2"))
    d.hill(y + 1, 2.5, u(0, 6), "#ffffff", 0.85)
    d.hill(y + 4, 2.5, u(0, 6), d.gradient("#fbe7b2", "#e6c27c"))
    for _ in range(3):
        d.circle(u(6, 122), u(y + 16, 122), 2, "#f2a98b", ry=1.6)


def night(d: Drawing, u, choice, y, across):
    d.sky("#0b1240", "#2a2f78", "#5a4f9e")
    x, moon_y = across(u(98, 108)), u(18, 26)
    for _ in range(30):
        d.circle(u(2, 126), u(2, y - 6), u(0.5, 1.3), "#fff", u(0.5, 1))
    d.circle(x, moon_y, 26, d.gradient("#fff7d0aa", "#fff7d000", radial=True))
    d.circle(x, moon_y, 11, d.gradient("#fffbe6", "#ffe9a0"))
    d.circle(x - 3, moon_y + 2, 2.4, "#f0d890")
    d.circle(x + 4, moon_y - 3, 1.8, "#f0d890")
    d.hill(y - 4, 6, u(0, 6), d.gradient("#2b3a78", "#1c2858"))
    d.hill(y + 5, 3, u(0, 6), d.gradient("#24406a", "#101c3c"))


def sea(d: Drawing, u, choice, y, across):
    d.sky("#8fd3ff", "#eefaff")
    d.circle(across(100), 24, 9, "#fff1a6")
    d.cloud(across(u(26, 44)), u(22, 32), u(0.9, 1.1))
    d.rect(-2, y - 14, 132, 80, d.gradient("#2f9fe0", "#0f5fb0"))
    for down, opacity in ((4, 0.5), (18, 0.55), (34, 0.6)):
        waves = "q6 -5 12 0q6 5 12 0" * 7
        d.path(
            f"M{-u(0, 20):.1f} {y + down - 6:.1f}{waves}V{y + down + 12:.1f}H-20Z",
            d.gradient("#7fd0f5", "#3f9fe000"),
            opacity,
        )


def sunset(d: Drawing, u, choice, y, across):
    d.sky("#43307f", "#b8477f", "#ff8b5c", "#ffd27a", "#ffd27a")
    x = u(50, 78)
    d.circle(x, y - 4, 34, d.gradient("#fff3b0cc", "#ffd27a00", radial=True))
    d.circle(x, y - 6, 14, d.gradient("#fff7cf", "#ffd95e"))
    d.path(f"M{across(8)} 30h26a3 3 0 0 0 0 -5h-8a6 6 0 0 0 -12 -1z", "#ff9f80", 0.55)
    d.hill(y - 2, 4, u(0, 6), d.gradient("#8a3f72", "#5e2f66"))
    d.hill(y + 6, 3, u(0, 6), d.gradient("#6a3a72", "#33204e"))


def forest(d: Drawing, u, choice, y, across):
    d.sky("#bfe9d0", "#eefbe8")
    for row, colors, count, h in ((0, ("#a8d8b4", "#8cc6a0"), 6, 44), (1, ("#63ad7c", "#3f8a60"), 4, 58)):
        for i in range(count):
            x = (i + 0.5) * 128 / count + u(-5, 5) + (0 if row == 0 else (-6 if i < count / 2 else 6))
            w, foot = h * 0.26, y + 4 + row * 3
            d.rect(x - 1.6, foot - 8, 3.2, 10, "#7a5a43")
            for s, t in ((1, 0), (0.8, 0.25), (0.58, 0.5)):
                low, top = foot - t * h - 5, foot - t * h - h * 0.5
                d.path(f"M{x - w * s:.1f} {low:.1f}L{x:.1f} {top:.1f}L{x + w * s:.1f} {low:.1f}Z", d.gradient(*colors))
    d.hill(y + 3, 2.5, u(0, 6), d.gradient("#7cc46a", "#3d8447"))
    for _ in range(6):
        d.circle(u(4, 124), u(y + 12, 124), 1.7, choice(["#ff7b6b", "#fff2c4"]))


def space(d: Drawing, u, choice, y, across):
    d.sky("#0a0a2c", "#24125a", "#4a1f78")
    d.circle(across(38), 50, 60, d.gradient("#8a3fd066", "#8a3fd000", radial=True))
    for _ in range(42):
        d.circle(u(2, 126), u(2, 126), u(0.5, 1.4), choice(["#fff", "#ffe9b0", "#bfe0ff"]), u(0.6, 1))
    x, planet_y = across(u(100, 108)), u(20, 28)
    d.circle(x, planet_y, 12, d.gradient("#ffc27a", "#d9627a"))
    d.path(f"M{x - 19} {planet_y + 4}q19 9 38 -8q-17 14 -38 8z", "#ffe3b0")
    d.circle(across(20), 106, 8, d.gradient("#8fe0e8", "#3f7fc0"))


DRAW = {
    "meadow": meadow,
    "snow": snow,
    "beach": beach,
    "night": night,
    "sea": sea,
    "sunset": sunset,
    "forest": forest,
    "space": space,
}


@functools.cache
def backdrop(name: str, variant: int, side: int) -> tuple[Image.Image, float]:
    """RGB background, and the height of its ground from 0 to 128."""
    if name in SETTINGS:
        r = random.Random(variant * 77 + 5)
        drawing = Drawing()
        y = r.uniform(76, 84)
        mirrored = r.random() < 0.5
        DRAW[name](drawing, r.uniform, r.choice, y, lambda x: 128 - x if mirrored else x)
        return rasterized(drawing.svg(), side).convert("RGB"), y
    # A soft light behind the subject.
    yy, xx = np.mgrid[0:side, 0:side] / side - 0.5
    glow = 1 - 2.2 * np.sqrt((xx * 0.9) ** 2 + (yy + 0.08) ** 2)
    strength = 10 if name in ("white", "black") else 20
    a = rgb(COLORS[name]) + glow[..., None] * strength * np.ones(3)
    return Image.fromarray(a.clip(0, 255).astype("uint8")), 128.0
