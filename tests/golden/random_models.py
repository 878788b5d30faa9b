"""Three small Stable Diffusion models of unlike shapes, with seeded random weights, as diffusers folders.

    python random_models.py --out DIR

Norm weights, biases and everything else that is commonly all ones or all zeros is random too, so that a part that is left out,
swapped or transposed shows. Weights are stored as f16; references are computed in f32 from exactly those values.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

# A small vocabulary in CLIP's format, so that these models stay as they are when the built-in one gets another.
TOKENIZER = Path(__file__).parent / "tokenizer"

SCHEDULER = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
}

# `attention_head_dim` means the number of heads, as in every SD 1.x and 2.x config: one number for all levels, or one a level.
NARROW = {
    "seed": 101,
    "text_encoder": {
        "vocab_size": 764, "hidden_size": 48, "intermediate_size": 112, "num_hidden_layers": 2, "num_attention_heads": 3,
        "max_position_embeddings": 77, "hidden_act": "gelu", "layer_norm_eps": 1e-5, "projection_dim": 48,
        "bos_token_id": 762, "eos_token_id": 763, "pad_token_id": 763,
    },
    "unet": {
        "sample_size": 16, "block_out_channels": [24, 40], "layers_per_block": 2, "attention_head_dim": 8,
        "cross_attention_dim": 48, "norm_num_groups": 8, "use_linear_projection": False,
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    },
    "vae": {
        "sample_size": 32, "block_out_channels": [16, 24], "layers_per_block": 1, "norm_num_groups": 4, "latent_channels": 4,
        "scaling_factor": 0.3, "down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2,
    },
}
WIDE = {
    "seed": 202,
    "text_encoder": {
        "vocab_size": 764, "hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4,
        "max_position_embeddings": 77, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "projection_dim": 64,
        "bos_token_id": 762, "eos_token_id": 763, "pad_token_id": 763,
    },
    "unet": {
        "sample_size": 16, "block_out_channels": [16, 24, 32], "layers_per_block": 1, "attention_head_dim": [2, 4, 4],
        "cross_attention_dim": 64, "norm_num_groups": 4, "use_linear_projection": True,
        "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    },
    "vae": {
        "sample_size": 64, "block_out_channels": [16, 16, 24], "layers_per_block": 2, "norm_num_groups": 8, "latent_channels": 4,
        "scaling_factor": 0.71, "down_block_types": ["DownEncoderBlock2D"] * 3, "up_block_types": ["UpDecoderBlock2D"] * 3,
    },
}
# As SD 2.x is in all that its folders tell: exact GELU, linear projections, heads of one width, padding with `!`, v-prediction.
VELOCITY = {
    "seed": 303,
    "scheduler": {"prediction_type": "v_prediction"},
    "padding": "!",
    "text_encoder": {
        "vocab_size": 764, "hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 3, "num_attention_heads": 4,
        "max_position_embeddings": 77, "hidden_act": "gelu", "layer_norm_eps": 1e-5, "projection_dim": 64,
        "bos_token_id": 762, "eos_token_id": 763, "pad_token_id": 0,
    },
    "unet": {
        "sample_size": 16, "block_out_channels": [16, 24, 32], "layers_per_block": 1, "attention_head_dim": [2, 3, 4],
        "cross_attention_dim": 64, "norm_num_groups": 8, "use_linear_projection": True, "upcast_attention": True,
        "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    },
    "vae": {
        "sample_size": 32, "block_out_channels": [16, 24], "layers_per_block": 1, "norm_num_groups": 8, "latent_channels": 4,
        "scaling_factor": 0.18215, "down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2,
    },
}
MODELS = {"narrow": NARROW, "wide": WIDE, "velocity": VELOCITY}


@torch.no_grad()
def randomize(module: torch.nn.Module, seed: int) -> None:
    """Fills every parameter, in name order, from one generator: matrices and kernels with variance 1 / fan-in, norm weights
    around 1, biases and embeddings small."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = {f"{name}.weight" for name, part in module.named_modules() if isinstance(part, torch.nn.Embedding)}
    for name, parameter in sorted(module.named_parameters()):
        values = torch.empty_like(parameter).normal_(generator=generator)
        if name in embeddings:
            values *= 0.5
        elif parameter.ndim > 1:
            values *= parameter[0].numel() ** -0.5
        elif name.endswith("bias"):
            values *= 0.1
        else:
            values = 1 + 0.2 * values
        parameter.copy_(values)


def save_part(module: torch.nn.Module, config: dict, folder: Path, weights: str, prefix: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tensors = {prefix + name: value.half().contiguous() for name, value in module.state_dict().items()}
    save_file(tensors, folder / weights, metadata={"format": "pt"})
    (folder / weights).chmod(0o644)


def write_model(description: dict, folder: Path, tokenizer: Path = TOKENIZER) -> None:
    """Writes a StableDiffusionPipeline folder. Works for full-size descriptions too."""
    folder.mkdir(parents=True, exist_ok=True)
    text_encoder = CLIPTextModel(CLIPTextConfig(**description["text_encoder"]))
    parts = [
        ("text_encoder", text_encoder, "model.safetensors", {"architectures": ["CLIPTextModel"], "model_type": "clip_text_model"}),
        ("unet", UNet2DConditionModel(**description["unet"]), "diffusion_pytorch_model.safetensors", {"_class_name": "UNet2DConditionModel"}),
        ("vae", AutoencoderKL(**description["vae"]), "diffusion_pytorch_model.safetensors", {"_class_name": "AutoencoderKL"}),
    ]
    for offset, (name, module, weights, header) in enumerate(parts):
        randomize(module, description["seed"] + offset)
        # transformers 5 drops the `text_model.` prefix in memory; SD 1.x folders have it on disk.
        bare = name == "text_encoder" and not any(key.startswith("text_model.") for key in module.state_dict())
        save_part(module, {**header, **description[name]}, folder / name, weights, "text_model." if bare else "")
    shutil.copytree(tokenizer, folder / "tokenizer", dirs_exist_ok=True)
    if padding := description.get("padding"):
        tokens = folder / "tokenizer" / "special_tokens_map.json"
        said = json.loads(tokens.read_text()) if tokens.exists() else {}
        tokens.write_text(json.dumps({**said, "pad_token": padding}, indent=2) + "\n")
    (folder / "scheduler").mkdir(exist_ok=True)
    scheduler = {**SCHEDULER, **description.get("scheduler", {})}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler, indent=2) + "\n")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "PNDMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "models")
    arguments = parser.parse_args()
    for name, description in MODELS.items():
        write_model(description, arguments.out / name)
        print(f"{name}: {sum(f.stat().st_size for f in (arguments.out / name).rglob('*') if f.is_file()) / 1e6:.2f} MB")
