"""Stage `export`: put the parts together as a diffusers pipeline in f16, and see that it is whole."""

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPVisionModelWithProjection

from concepts import CONCEPTS
from image_encoder import MEAN, STD
from pool import SIDE
from settings import Work, write_text

CHECKED_CAPTION = "a fox in the snow"


def make(work: Work) -> None:
    out = work / "model"
    shutil.rmtree(out, ignore_errors=True)
    export_vae(work, out / "vae")
    unet = UNet2DConditionModel.from_pretrained(work / "unet/unet").half()
    unet.save_pretrained(out / "unet")
    export_text_encoder(work, out / "text_encoder")
    export_image_encoder(work, out / "image_encoder")
    shutil.copytree(work / "tokenizer", out / "tokenizer")
    PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        num_train_timesteps=1000,
        skip_prk_steps=True,
        set_alpha_to_one=False,
        steps_offset=1,
    ).save_pretrained(out / "scheduler")
    for concept in CONCEPTS:
        target = out / "concepts" / concept.name / "learned_embeds.bin"
        target.parent.mkdir(parents=True)
        shutil.copy(work / "concepts" / concept.name / "learned_embeds.bin", target)
    for config in out.glob("*/config.json"):
        content = json.loads(config.read_text())
        content.pop("_name_or_path", None)
        write_text(config, json.dumps(content, indent=2) + "\n")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.42.0",
        "feature_extractor": [None, None],
        "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "PNDMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    write_text(out / "model_index.json", json.dumps(index, indent=2) + "\n")
    check(work, out)


def export_vae(work: Work, folder: Path) -> None:
    vae = AutoencoderKL.from_pretrained(work / "autoencoder").half()
    scale = json.loads((work / "unet/scaling_factor.json").read_text())
    vae.register_to_config(scaling_factor=round(scale, 6))
    vae.save_pretrained(folder)


def export_text_encoder(work: Work, folder: Path) -> None:
    """Names begin with `text_model.`, as in the folders of Stable Diffusion 1.x; and there is CLIP's projection."""
    text = CLIPTextModel.from_pretrained(work / "unet/text_encoder").half()
    text.save_pretrained(folder)
    weights = {}
    for name, weight in text.state_dict().items():
        if not name.endswith("position_ids"):
            weights[name if name.startswith("text_model.") else f"text_model.{name}"] = weight.contiguous()
    projection = torch.load(work / "image_encoder/text_projection.pt")
    weights["text_projection.weight"] = projection["text_projection.weight"].half().contiguous()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def export_image_encoder(work: Work, folder: Path) -> None:
    vision = CLIPVisionModelWithProjection.from_pretrained(work / "image_encoder/image_encoder").half()
    scale = torch.load(work / "image_encoder/text_projection.pt")["logit_scale"]
    vision.config.logit_scale = round(scale.item(), 4)
    vision.save_pretrained(folder)
    side = {"height": SIDE, "width": SIDE}
    processor = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": SIDE},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": side,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": MEAN,
        "image_std": STD,
        "do_convert_rgb": True,
    }
    write_text(folder / "preprocessor_config.json", json.dumps(processor, indent=2) + "\n")


@torch.no_grad()
def check(work: Work, out: Path) -> None:
    """The pipeline loads in diffusers, and draws in f32 what the parts draw that were trained."""

    def picture(pipe):
        generator = torch.Generator().manual_seed(1)
        images = pipe(
            CHECKED_CAPTION,
            num_inference_steps=10,
            guidance_scale=5.0,
            height=SIDE,
            width=SIDE,
            generator=generator,
            output_type="pt",
        ).images
        return images[0]

    exported = StableDiffusionPipeline.from_pretrained(out, torch_dtype=torch.float32)
    exported.set_progress_bar_config(disable=True)
    trained = StableDiffusionPipeline.from_pretrained(
        out,
        torch_dtype=torch.float32,
        unet=UNet2DConditionModel.from_pretrained(work / "unet/unet"),
        text_encoder=CLIPTextModel.from_pretrained(work / "unet/text_encoder"),
        vae=AutoencoderKL.from_pretrained(work / "autoencoder", scaling_factor=exported.vae.config.scaling_factor),
    )
    trained.set_progress_bar_config(disable=True)
    mse = (picture(exported) - picture(trained)).pow(2).mean().item()
    psnr = -10 * torch.log10(torch.tensor(max(mse, 1e-12))).item()
    sizes = {p.name: sum(f.stat().st_size for f in p.rglob("*")) for p in out.iterdir() if p.is_dir()}
    total = sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
    print(f"export: PSNR to the picture before export {psnr:.1f} dB; {total / 1e6:.1f} MB: {sizes}", flush=True)
    if psnr < 35:
        raise SystemExit("the exported pipeline draws another picture than the trained parts")
    for concept in CONCEPTS:
        exported.load_textual_inversion(out / "concepts" / concept.name / "learned_embeds.bin")
