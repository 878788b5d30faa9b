"""Stage `judge`: how good is it? Prints the model card's table, and writes contact sheets.

The captions are of scenes that no part of the model, and not the classifier either, has seen. The pictures come from the
exported pipeline, f16 weights computed in bf16, by 30 steps of Euler.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPVisionModelWithProjection

import classifier
from autoencoder import mean_ssim
from concepts import CONCEPTS, ExtendedEmbedding, ids_with_concept, style_scene
from image_encoder import normalized, pooled_captions, retrieval
from sampling import Sampler, to_images
from settings import Work, write_array, write_atomically, write_text
from training import fast_norm
from world.scenes import contact_sheet, scene
from world.words import SETTINGS, STYLES, SUBJECTS

FIRST_SEED = 900_000
GUIDANCES = (5.0, 7.5)
ROUND_TRIPS = 256
SHEET = 64
CHUNK = 100


def held_out_scenes(count: int):
    scenes = [scene(FIRST_SEED + i) for i in range(count)]
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image, *_ in scenes]))
    pictures = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
    return pictures, [caption for _, caption, _, _ in scenes], [facts for _, _, facts, _ in scenes]


def shares_right(answers: dict, facts: list[dict]) -> dict[str, tuple[float, int]]:
    """The rows of the table: share and count."""
    single = np.array([len(f["subjects"]) == 1 for f in facts])
    plain = np.array([f["style"] == "3d" for f in facts])
    setting = np.array([f["background"] in SETTINGS for f in facts])
    tinted = np.array([bool(f["tint"]) for f in facts])
    rows = {
        "subject, plain captions": ("subject", single & plain),
        "subject, styled captions": ("subject", single & ~plain),
        "both subjects of a pair": ("subject", ~single),
        "setting": ("background", setting),
        "background": ("background", ~setting),
        "tint": ("tint", tinted),
        "style": ("style", np.ones(len(facts), bool)),
    }
    rows |= {f"subject, {style}": ("subject", single & [f["style"] == style for f in facts]) for style in STYLES}
    rows |= {f"style, {style}": ("style", np.array([f["style"] == style for f in facts])) for style in STYLES}
    return {
        name: (round(float(answers[kind][chosen].mean()), 4) if chosen.any() else float("nan"), int(chosen.sum()))
        for name, (kind, chosen) in rows.items()
    }


def weakest_subjects(right: np.ndarray, facts: list[dict], count: int = 10) -> dict[str, str]:
    tally = {subject: [0, 0] for subject in SUBJECTS}
    for ok, f in zip(right, facts):
        if len(f["subjects"]) == 1:
            tally[f["subjects"][0]][0] += int(ok)
            tally[f["subjects"][0]][1] += 1
    seen = {subject: (k, n) for subject, (k, n) in tally.items() if n}
    order = sorted(seen, key=lambda subject: seen[subject][0] / seen[subject][1])
    return {subject: f"{seen[subject][0]} of {seen[subject][1]}" for subject in order[:count]}


@torch.no_grad()
def round_trip(work: Work, pictures) -> dict[str, float]:
    vae = AutoencoderKL.from_pretrained(work / "model/vae").float().eval().to(memory_format=torch.channels_last)
    psnr, ssim = [], []
    for x in pictures.split(4):
        y = vae(x.contiguous(memory_format=torch.channels_last)).sample.clamp(-1, 1)
        psnr += (-10 * ((x - y) / 2).pow(2).mean((1, 2, 3)).log10()).tolist()
        ssim += [mean_ssim(a[None] / 2 + 0.5, b[None] / 2 + 0.5) for a, b in zip(x, y)]
    return {"psnr": round(float(np.mean(psnr)), 2), "ssim": round(float(np.mean(ssim)), 4)}


class ExportedClip:
    """Both towers as the pipeline's folder holds them."""

    def __init__(self, work: Work):
        model = work / "model"
        self.work = work
        self.text_encoder = CLIPTextModel.from_pretrained(model / "text_encoder").float().eval()
        self.projection = load_file(model / "text_encoder/model.safetensors")["text_projection.weight"].float()
        self.vision = CLIPVisionModelWithProjection.from_pretrained(model / "image_encoder").float().eval()

    @torch.no_grad()
    def images(self, pictures):
        parts = []
        for x in pictures.split(64):
            with torch.autocast("cpu", torch.bfloat16):
                parts.append(self.vision(normalized(x)).image_embeds.float())
        return F.normalize(torch.cat(parts), dim=1)

    def texts(self, captions):
        return F.normalize(pooled_captions(self.work, captions, self.text_encoder).float() @ self.projection.T, dim=1)


def generated(work: Work, captions: list[str], guidance: float) -> torch.Tensor:
    """A chunk of pictures is made once, and afterwards read from the disk."""
    sampler, parts = None, []
    for first in range(0, len(captions), CHUNK):
        chunk = captions[first : first + CHUNK]
        name = work / "judge" / f"guidance-{guidance}-{first:04}-{len(chunk)}.npy"
        if not name.exists():
            sampler = sampler or Sampler(work, work / "model")
            pictures = sampler(chunk, guidance, work.settings.sampling_steps, first_seed=first)
            write_array(name, ((pictures + 1) * 127.5).round().byte().numpy())
            print(f"judge: guidance {guidance}, {first + len(chunk)} pictures", flush=True)
        parts.append(torch.from_numpy(np.load(name)).float() / 127.5 - 1)
    return torch.cat(parts)


