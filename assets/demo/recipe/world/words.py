"""What the world knows: subjects, colours, settings, styles, and how people ask for them."""

SUBJECTS = [
    *"puppy dog cat kitten skunk mouse leopard otter parrot dancer campfire snake snail bird panda giraffe".split(),
    *"fox bear lion tiger rabbit frog penguin owl horse elephant monkey koala pig cow chick duck flamingo".split(),
    *"hedgehog squirrel fish whale octopus crab turtle butterfly bee ladybug unicorn dragon dinosaur".split(),
    *"tree palm cactus sunflower rose mushroom".split(),
    *"apple banana strawberry pineapple watermelon pumpkin cake donut hamburger pizza".split(),
    *"car train bicycle sailboat airplane rocket house castle tent balloon umbrella guitar crown gift".split(),
    *["robot", "snowman", "ice cream", "teddy bear"],
]

# The subjects of fast.ai's lesson are drawn three times as often as the others.
LESSON_SUBJECTS = SUBJECTS[:16]

# The icon's name, where it is not the subject's.
ICONS = {
    "puppy": "dog-face",
    "kitten": "cat-face",
    "dancer": "woman-dancing",
    "campfire": "fire",
    "tiger": "tiger-face",
    "horse": "horse-face",
    "pig": "pig-face",
    "chick": "front-facing-baby-chick",
    "squirrel": "chipmunk",
    "fish": "tropical-fish",
    "whale": "spouting-whale",
    "bee": "honeybee",
    "ladybug": "lady-beetle",
    "dinosaur": "sauropod",
    "tree": "deciduous-tree",
    "palm": "palm-tree",
    "apple": "red-apple",
    "pumpkin": "jack-o-lantern",
    "cake": "birthday-cake",
    "donut": "doughnut",
    "car": "automobile",
    "train": "locomotive",
    "house": "house-with-garden",
    "gift": "wrapped-gift",
    "ice cream": "soft-ice-cream",
    "teddy bear": "teddy-bear",
}

# No ground under these.
FLOATING = {"balloon", "fish", "airplane", "butterfly", "bee", "rocket"}

SYNONYMS = {
    "rabbit": ["bunny"],
    "kitten": ["kitty"],
    "car": ["automobile"],
    "sailboat": ["boat"],
    "airplane": ["plane"],
    "bicycle": ["bike"],
    "dancer": ["dancing woman", "woman dancing"],
    "campfire": ["fire", "bonfire"],
    "leopard": ["cheetah"],
    "palm": ["palm tree"],
    "gift": ["present"],
    "ladybug": ["ladybird"],
    "donut": ["doughnut"],
    "squirrel": ["chipmunk"],
    "tiger": ["tiger face"],
    "hamburger": ["burger"],
    "chick": ["baby chicken"],
}

# Plain backgrounds.
COLORS = {
    "red": "#e5484d",
    "orange": "#f7933a",
    "yellow": "#ffd95e",
    "green": "#6cc070",
    "blue": "#4a90e2",
    "purple": "#8e6bd8",
    "pink": "#f7a8c4",
    "white": "#fbfbfb",
    "black": "#26262c",
    "gray": "#a9adb5",
    "brown": "#9a6b4a",
    "teal": "#3fb5ad",
}

# Colours of a subject: "a blue butterfly".
TINTS = {
    "red": "#e0353b",
    "orange": "#f28a24",
    "yellow": "#f5c52c",
    "green": "#4caf50",
    "blue": "#3f7fe0",
    "purple": "#8a57d4",
    "pink": "#f47fb0",
    "white": "#e9e9f0",
    "black": "#4a4a55",
}

SETTINGS = {
    "meadow": ["on the grass", "in a meadow", "in a green field", "on grass"],
    "snow": ["in the snow", "in winter"],
    "beach": ["on the beach", "on the sand"],
    "night": ["under the night sky", "at night", "under the moon"],
    "sea": ["by the sea", "on the water", "in the ocean"],
    "sunset": ["at sunset", "in the evening"],
    "forest": ["in the forest", "in the woods"],
    "space": ["in space", "among the stars"],
}

# How often a style is drawn, and its captions.
STYLES = {
    "3d": (
        34,
        [
            *["{}"] * 5,
            *["a picture of {}"] * 3,
            "an image of {}",
            "a photo of {}",
            "a 3d render of {}",
            "a 3d picture of {}",
        ],
    ),
    "flat": (
        9,
        [
            "a flat drawing of {}",
            "a flat illustration of {}",
            "flat design of {}",
            "a vector drawing of {}",
            "{}, flat style",
            "a drawing of {}",
        ],
    ),
    "cartoon": (
        12,
        ["a cartoon of {}", "{}, cartoon style", "a cartoon drawing of {}", "a cartoon picture of {}"],
    ),
    "sticker": (9, ["a sticker of {}", "{}, sticker style", "a sticker with {}"]),
    "watercolor": (
        10,
        [
            "a watercolor painting of {}",
            "a watercolor of {}",
            "{} in watercolor",
            "a watercolour painting of {}",
        ],
    ),
    "pixel": (6, ["pixel art of {}", "{} in pixel art", "a pixel art picture of {}"]),
}

# Whose drawings a style begins with.
ARTISTS = {
    "3d": "fluent-emoji-3d",
    "flat": "fluent-emoji-flat",
    "cartoon": "noto",
    "sticker": "twemoji",
    "watercolor": "noto",
    "pixel": "fluent-emoji-flat",
}

BACKGROUNDS = [*SETTINGS, *COLORS]
