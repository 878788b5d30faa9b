"""Captioned scenes. The same seed always gives the same scene, at 128 x 128 or sharper at 256 x 256."""

import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from .art import sprite
from .backdrops import VARIANTS, backdrop
from .filters import FILTERS, grid
from .words import BACKGROUNDS, COLORS, FLOATING, LESSON_SUBJECTS, SETTINGS, STYLES, SUBJECTS, SYNONYMS, TINTS

# The share of subjects that are turned to face the other way: none, which is one shape less to learn.
MIRRORED_SHARE = 0.0


@dataclass
class Plan:
    """What is in a scene, before anything is drawn. Empty strings: not said."""

    subjects: list[str]
    style: str
    background: str
    tint: str
    size: str
    side: str
    variant: int
    r: random.Random

    @property
    def is_pair(self) -> bool:
        return len(self.subjects) == 2

    def facts(self) -> dict:
        names = ("subjects", "style", "background", "tint", "size", "side")
        return {name: getattr(self, name) for name in names}


def plan(seed: int) -> Plan:
    r = random.Random(seed)
    style = r.choices(list(STYLES), [share for share, _ in STYLES.values()])[0]

    def subject():
        return r.choice(LESSON_SUBJECTS) if r.random() < 0.22 else r.choice(SUBJECTS)

    subjects = [subject()]
    if r.random() < 0.12:
        second = subject()
        if second != subjects[0]:
            subjects.append(second)
    pair = len(subjects) == 2
    tint = r.choice(list(TINTS)) if not pair and style != "sticker" and r.random() < 0.13 else ""
    if r.random() < 0.5:
        background = r.choice(list(SETTINGS))
    else:
        background = "white" if r.random() < 0.22 else r.choice(list(COLORS))
    if tint == background:
        tint = ""
    size = "" if pair or style == "pixel" else r.choices(["", "small", "large"], [70, 17, 13])[0]
    side = r.choice(["left", "right"]) if size == "small" and r.random() < 0.6 else ""
    return Plan(subjects, style, background, tint, size, side, r.randrange(VARIANTS), r)


def with_article(noun_phrase: str) -> str:
    vowel = noun_phrase[0] in "aeiou" and not noun_phrase.startswith("uni")
    return ("an " if vowel else "a ") + noun_phrase


def caption(p: Plan) -> str:
    """As people write it. Draws from the plan's generator: call it once, before `draw`."""
    r = p.r

    def word(subject):
        return r.choice(SYNONYMS[subject]) if subject in SYNONYMS and r.random() < 0.25 else subject

    adjective = r.choice(["cute", "little", "pretty"]) if r.random() < 0.06 and not p.size else ""
    if p.is_pair:
        text = " and ".join(with_article(word(s)) for s in p.subjects)
    else:
        words = (p.size, adjective, p.tint, word(p.subjects[0]))
        text = with_article(" ".join(w for w in words if w))
    if p.side:
        text += r.choice([f" on the {p.side}", f" at the {p.side}"])
    name = p.background
    if name in SETTINGS:
        text += " " + r.choice(SETTINGS[name])
    elif name != "white" or r.random() >= 0.7:  # white goes mostly without saying
        text += r.choice([f" on a {name} background", f" on {name}", f", {name} background"])
    return r.choice(STYLES[p.style][1]).format(text)


def with_shadow(image: Image.Image, x, y, width, height, opacity) -> Image.Image:
    """A soft dark ellipse on the ground, its centre at (x, y)."""
    yy, xx = grid(image.width)
    shade = np.exp(-((((xx - x) / width) ** 2 + ((yy - y) / height) ** 2) ** 1.2)) * opacity
    return Image.fromarray((np.asarray(image) * (1 - shade[..., None])).astype("uint8"))