def save_sheet(path: Path, pictures) -> None:
    sheet = contact_sheet(to_images(pictures), 8)
    write_atomically(path, lambda temporary: sheet.save(temporary, "png"))


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def make(work: Work) -> None:
    count = work.settings.judged_captions
    pictures, captions, facts = held_out_scenes(count)
    model = classifier.load(work)
    results = {"captions": count, "round trip": round_trip(work, pictures[:ROUND_TRIPS])}

    clip, among = ExportedClip(work), min(100, count)
    text_features, image_features = clip.texts(captions), clip.images(pictures)
    results["caption of a picture among 100"] = retrieval(image_features, text_features, among)
    results["picture of a caption among 100"] = retrieval(text_features, image_features, among)

    columns = {"drawn": pictures} | {guidance: generated(work, captions, guidance) for guidance in GUIDANCES}
    table = {}
    for name, column in columns.items():
        answers = classifier.right(classifier.classify(model, column), facts)
        table[name] = shares_right(answers, facts)
        results[f"{name}"] = table[name] | {"weakest subjects": weakest_subjects(answers["subject"], facts)}
        results[f"{name}"]["caption among 100"] = retrieval(clip.images(column), text_features, among)
        if name != "drawn":
            save_sheet(work / f"judge/guidance-{name}.png", column[:SHEET])
            wrong = np.flatnonzero(~answers["subject"])[:SHEET]
            if len(wrong):
                save_sheet(work / f"judge/wrong-{name}.png", column[wrong])
                lines = "\n".join(f"{i} {captions[i]}" for i in wrong)
                write_text(work / f"judge/wrong-{name}.txt", lines + "\n")
    round_trips(work, pictures[:24])
    concept_sheets(work)
    write_text(work / "judge/captions.txt", "\n".join(captions) + "\n")
    write_text(work / "judge/results.json", json.dumps(results, indent=1) + "\n")

    goals = {"subject, plain captions": 0.97, "subject, styled captions": 0.92, "both subjects of a pair": 0.75}
    goals |= dict.fromkeys(("setting", "background", "tint", "style"), 0.95)
    lines = ["| right | of | goal | guidance 5 | guidance 7.5 | on drawn scenes |", "|---|---|---|---|---|---|"]
    for row, (drawn, number) in table["drawn"].items():
        goal = percent(goals[row]) if row in goals else ""
        cells = [percent(table[guidance][row][0]) for guidance in GUIDANCES]
        lines.append(f"| {row} | {number} | {goal} | {' | '.join(cells)} | {percent(drawn)} |")
    trip = results["round trip"]
    lines += [
        "",
        f"Round trip of the autoencoder: {trip['psnr']} dB, SSIM {trip['ssim']} (goals 30 dB, 0.94).",
        f"CLIP, caption of a picture among 100: {percent(results['caption of a picture among 100'])} (goal 80 %); "
        f"picture of a caption: {percent(results['picture of a caption among 100'])}.",
    ]
    write_text(work / "judge/table.md", "\n".join(lines) + "\n")
    print("\n".join(lines), flush=True)
    for guidance in GUIDANCES:
        print(f"weakest subjects, guidance {guidance}:", results[f"{guidance}"]["weakest subjects"], flush=True)


@torch.no_grad()
def round_trips(work: Work, pictures) -> None:
    """Rows of scenes over rows of what the autoencoder makes of them."""
    vae = AutoencoderKL.from_pretrained(work / "model/vae").float().eval().to(memory_format=torch.channels_last)
    fast_norm.install(vae, work.folder)
    rows = []
    for x in pictures.split(8):
        rows += [x, vae(x).sample.clamp(-1, 1)]
    save_sheet(work / "judge/round-trips.png", torch.cat(rows))


@torch.no_grad()
def concept_sheets(work: Work) -> None:
    """Eight captions with each concept."""
    subjects = ["mouse", "puppy", "parrot", "castle", "snail", "guitar", "panda", "rose"]
    places = [
        "",
        " on the beach",
        " in the snow",
        " on a blue background",
        " at night",
        " in the forest",
        " on yellow",
        " in space",
    ]
    sampler = Sampler(work, work / "model")
    table = sampler.text.get_input_embeddings().weight
    rows = []
    for concept in CONCEPTS:
        saved = torch.load(work / "model/concepts" / concept.name / "learned_embeds.bin")
        (vectors,) = saved.values()
        vectors = vectors.reshape(-1, table.shape[1])
        sampler.text.set_input_embeddings(ExtendedEmbedding(table, vectors))
        if concept.scene is style_scene:
            captions = [f"a {subject} in the style of *" for subject in subjects]
        else:
            captions = [f"a *{place}" for place in places]
        ids = torch.stack([ids_with_concept(sampler.tokenizer, c, len(vectors)) for c in captions])
        hidden = sampler.text(ids).last_hidden_state
        rows.append(sampler.sample(hidden, range(len(ids)), 7.5, work.settings.sampling_steps))
    save_sheet(work / "judge/concepts.png", torch.cat(rows))
