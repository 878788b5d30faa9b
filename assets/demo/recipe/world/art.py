"""Subjects as pictures with transparency, from four artists' emoji.

The art comes as npm packages. Licences: fluent-emoji-3d and fluent-emoji-flat MIT (Microsoft; the first as WebP by LobeHub),
noto Apache-2.0 (Google), twemoji CC-BY 4.0 (Twitter and other contributors).
"""

import functools
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from .words import ARTISTS, ICONS, TINTS

PACKAGES = {
    "fluent-emoji-flat": "@iconify-json/fluent-emoji-flat@1.2.6",
    "noto": "@iconify-json/noto@1.2.9",
    "twemoji": "@iconify-json/twemoji@1.2.5",
    "fluent-emoji-3d": "@lobehub/fluent-emoji-3d@1.1.0",
}
MASTER_SIZE = 256

# Set by `use_folder`; worker processes inherit it.
_folder = Path(os.environ.get("TIDEPOOL_RECIPE_ART", "art"))


def use_folder(folder: Path) -> None:
    global _folder
    _folder = folder
    os.environ["TIDEPOOL_RECIPE_ART"] = str(folder)


def fetch(folder: Path) -> None:
    """Download and unpack the packages that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, package in PACKAGES.items():
        target = folder / name
        if target.exists():
            continue
        packed = subprocess.run(
            ["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True, text=True
        )
        archive = folder / packed.stdout.split()[-1]
        unpacked = folder / f"{name}.part"
        with tarfile.open(archive) as tar:
            tar.extractall(unpacked, filter="data")
        unpacked.rename(target)
        archive.unlink()


def rgb(color: str) -> np.ndarray:
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)], "float32")


def rasterized(svg: str, side: int) -> Image.Image:
    import resvg_py

    return Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=side, height=side)))).convert(
        "RGBA"
    )


@functools.cache
def icon_set(artist: str) -> dict:
    return json.loads((_folder / artist / "package/icons.json").read_text())


@functools.cache
def codepoints() -> dict[str, str]:
    """The code points of an emoji by its name."""
    by_name = {}
    for point, names in json.loads((_folder / "noto/package/chars.json").read_text()).items():
        for name in names if isinstance(names, list) else [names]:
            by_name.setdefault(name, point)
    return by_name


def icon(artist: str, name: str) -> Image.Image:
    """One emoji of one artist, RGBA, 256 x 256."""
    if artist == "fluent-emoji-3d":
        point = codepoints()[name]
        assets = _folder / artist / "package/assets"
        file = next(f for f in (assets / f"{point}.webp", assets / f"{point}-fe0f.webp") if f.exists())
        return Image.open(file).convert("RGBA").resize((MASTER_SIZE, MASTER_SIZE), Image.LANCZOS)
    icons = icon_set(artist)
    entry = icons["icons"][icons.get("aliases", {}).get(name, {}).get("parent", name)]
    width, height = entry.get("width", icons.get("width")), entry.get("height", icons.get("height"))
    return rasterized(
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{entry.get("left", 0)} {entry.get("top", 0)} {width} {height}" width="{width}" height="{height}" '
        f'color="#222">{entry["body"]}</svg>',
        MASTER_SIZE,
    )


def on_logs(flame: Image.Image, artist: str) -> Image.Image:
    """A campfire: the emoji "fire" on two crossed logs."""
    bark = {"noto": "#7b5544", "twemoji": "#8a5a3c"}.get(artist, "#8f5a44")
    logs = "".join(
        f'<g transform="translate(128 212) rotate({angle})">'
        f'<rect x="-112" y="-17" width="224" height="34" rx="15" fill="{bark}"/>'
        '<ellipse cx="-104" rx="9" ry="15" fill="#e8b98a"/><ellipse cx="104" rx="9" ry="15" fill="#e8b98a"/></g>'
        for angle in (16, -16)
    )
    picture = Image.new("RGBA", (MASTER_SIZE, MASTER_SIZE))
    picture.alpha_composite(
        rasterized(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 256 256">{logs}</svg>', MASTER_SIZE)
    )
    flame = flame.crop(flame.getbbox())
    flame = flame.resize((round(flame.width * 190 / flame.height), 190), Image.LANCZOS)
    picture.alpha_composite(flame, ((MASTER_SIZE - flame.width) // 2, 14))
    return picture


def with_white_border(sprite: Image.Image, width: int = 9) -> Image.Image:
    """As a sticker is cut."""
    margin = width + 2
    padded = Image.new("RGBA", (sprite.width + 2 * margin, sprite.height + 2 * margin))
    padded.paste(sprite, (margin, margin))
    alpha = padded.getchannel("A").point(lambda a: 255 * (a > 60))
    for _ in range(2):
        alpha = alpha.filter(ImageFilter.MaxFilter(width | 1)).filter(ImageFilter.GaussianBlur(1.5))
        alpha = alpha.point(lambda a: min(255, max(0, (a - 64) * 3)))
    sticker = Image.new("RGBA", padded.size, (255, 255, 255, 0))
    sticker.putalpha(alpha)
    sticker.alpha_composite(padded)
    return sticker


def tinted(sprite: Image.Image, tint: str) -> Image.Image:
    """As shades of one colour: dark stays dark, light stays light."""
    a = np.asarray(sprite).astype("float32")
    light = a[..., :3] @ np.array([0.3, 0.59, 0.11], "float32") / 255
    low, high = np.percentile(light[a[..., 3] > 128], (4, 96))
    light = ((light - low) / max(0.2, high - low)).clip(0, 1)[..., None]
    color = rgb(TINTS[tint])
    a[..., :3] = np.where(
        light < 0.55, color * (0.22 + 0.78 * light / 0.55), color + (255 - color) * 0.8 * (light - 0.55) / 0.45
    )
    return Image.fromarray(a.astype("uint8"), "RGBA")


@functools.cache
def master(subject: str, style: str) -> Image.Image:
    """A subject in a style, trimmed, at 256 px."""
    artist = ARTISTS[style]
    picture = icon(artist, ICONS.get(subject, subject))
    if subject == "campfire":
        picture = on_logs(picture, artist)
    picture = picture.crop(picture.getchannel("A").point(lambda a: 255 * (a > 24)).getbbox())
    return with_white_border(picture) if style == "sticker" else picture


@functools.lru_cache(40_000)
def sprite(subject: str, style: str, tint: str, size: int, mirrored: bool) -> Image.Image:
    """A subject whose longer side is `size` px."""
    picture = master(subject, style)
    if tint and style != "sticker":
        picture = tinted(picture, tint)
    scale = size / max(picture.size)
    width, height = (max(4, round(side * scale)) for side in picture.size)
    picture = picture.resize((width, height), Image.LANCZOS, reducing_gap=3)
    return ImageOps.mirror(picture) if mirrored else picture
