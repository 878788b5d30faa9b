"""Stage `classifier`: the judge, a small network that learned from rendered scenes alone what is in a picture.

It has never seen a picture of the diffusion model. Scenes are blurred, shifted and brightened at random while it learns,
since the pictures it will judge are softer than drawings.
"""

import json

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pool import Pool
from settings import Work, write_atomically
from training.fast_norm import extension, fuse
from training.loop import cosine, generators, train
from training.muon import Muon
from world.words import BACKGROUNDS, STYLES, SUBJECTS, TINTS

HELD_OUT = 1_024
KINDS = {"subject": len(SUBJECTS), "style": len(STYLES), "background": len(BACKGROUNDS), "tint": 1 + len(TINTS)}


class Classifier(nn.Module):
    """Pictures (n, 3, 128, 128) from -1 to 1 to a dictionary of logits. A pair has two right subjects."""

    def __init__(self, channels=(32, 64, 128, 256)):
        super().__init__()
        layers, width = [], 3
        for i, out in enumerate(channels):
            layers += self.layer(width, out, stride=2)
            if i > 0:
                layers += self.layer(out, out, stride=1)
            width = out
        self.features = nn.Sequential(*layers)
        self.heads = nn.ModuleDict({kind: nn.Linear(2 * width, classes) for kind, classes in KINDS.items()})

    @staticmethod
    def layer(inputs, outputs, stride):
        return [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.GroupNorm(8, outputs)]

    def use_fast_norm(self, work: Work):
        for module in self.features:
            if isinstance(module, nn.GroupNorm):
                fuse(module, True, extension(work.folder))
        return self.to(memory_format=torch.channels_last)

    def forward(self, x):
        features = self.features(x)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1)
        return {kind: head(pooled).float() for kind, head in self.heads.items()}


def labels(facts: dict) -> tuple[np.ndarray, list[int]]:
    """The subjects as a distribution, and the classes of style, background and tint."""
    subjects = np.zeros(len(SUBJECTS), "float32")
    for subject in facts["subjects"]:
        subjects[SUBJECTS.index(subject)] = 1 / len(facts["subjects"])
    tint = 1 + list(TINTS).index(facts["tint"]) if facts["tint"] else 0
    return subjects, [list(STYLES).index(facts["style"]), BACKGROUNDS.index(facts["background"]), tint]


def right(logits: dict, all_facts: list[dict]) -> dict[str, np.ndarray]:
    """For each picture and kind whether the answer is right. Of a pair both subjects must be the two first ones."""
    subject_logits = logits["subject"]
    answers = {kind: [] for kind in KINDS}
    for i, facts in enumerate(all_facts):
        first = subject_logits[i].topk(len(facts["subjects"])).indices.tolist()
        answers["subject"].append({SUBJECTS[j] for j in first} == set(facts["subjects"]))
        for kind, label in zip(("style", "background", "tint"), labels(facts)[1], strict=True):
            answers[kind].append(logits[kind][i].argmax().item() == label)
    return {kind: np.array(values) for kind, values in answers.items()}


def softened(x: torch.Tensor, rng) -> torch.Tensor:
    """A random shift, blur, brightness and grain, the same for the batch."""
    dy, dx = rng.integers(-5, 6, 2)
    x = F.pad(x, (5, 5, 5, 5), "replicate")[:, :, 5 + dy : 133 + dy, 5 + dx : 133 + dx]
    chance = rng.random()
    if chance < 0.25:
        x = F.interpolate(F.avg_pool2d(x, 2), size=128, mode="bilinear")
    elif chance < 0.6:
        sigma = rng.uniform(0.4, 1.3)
        taps = torch.exp(-0.5 * (torch.arange(-3, 4) / sigma) ** 2)
        taps = (taps / taps.sum()).repeat(3, 1)[:, None]
        x = F.conv2d(
            F.conv2d(x, taps[:, :, :, None], padding=(3, 0), groups=3), taps[:, :, None], padding=(0, 3), groups=3
        )
    x = x * float(rng.uniform(0.95, 1.05)) + float(rng.uniform(-0.03, 0.03))
    if rng.random() < 0.3:
        x = x + float(rng.uniform(0.01, 0.06)) * torch.from_numpy(rng.standard_normal(x.shape, "float32"))
    return x.contiguous(memory_format=torch.channels_last)


def load(work: Work) -> Classifier:
    model = Classifier()
    model.load_state_dict(torch.load(work / "classifier/classifier.pt"))
    return model.use_fast_norm(work).eval()


@torch.no_grad()
def classify(model: Classifier, pictures: torch.Tensor, batch: int = 64) -> dict:
    with torch.autocast("cpu", torch.bfloat16):
        parts = [model(x.contiguous(memory_format=torch.channels_last)) for x in pictures.split(batch)]
    return {kind: torch.cat([part[kind] for part in parts]) for kind in KINDS}


def make(work: Work) -> None:
    torch.manual_seed(5)
    pool = Pool(work)
    held_out = min(HELD_OUT, len(pool) // 4)
    all_labels = [labels(facts) for facts in pool.facts]
    subjects = torch.from_numpy(np.stack([s for s, _ in all_labels]))
    classes = torch.tensor([c for _, c in all_labels])
    model = Classifier().use_fast_norm(work)
    parameters = list(model.parameters())
    optimizer = Muon(list(model.named_parameters()), 2e-3)
    half = work.settings.classifier_batch // 2

    def job(_, seed):
        rng, _ = generators(5, seed)
        index = np.sort(rng.integers(held_out, len(pool), half))
        x = softened(pool.tensor(index), rng)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(x)
        subject = F.cross_entropy(logits["subject"], subjects[index], label_smoothing=0.02)
        others = [
            F.cross_entropy(logits[kind], classes[index, i], label_smoothing=0.02)
            for i, kind in enumerate(("style", "background", "tint"))
        ]
        loss = subject + 0.3 * sum(others)
        log = {"subject": subject.item(), "style_background_tint": sum(others).item() / 3}
        return torch.autograd.grad(loss, parameters), log, half

    def measure(count=256):
        index = np.arange(min(count, held_out))
        answers = right(classify(model, pool.tensor(index)), pool.facts[: len(index)])
        return {"n": len(index)} | {kind: round(float(values.mean()), 4) for kind, values in answers.items()}

    def save(folder):
        write_atomically(folder / "classifier.pt", lambda path: torch.save(model.state_dict(), path))

    steps = work.settings.classifier_steps
    train(
        "classifier",
        work,
        parameters,
        optimizer,
        job,
        lambda step: [0, 1],
        measure,
        save,
        steps=steps,
        schedule=cosine(steps),
        ema=0.99,
    )
    exact = measure_exactly(load(work), pool, held_out)
    write_atomically(work / "classifier/held_out.json", lambda path: path.write_text(json.dumps(exact, indent=1)))
    print("classifier: right on scenes it has not seen:", exact, flush=True)


def measure_exactly(model, pool: Pool, count: int) -> dict:
    """Over all scenes held out: single subjects by style, pairs, and the other kinds."""
    facts = pool.facts[:count]
    answers = right(classify(model, pool.tensor(np.arange(count))), facts)
    single = np.array([len(f["subjects"]) == 1 for f in facts])
    shares = {"scenes": count, "subject": answers["subject"][single].mean()}
    shares |= {f"subject, {s}": answers["subject"][single & [f["style"] == s for f in facts]].mean() for s in STYLES}
    shares |= {"both of a pair": answers["subject"][~single].mean()}
    shares |= {kind: answers[kind].mean() for kind in ("style", "background", "tint")}
    return {name: round(float(share), 4) for name, share in shares.items()}
