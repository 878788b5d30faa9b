"""Small pictures in the forms that start images come in, written by Pillow: `data/pictures/whole.*`.

For each it checks what the facts expect of Tidepool: a picture that is cut short is refused, unless no pixel is missing.
"""

import io

import numpy
from PIL import Image

from record import DATA

WIDTH, HEIGHT = 40, 24
FORMS = {
    "baseline.jpg": {},
    "progressive.jpg": {"progressive": True},
    "restarts.jpg": {"restart_marker_blocks": 2},
    "grey.jpg": {},
    "lossy.webp": {},
    "lossless.webp": {"lossless": True},
    "plain.tif": {},
    "lzw.tif": {"compression": "tiff_lzw"},
    "deflate.tif": {"compression": "tiff_adobe_deflate"},
    "interlaced.gif": {"interlace": 1},
    "plain.gif": {"interlace": 0},
    "plain.bmp": {},
    "palette.bmp": {},
    "plain.png": {},
    "palette.png": {},
}


def picture() -> Image.Image:
    """Noise over a gradient, so that no part is as large as another once it is compressed."""
    y, x, channel = numpy.mgrid[0:HEIGHT, 0:WIDTH, 0:3]
    noise = numpy.random.RandomState(7).randint(0, 60, (HEIGHT, WIDTH, 3))
    return Image.fromarray(((x * 4 + y * (channel + 1) * 2 + noise) % 256).astype(numpy.uint8))


def decoded(content: bytes) -> bytes | None:
    try:
        return Image.open(io.BytesIO(content)).convert("RGB").tobytes()
    except (OSError, SyntaxError):
        return None


def main() -> None:
    folder = DATA / "pictures"
    folder.mkdir(exist_ok=True)
    for name, options in FORMS.items():
        mode = {"grey": "L", "palette": "P"}.get(name.split(".")[0], "RGB")
        path = folder / f"whole-{name}"
        picture().convert(mode).save(path, **options)
        content = path.read_bytes()
        whole = decoded(content)
        assert all(decoded(content[:cut]) in [None, whole] for cut in range(len(content))), name
        print(f"{path.name}: {len(content)} bytes")


if __name__ == "__main__":
    main()
