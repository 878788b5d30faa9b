"""2,000 prompts that try a tokenizer: first the ones written by hand, then seeded mixtures."""

import random
import unicodedata

COUNT = 2000

PLAIN = [
    "", " ", "a", "A picture of a puppy.", "A watercolor painting of an otter", "A campfire (oil on canvas)", "a large fox in the snow",
    "pixel art of a puppy under the night sky", "A mouse in the style of <birb-style>", "a photograph of an astronaut riding a horse",
    "masterpiece, best quality, 8k, (highly detailed:1.3), [blurry], artstation", "lowres, bad anatomy, bad hands, text, error",
    "a puppy " * 60, "supercalifragilisticexpialidocious" * 12, "x" * 3000, "a " * 75, "a " * 76, "a " * 77, "1 " * 100, "," * 200,
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis", "zzzzqqqqxxxx", "aAaAaAa", "iPhone eBay McDonald's",
]
CONTRACTIONS = [
    "don't", "DON'T", "it's we're I've I'm you'll he'd can't", "'s 't 're 've 'm 'll 'd", "'S 'T 'RE", "''s", "'''ll", "rock'n'roll",
    "'tis the season", "y'all'd've", "dogs' bowls", "don\u2019t it\u2019s", "'", "''", "a'", "'a", "s's", "'sss", "'re're", "o'clock's",
    "'\u017f", "it'\u017f",
]
SPECIAL_TOKENS = [
    "<|startoftext|>", "<|endoftext|>", "a cat <|endoftext|> a dog", "a<|startoftext|>b", "<|ENDOFTEXT|>", "<|StartOfText|> x",
    "< |endoftext|>", "<|endoftext|", "|endoftext|>", "<|endoftext|><|endoftext|>", "<|endoftext|>s", "'s<|endoftext|>'s",
    "<|endoftext|> " * 80, "<end_of_text>", "</w>", "a</w> b</w>", "<unk>", "[PAD]", "\u0120a \u0122b",
]
WHITESPACE = [
    "a  b", "\ta\tb\t", "\na\r\nb\r", "a\u00a0b", "a\u2003b\u2009c\u200ad", "a\u3000b", "a\u2028b\u2029c", "a\x0bb\x0cc", "a\x85b",
    "a\x1cb\x1dc\x1ed\x1fe", "a\u200bb", "a\ufeffb", "\ufeffa", "a\u180eb", "a\u1680b", "a\u202fb\u205fc", "   ", "\n\n\n", "a\u2060b",
    "  leading and trailing  ", " ,  , ,", "a . b", "... ...", "a\u00adb",
]
CONTROLS = [
    "\0", "a\0b", "\0\0\0", "a\x01b\x02c", "\x7f", "\x1b[31mred\x1b[0m", "bell\x07", "\x80\x9f", "a\b\b", "null\0 \0terminated",
    "\u200e\u200fmarks", "\u202eoverride\u202c", "\u2066isolate\u2069", "\ufffd", "\ufffe", "\uffff", "\U0010ffff", "\U000f0000", "\ue000",
]
DIGITS = [
    "1", "12", "1234567890", "3.14159", "1,000,000", "4k 8K", "1990s", "2nd 3rd 1st", "0x1F", "\u00bd \u00be \u2153", "x\u00b2 + y\u00b3",
    "\u2460\u2461", "\u0661\u0662\u0663", "\u0967\u0968\u0969", "\u216b \u216f", "\uff11\uff12\uff13", "\U0001d7d8\U0001d7d9", "1e-5",
    "16:9", "50%", "#1", "$100", "\u4e00\u4e8c\u4e09", "a1b2c3", "r2d2 c3po",
]
ACCENTS = [
    "caf\u00e9", "cafe\u0301", "na\u00efve fa\u00e7ade", "nai\u0308ve fac\u0327ade", "\u00c5ngstr\u00f6m \u212bngstr\u00f6m A\u030angstrom",
    "S\u0323\u0307 \u1e69 s\u0307\u0323", "\u1e9b\u0323", "Z\u0351\u036b\u0343a\u0363\u0308l\u0367\u036bg\u0310o\u030a\u0302", "\u0301alone",
    "\u1ea4 \u1ebf vi\u1ec7t nam", "\u0130stanbul I\u0307 \u0131", "STRASSE stra\u00dfe STRA\u1e9eE", "\u039f\u0394\u039f\u03a3 \u03a3 \u03c2",
    "\u03a3\u0391\u03a3.", "\u01c4 \u01c5 \u01c6", "\u2126 \u03a9 \u212a K", "\ufb01 \ufb02 \ufb03", "\uff21\uff22\uff43", "\u1f88 \u1fb3",
    "\u0149", "\u00c6\u00d8\u00c5 \u00e6\u00f8\u00e5", "\u0152uvre", "\u0138", "\u2c7d \u02b0", "\u00aa \u00ba", "\u00b5 \u03bc",
    "\u0958 \u0915\u093c", "\u2adc", "\u1100\u1161\u11a8 \uac01", "\uf900 \u8c48", "\u10a0 \u1c90", "\u13a0 \uab70", "\u0345",
]
SCRIPTS = [
    "\u4e00\u53ea\u72d0\u72f8\u5728\u96ea\u5730\u91cc", "\u96ea\u306e\u4e2d\u306e\u72d0", "\u30ad\u30c4\u30cd \uff77\uff82\uff88 \u304c\u30ab\u3099", "\ub208 \uc18d\uc758 \uc5ec\uc6b0",
    "\u0644\u0648\u062d\u0629 \u0632\u064a\u062a\u064a\u0629 \u0644\u0642\u0637\u0629", "\u05d7\u05ea\u05d5\u05dc \u05d1\u05e9\u05dc\u05d2", "\u0e41\u0e21\u0e27\u0e43\u0e19\u0e2b\u0e34\u0e21\u0e30", "\u0939\u093f\u092e\u092a\u093e\u0924 \u092e\u0947\u0902 \u0932\u094b\u092e\u0921\u093c\u0940",
    "\u041b\u0438\u0441\u0430 \u0432 \u0441\u043d\u0435\u0433\u0443 \u0401\u0439", "\u0391\u03bb\u03b5\u03c0\u03bf\u03cd \u03c3\u03c4\u03bf \u03c7\u03b9\u03cc\u03bd\u03b9", "\u10db\u10d4\u10da\u10d0", "\u0531\u0572\u057e\u0565\u057d",
    "\u0baa\u0ba9\u0bbf\u0baf\u0bbf\u0bb2\u0bcd", "\u1780\u17b6\u1785\u1780", "\u12a0\u1260\u1263", "\u0641\u0627\u0631\u0633\u06cc \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\U00010330\U00010331", "\U00020000\U0002a6d6",
    "mixed \u05e2\u05d1\u05e8\u05d9\u05ea and english", "cat\u732bcat", "\u3042\u30fc\u3093\u3005\u3006",
]
EMOJI = [
    "\U0001f98a", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f3f3\ufe0f\u200d\U0001f308", "\U0001f44d\U0001f3fd", "\U0001f1eb\U0001f1f7\U0001f1e9\U0001f1ea", "1\ufe0f\u20e3", "\u2764\ufe0f \u2764",
    "\U0001f469\U0001f3fe\u200d\U0001f680", "a\U0001f98ab", "\U0001f98a\U0001f98a\U0001f98a", "\U0001f600!", ":-) ^_^ \u00af\\_(\u30c4)_/\u00af", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "\u2600 \u2601 \u2602", "\u2192 \u21d2 \u2200", "\u266a\u266b", "\u2018x\u2019 \u201cy\u201d \u00aby\u00bb", "em\u2014dash en\u2013dash", "\u2026", "\u2122 \u00a9 \u00ae", "\u20ac \u00a3 \u00a5",
]
PUNCTUATION = [
    "!!!", "?!?!", "a,b,c", "hello...world", "(((nested)))", "{a|b|c}", "[from:to:0.5]", "a_b-c+d=e", "C++ C# .NET", "http://example.com/a?b=c&d=e#f",
    "user@example.com", "\\n\\t\\0", "\"quoted\"", "`code`", "~/path/to/file.png", "a/b\\c", "<lora:name:0.8>", "100% & more", "a*b^c", "--ar 16:9",
    "#hashtag @mention", "!'s", "'s!", "a!'s b", "...'ll", "_", "__init__", "-", "--", "\\", "\x60\x60\x60", "\u00bf\u00a1", "\u3002\u3001", "a\u00b7b", "\u00b4 \u00a8 ^",
]
BY_HAND = PLAIN + CONTRACTIONS + SPECIAL_TOKENS + WHITESPACE + CONTROLS + DIGITS + ACCENTS + SCRIPTS + EMOJI + PUNCTUATION