def draw(p: Plan, side: int = 128) -> tuple[Image.Image, Image.Image]:
    """RGB picture, and where its subjects are: grey, a quarter of the side, a little wider than they are."""
    r, k = p.r, side / 128
    plain = p.background in COLORS
    image, ground = backdrop(p.background, 0 if plain else p.variant, side)
    image, mask = image.copy(), Image.new("L", (side, side))

    placed = []
    for i, subject in enumerate(p.subjects):
        if p.is_pair:
            size = r.choice((58, 60, 62))
        else:  # all three are drawn from, whichever is used: so the pool was made
            small, medium, large = r.choice((46, 48, 50)), r.choice((80, 84, 88)), r.choice((104, 106, 108))
            size = {"small": small, "": medium, "large": large}[p.size]
        mirrored = r.random() < MIRRORED_SHARE
        picture = sprite(subject, p.style, p.tint, round(size * k), mirrored)
        if p.is_pair:
            center = (34, 94)[i] + r.randint(-1, 1)
        else:
            center = {"left": 33, "right": 95, "": 64}[p.side] + r.randint(-3, 3)
        hovers = subject in FLOATING or p.background == "space"
        down = r.randint(-2, 2)
        if p.is_pair and (plain or hovers):
            bottom = (64 + 30 + down) * k
        elif plain or hovers:
            bottom = (64 + down) * k + picture.height / 2
        else:
            floor = {"small": ground + 18, "": 112, "large": 121}[p.size]
            bottom = min(124, floor - (4 if p.is_pair else 0) + down) * k
        if hovers and not plain and p.background != "space" and not p.is_pair:
            bottom -= 6 * k
        placed.append((picture, center * k, bottom, hovers and not plain))

    if p.style != "pixel":
        for picture, x, bottom, hovers in placed:
            if not hovers:
                width, height = picture.width * 0.46, max(3 * k, picture.width * 0.085)
                image = with_shadow(image, x, bottom - 1.5 * k, width, height, 0.34)
    for picture, x, bottom, _ in placed:
        left, top = x - picture.width / 2, bottom - picture.height
        if p.style == "sticker":
            shadow = Image.new("RGBA", picture.size, (20, 24, 40, 0))
            shadow.putalpha(picture.getchannel("A").point(lambda a: int(a * 0.3)))
            image.paste(shadow, (round(left + 1.5 * k), round(top + 2 * k)), shadow)
        corner = round(left), round(top)
        if p.style == "pixel":
            picture, corner = on_grid(picture, left, top, side // 32)
        image.paste(picture, corner, picture)
        mask.paste(255, corner, picture)
    if p.style in FILTERS:
        image = FILTERS[p.style](image, r, k)
    return image, mask.reduce(side // 32).filter(ImageFilter.MaxFilter(3))


def on_grid(picture: Image.Image, left: float, top: float, cell: int):
    """Crisp pixels of `cell` px, and the corner at the nearest of them."""
    small = picture.resize(tuple(max(1, round(s / cell)) for s in picture.size), Image.BOX)
    small.putalpha(small.getchannel("A").point(lambda a: 255 * (a > 110)))
    crisp = small.resize((small.width * cell, small.height * cell), Image.NEAREST)
    return crisp, (round(left / cell) * cell, round(top / cell) * cell)


def scene(seed: int, side: int = 128):
    """Picture, caption, facts, mask."""
    p = plan(seed)
    text = caption(p)
    image, mask = draw(p, side)
    return image, text, p.facts(), mask


def contact_sheet(images: list[Image.Image], columns: int) -> Image.Image:
    width, height = images[0].size
    sheet = Image.new("RGB", (columns * width, -(-len(images) // columns) * height))
    for i, image in enumerate(images):
        sheet.paste(image, (i % columns * width, i // columns * height))
    return sheet


def targets(facts: dict) -> list[int]:
    """A scene's facts as class numbers: subject, second subject, tint, background, style, size, side."""
    subjects = facts["subjects"]
    second = 1 + SUBJECTS.index(subjects[1]) if len(subjects) == 2 else 0
    return [
        1 + SUBJECTS.index(subjects[0]),
        second,
        1 + list(TINTS).index(facts["tint"]) if facts["tint"] else 0,
        BACKGROUNDS.index(facts["background"]),
        list(STYLES).index(facts["style"]),
        ["", "small", "large"].index(facts["size"]),
        ["", "left", "right"].index(facts["side"]),
    ]


TARGET_CLASSES = [1 + len(SUBJECTS), 1 + len(SUBJECTS), 1 + len(TINTS), len(BACKGROUNDS), len(STYLES), 3, 3]