SUBJECTS = (
    "puppy dog cat kitten skunk mouse leopard otter parrot dancer campfire snake snail bird fox bear panda lion frog penguin owl tree cactus "
    "rose apple car bicycle house boat rocket guitar horse fish whale butterfly elephant rabbit duck turtle octopus astronaut castle wizard "
    "lighthouse samurai cyborg teapot cathedral volcano hummingbird jellyfish skateboarder"
).split()
QUALITIES = "red orange yellow green blue purple pink small large tiny huge ancient glowing translucent rusty baroque iridescent sleepy".split()
PLACES = [
    "on a blue background", "on the grass", "in a meadow", "in the snow", "on the beach", "at night", "under the night sky", "by the sea",
    "at sunset", "inside a snow globe", "in the style of van gogh", "in New York City", "on Mars",
]
STYLES = [
    "a watercolor painting of", "a pencil sketch of", "pixel art of", "an oil painting of", "A photo of", "Concept art,", "an isometric render of",
    "a 35mm photograph of", "Ukiyo-e print of", "", "low-poly", "a 1920s poster of",
]
TAGS = [
    "trending on artstation", "8k", "4K UHD", "unreal engine 5", "f/1.8", "bokeh", "cinematic lighting", "highly-detailed", "HDR", "octane render",
    "by Claude Monet", "sharp focus", "volumetric fog", "ISO 100", "golden hour", "(masterpiece:1.2)", "[noisy]", "wide-angle",
]
BLOCKS = [(0x20, 0x7E), (0xA0, 0x24F), (0x250, 0x36F), (0x370, 0x52F), (0x590, 0x6FF), (0x900, 0xDFF), (0x1E00, 0x1FFF), (0x2000, 0x27BF),
          (0x3040, 0x30FF), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3), (0xFF01, 0xFFEE), (0x1F300, 0x1F64F), (0, 0x1F)]


def styled(rng: random.Random) -> str:
    subject = " ".join(rng.sample(QUALITIES, rng.randint(0, 2)) + [rng.choice(SUBJECTS)])
    text = f"{rng.choice(STYLES)} {rng.choice(['a', 'the', 'two', 'an'])} {subject} {rng.choice(PLACES)}".strip()
    tags = rng.sample(TAGS, rng.choice([0, 0, 1, 3, 8]))
    return ", ".join([text, *tags])


def mixed_case(rng: random.Random) -> str:
    return "".join(rng.choice([letter.upper(), letter.lower()]) for letter in styled(rng))


def pieces(rng: random.Random) -> str:
    """Hard pieces joined to one another with or without spaces."""
    pool = [piece for piece in BY_HAND if 0 < len(piece) < 60]
    return "".join(rng.choice(pool) + rng.choice(["", " ", "", ", ", "\t"]) for _ in range(rng.randint(2, 6)))


def random_letters(rng: random.Random) -> str:
    """Characters of one to three Unicode blocks; only those that Unicode 14 already had."""
    blocks = rng.sample(BLOCKS, rng.randint(1, 3))
    letters = [chr(rng.randint(*rng.choice(blocks))) for _ in range(rng.randint(1, 40))]
    return "".join(letter for letter in letters if unicodedata.category(letter) != "Cn")


def accented(rng: random.Random) -> str:
    marks = [chr(mark) for mark in [0x300, 0x301, 0x302, 0x303, 0x308, 0x30A, 0x323, 0x327, 0x328]]
    letters = [letter + "".join(rng.sample(marks, rng.choice([0, 0, 1, 2]))) for letter in styled(rng)]
    return unicodedata.normalize(rng.choice(["NFC", "NFD", "NFKC"]), "".join(letters))


def punctuated(rng: random.Random) -> str:
    letters = "abcdefgstmdrelv'.,!?-_()[]{}:;\"/\\|@#$%^&*+=<>~` 0123456789"
    return "".join(rng.choice(letters) for _ in range(rng.randint(1, 60)))


def long(rng: random.Random) -> str:
    return ", ".join(styled(rng) for _ in range(rng.randint(4, 20)))


def spaced(rng: random.Random) -> str:
    spaces = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u3000", " \t \n "]
    return rng.choice(["", *spaces]) + "".join(word + rng.choice(spaces) for word in styled(rng).split())


def prompts() -> list[str]:
    rng = random.Random(1234)
    kinds = [styled, styled, styled, styled, mixed_case, pieces, pieces, random_letters, random_letters, accented, punctuated, spaced, long]
    found = dict.fromkeys(BY_HAND)
    while len(found) < COUNT:
        found[rng.choice(kinds)(rng)] = None
    return list(found)
