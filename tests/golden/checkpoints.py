"""Checkpoints and concepts in the forms that programs write, to be opened by Tidepool.

    python checkpoints.py                     writes the small fixtures under data/checkpoints
    python checkpoints.py --model DIR [--full | --sd2] writes one random model in every form, for the check that is run by hand

The names of the original layout are made here by the rules of its source and then given to diffusers' own converter, which must
give back the model they came from.
"""

import argparse
import collections
import datetime
import functools
import json
import shutil
import sys
import types
from pathlib import Path

import numpy
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from random_models import SCHEDULER, randomize, write_model

HERE = Path(__file__).parent
DATA = HERE / "data" / "checkpoints"
# Single-file checkpoints have no vocabulary: that of a small one is the built-in model's.
TOKENIZER = HERE.parents[1] / "assets/demo/tokenizer"

# SD 1.5 in all that shapes do not tell, so that one file is enough. More words than the built-in model will ever have.
SMALL = {
    "seed": 303,
    "text_encoder": {
        "vocab_size": 2048, "hidden_size": 128, "intermediate_size": 160, "num_hidden_layers": 2, "num_attention_heads": 2,
        "max_position_embeddings": 77, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "projection_dim": 128,
        "bos_token_id": 2046, "eos_token_id": 2047, "pad_token_id": 2047,
    },
    "unet": {
        "sample_size": 64, "block_out_channels": [32, 32, 64], "layers_per_block": 2, "attention_head_dim": 8,
        "cross_attention_dim": 128, "norm_num_groups": 32, "use_linear_projection": False,
        "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    },
    "vae": {
        "sample_size": 512, "block_out_channels": [32, 32, 64], "layers_per_block": 2, "norm_num_groups": 32, "latent_channels": 4,
        "scaling_factor": 0.18215, "down_block_types": ["DownEncoderBlock2D"] * 3, "up_block_types": ["UpDecoderBlock2D"] * 3,
    },
}
FULL = {
    "seed": 404,
    "text_encoder": {
        **SMALL["text_encoder"], "vocab_size": 49408, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
        "num_attention_heads": 12, "projection_dim": 768, "bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407,
    },
    "unet": {
        **SMALL["unet"], "block_out_channels": [320, 640, 1280, 1280], "cross_attention_dim": 768,
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    },
    "vae": {
        **SMALL["vae"], "block_out_channels": [128, 256, 512, 512], "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
    },
}
# The same of SD 2.x, whose heads are all 64 wide. One-file checkpoints have a layer of the text encoder more than is used.
SMALL_SD2 = {
    **SMALL, "seed": 507, "padding": "!", "scheduler": {"prediction_type": "v_prediction"},
    "text_encoder": {**SMALL["text_encoder"], "hidden_act": "gelu", "pad_token_id": 0},
    "unet": {
        **SMALL["unet"], "sample_size": 96, "block_out_channels": [64, 64, 128], "attention_head_dim": [1, 1, 2],
        "use_linear_projection": True,
    },
}
OPEN_CLIP = {
    "text_model.": "", "embeddings.token_embedding": "token_embedding", "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm": "ln_final", "encoder.layers": "transformer.resblocks", "self_attn": "attn", "layer_norm1": "ln_1",
    "layer_norm2": "ln_2", "fc1": "c_fc", "fc2": "c_proj",
}
RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}


def unet_name(name: str, config: dict) -> str:
    """Where ldm's `UNetModel` has this weight: its constructor appends blocks to three lists."""
    kinds, layers = config["down_block_types"], config["layers_per_block"]
    top = {"conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
           "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2"}
    stem, _, last = name.rpartition(".")
    if stem in top:
        return f"model.diffusion_model.{top[stem]}.{last}"
    parts = name.split(".")
    if parts[0] == "mid_block":
        kind, index, rest = parts[1], int(parts[2]), parts[3:]
        place = "middle_block.1" if kind == "attentions" else f"middle_block.{2 * index}"
    else:
        level, kind, index, rest = int(parts[1]), parts[2], int(parts[3]), parts[4:]
        if parts[0] == "down_blocks":
            block = 1 + level * (layers + 1) + (layers if kind == "downsamplers" else index)
            place = f"input_blocks.{block}." + {"resnets": "0", "attentions": "1", "downsamplers": "0"}[kind]
            rest = ["op"] + rest[1:] if kind == "downsamplers" else rest
        else:
            attends = kinds[::-1][level].startswith("Cross")
            block = level * (layers + 1) + (layers if kind == "upsamplers" else index)
            place = f"output_blocks.{block}." + {"resnets": "0", "attentions": "1", "upsamplers": "2" if attends else "1"}[kind]
    if kind == "resnets":
        rest = [RESNET[rest[0]]] + rest[1:]
    return "model.diffusion_model." + ".".join([place, *rest])


def vae_name(name: str, config: dict) -> str:
    last = len(config["block_out_channels"]) - 1
    parts = name.split(".")
    if len(parts) > 4 and parts[1] in ("down_blocks", "up_blocks"):
        level = int(parts[2]) if parts[1] == "down_blocks" else last - int(parts[2])
        way = parts[1].split("_")[0]
        kind = {"resnets": f"block.{parts[4]}", "downsamplers": "downsample", "upsamplers": "upsample"}[parts[3]]
        parts = [parts[0], way, str(level), kind, *parts[5:]]
    elif len(parts) > 3 and parts[1] == "mid_block":
        kind = "attn_1" if parts[2] == "attentions" else f"block_{int(parts[3]) + 1}"
        attention = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out": "proj_out"}
        rest = [attention[parts[4]], parts[-1]] if kind == "attn_1" else parts[4:]
        parts = [parts[0], "mid", kind, *rest]
    rename = {"conv_norm_out": "norm_out", "conv_shortcut": "nin_shortcut"}
    return "first_stage_model." + ".".join(rename.get(part, part) for part in parts)


def models_of(description: dict) -> dict:
    parts = {
        "text_encoder": CLIPTextModel(CLIPTextConfig(**description["text_encoder"])),
        "unet": UNet2DConditionModel(**description["unet"]),
        "vae": AutoencoderKL(**description["vae"]),
    }
    for offset, module in enumerate(parts.values()):
        randomize(module, description["seed"] + offset)
    return parts


def text_name(name: str) -> str:
    return name if name.startswith("text_model.") else "text_model." + name


def is_sd2(description: dict) -> bool:
    return description["text_encoder"]["hidden_act"] == "gelu"


def open_clip_name(name: str) -> tuple[str, int | None]:
    """Where OpenCLIP's text encoder has this weight; and which third of it, for query, key and value are one tensor there."""
    for theirs, ours in OPEN_CLIP.items():
        name = name.replace(theirs, ours)
    for third, kind in enumerate("qkv"):
        name, known = name.replace(f"{kind}_proj.", "in_proj_"), name
        if name != known and "out_proj" not in known:
            return "cond_stage_model.model." + name, third
    return "cond_stage_model.model." + name, None


def unused_of(description: dict) -> dict:
    """What the text encoder of a one-file checkpoint of SD 2.x holds beside: its last layer, and what compares texts with pictures."""
    width, inner, layers = (description["text_encoder"][name] for name in ("hidden_size", "intermediate_size", "num_hidden_layers"))
    layer = {
        "attn.in_proj_weight": (3 * width, width), "attn.in_proj_bias": (3 * width,), "attn.out_proj.weight": (width, width),
        "attn.out_proj.bias": (width,), "ln_1.weight": (width,), "ln_1.bias": (width,), "ln_2.weight": (width,), "ln_2.bias": (width,),
        "mlp.c_fc.weight": (inner, width), "mlp.c_fc.bias": (inner,), "mlp.c_proj.weight": (width, inner), "mlp.c_proj.bias": (width,),
    }
    shapes = {f"transformer.resblocks.{layers}.{name}": shape for name, shape in layer.items()}
    shapes |= {"text_projection": (width, width), "logit_scale": ()}
    return {"cond_stage_model.model." + name: list(shape) for name, shape in shapes.items()}


def table_of(description: dict, parts: dict) -> list:
    """Rows of part, diffusers name, original name, diffusers shape, original shape, and which third of that it is, if any."""
    rows = []
    for part, module in parts.items():
        for name, value in module.state_dict().items():
            if name.endswith("position_ids"):
                continue
            shape = theirs = list(value.shape)
            third = None
            if part == "unet":
                original = unet_name(name, description["unet"])
            elif part == "vae":
                original = vae_name(name, description["vae"])
                if ".mid.attn_1." in original and len(shape) == 2:
                    theirs = [*shape, 1, 1]
            else:
                name = text_name(name)
                original = "cond_stage_model.transformer." + name
                if is_sd2(description):
                    original, third = open_clip_name(name)
                if third is not None:
                    theirs = [3 * shape[0], *shape[1:]]
            rows.append([part, name, original, shape, theirs, third])
    return rows


def original_of(description: dict, rows: list, parts: dict) -> dict:
    tensors, thirds = {}, collections.defaultdict(dict)
    for part, name, original, _, theirs, third in rows:
        state = parts[part].state_dict()
        value = state[name] if name in state else state[name.removeprefix("text_model.")]
        if third is None:
            tensors[original] = value.half().reshape(theirs).contiguous()
        else:
            thirds[original][third] = value.half()
    tensors |= {name: torch.cat([values[third] for third in range(3)]) for name, values in thirds.items()}
    if is_sd2(description):
        tensors |= {name: torch.ones(shape).half() for name, shape in unused_of(description).items()}
    return tensors


def check_with_diffusers(rows: list, parts: dict, original: dict) -> None:
    """diffusers' converter must make of the original layout what we started from."""
    converted = {
        "unet": single_file_utils.convert_ldm_unet_checkpoint(dict(original), dict(parts["unet"].config)),
        "vae": single_file_utils.convert_ldm_vae_checkpoint(dict(original), dict(parts["vae"].config)),
    }
    if "cond_stage_model.model.ln_final.weight" in original:
        converted["text_encoder"] = single_file_utils.convert_open_clip_checkpoint(parts["text_encoder"], dict(original))
    for part, name, _, shape, _, _ in rows:
        if part not in converted:
            continue
        state = parts[part].state_dict()
        value = converted[part][name].reshape(shape)
        assert torch.equal(value, state.get(name, state.get(name.removeprefix("text_model."))).half()), (part, name)
    print("diffusers reads the original names as", sum(row[0] in converted for row in rows), "weights of its own")


def save_torch(value, path: Path, legacy: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)


def write_table(description: dict, name: str) -> None:
    parts = models_of(description)
    rows = table_of(description, parts)
    check_with_diffusers(rows, parts, original_of(description, rows, parts))
    configs = {name: description[name] for name in ("text_encoder", "unet", "vae")}
    configs["scheduler"] = {**SCHEDULER, **description.get("scheduler", {})}
    lines = ",\n".join("  " + json.dumps(row if row[-1] is not None else row[:-1]) for row in rows)
    unused = f'"unused": {json.dumps(unused_of(description))},\n' if is_sd2(description) else ""
    (DATA / f"{name}.json").write_text(f'{{"configs": {json.dumps(configs)},\n{unused}"tensors": [\n{lines}\n]}}\n')


def write_fixtures() -> None:
    DATA.mkdir(parents=True, exist_ok=True)
    write_table(SMALL, "small")
    write_table(SMALL_SD2, "small-sd2")

    generator = torch.Generator().manual_seed(7)
    random = lambda *shape: torch.randn(*shape, generator=generator)
    big = random(10, 10)
    state = collections.OrderedDict(
        f32=random(4, 6), f16=random(5).half(), bf16=random(2, 3).bfloat16(), turned=random(3, 4).t(), view=big[2:4, 3:7],
        repeated=torch.arange(3.0), scalar=torch.tensor(3.5), empty=torch.zeros(0, 4), position_ids=torch.arange(7),
    )
    state["tied"] = state["f32"]
    state._metadata = collections.OrderedDict([("", {"version": 1})])
    checkpoint = {"lr": 1e-4, "state_dict": state, "seen": {1, 2}, **training_state()}
    numbers = {name: value.float().contiguous().clone() for name, value in state.items()}
    save_file(numbers, DATA / "numbers.safetensors")
    vector, vectors, wide = random(768), random(2, 768), random(1024)
    save_file({"one": vector, "two": vectors}, DATA / "vectors.safetensors")
    a1111 = lambda value: {
        "string_to_token": {"*": torch.tensor(265)}, "string_to_param": value, "name": "birb", "step": 5, "sd_checkpoint": None,
        "sd_checkpoint_name": None,
    }
    for legacy in (False, True):
        form = "legacy" if legacy else "zip"
        save_torch(checkpoint, DATA / f"state-{form}.ckpt", legacy)
        save_torch({"<birb-style>": vector}, DATA / f"diffusers-{form}.bin", legacy)
        save_torch(a1111({"*": torch.nn.Parameter(vectors)}), DATA / f"a1111-{form}.pt", legacy)
        save_torch(a1111(torch.nn.ParameterDict({"*": torch.nn.Parameter(vectors)})), DATA / f"dict-{form}.pt", legacy)
        save_torch(vectors, DATA / f"bare-{form}.pt", legacy)
    save_torch({"<wide>": wide.half()}, DATA / "wide.bin")
    write_types()
    write_objects(vectors)
    size = sum(file.stat().st_size for file in DATA.iterdir())
    print(f"{DATA}: {size / 1e6:.2f} MB")


def write_types() -> None:
    """All numbers of 8 bits and some of 64, and what torch casts them to."""
    bytes_ = torch.arange(256, dtype=torch.uint8)
    wide = torch.randn(64, generator=torch.Generator().manual_seed(11), dtype=torch.float64)
    # Halfway between two of f32, beyond its range, and below it.
    wide[:5] = torch.tensor([1 + 2**-24, 1 + 3 * 2**-24, 1e300, -1e-300, 1e-40], dtype=torch.float64)
    tensors = {"e4m3": bytes_.view(torch.float8_e4m3fn).clone(), "e5m2": bytes_.view(torch.float8_e5m2).clone(), "f64": wide}
    save_file(tensors, DATA / "types.safetensors")
    save_file({name: value.float() for name, value in tensors.items()}, DATA / "types-f32.safetensors")
    for legacy in (False, True):
        save_torch(tensors, DATA / f"types-{'legacy' if legacy else 'zip'}.pt", legacy)


class OnDevice:
    """A tensor on a device without storage: what torch 1.x (an array) and 2.x (a tensor) write for TPUs and DirectML."""

    def __init__(self, name, data, device):
        self.parts = getattr(torch._utils, name), (data, torch.float32, device, True)

    def __reduce__(self):
        return self.parts


class Unknown(dict):
    """A class that no reader of weights knows."""


def write_objects(vectors: torch.Tensor) -> None:
    """A concept of A1111's as tensors of other devices, and as one beside other objects."""
    unknown = Unknown(a=1)
    unknown.state = torch.ones(2)
    objects = {
        "array": numpy.arange(6.0).reshape(2, 3), "scalar": numpy.float64(0.5), "dtype": torch.float64, "size": torch.Size([2, 3]),
        "device": torch.device("cpu"), "counter": collections.Counter("tide"), "ordered": collections.OrderedDict(a=1),
        "default": collections.defaultdict(list, a=[1]), "set": {1}, "frozen": frozenset({1}), "bytes": b"\xff", "array of bytes": bytearray(b"a"),
        "complex": 1j, "slice": slice(2), "path": Path("a"), "date": datetime.datetime(2024, 1, 1), "unknown": unknown, "class": Unknown,
        "partial": functools.partial(int, base=2), "parameter": torch.nn.Parameter(torch.ones(2)), "quantized": torch.quantize_per_tensor(
            torch.ones(2), 1.0, 0, torch.qint8), "sparse": torch.eye(2).to_sparse(), "meta": torch.ones(2, device="meta"), **training_state(),
    }
    tagged = torch.nn.Parameter(vectors.clone())
    tagged.tag = "kept by PyTorch"
    fortran = numpy.asfortranarray(vectors.numpy())
    forms = {
        "numpy": OnDevice("_rebuild_device_tensor_from_numpy", vectors.numpy(), "privateuseone:0"),
        "fortran": OnDevice("_rebuild_device_tensor_from_numpy", fortran, "xla:1"),
        "cpu": OnDevice("_rebuild_device_tensor_from_cpu_tensor", vectors, "xla:0"),
        "tagged": tagged,
        "objects": vectors,
    }
    for form, value in forms.items():
        beside = objects if form == "objects" else {}
        for legacy in (False, True):
            path = DATA / f"{form}-{'legacy' if legacy else 'zip'}.pt"
            save_torch({"string_to_token": {"*": 265}, "string_to_param": {"*": value}, "name": "birb", **beside}, path, legacy)


def shards(tensors: dict, folder: Path, stem: str, count: int = 3) -> None:
    names = sorted(tensors)
    weight_map = {}
    for index in range(count):
        file = f"{stem}-{index + 1:05}-of-{count:05}.safetensors"
        mine = {name: tensors[name] for name in names[index::count]}
        save_file(mine, folder / file)
        weight_map |= {name: file for name in mine}
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def training_state() -> dict:
    """What Lightning keeps beside the weights, its callbacks under their classes."""
    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": module.__name__, "__qualname__": "ModelCheckpoint"})
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules[module.__name__] = module
    adam = {"step": 3, "exp_avg": torch.zeros(2), "exp_avg_sq": torch.zeros(2)}
    group = {"lr": 1e-4, "betas": (0.9, 0.999), "amsgrad": False, "params": [0]}
    return {
        "epoch": 3, "global_step": 10, "pytorch-lightning_version": "1.4.2", "lr_schedulers": [],
        "callbacks": {module.ModelCheckpoint: {"monitor": "val/loss", "best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [{"state": {0: adam}, "param_groups": [group]}],
    }


@torch.no_grad()
def write_forms(description: dict, tokenizer: Path, folder: Path):
    """Writes one form after the other and yields its path, to be let go if need be."""
    write_model(description, folder / "f16", tokenizer)
    parts = models_of(description)
    for module in parts.values():
        module.half().float()
    rows = table_of(description, parts)
    original = original_of(description, rows, parts)
    check_with_diffusers(rows, parts, original)
    stems = {"text_encoder": ("model", "pytorch_model")}
    for form in ("f32-shards", "bin", "old-bin", "variant"):
        shutil.copytree(folder / "f16", folder / form, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors"))
        for part, module in parts.items():
            stem, pickle = stems.get(part, ("diffusion_pytorch_model",) * 2)
            tensors = {text_name(name) if part == "text_encoder" else name: value for name, value in module.state_dict().items()}
            place = folder / form / part
            if form == "f32-shards":
                shards(tensors, place, stem)
            elif form == "variant":
                save_file({name: value.half() for name, value in tensors.items()}, place / f"{stem}.fp16.safetensors")
            else:
                save_torch({name: value.half() for name, value in tensors.items()}, place / f"{pickle}.bin", form == "old-bin")
        yield folder / form
    yield folder / "f16"
    parts.clear()

    position_ids = {"cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)[None]}
    rest = {"alphas_cumprod": torch.rand(1000), "model_ema.num_updates": torch.tensor(3), "betas": torch.rand(1000).double()}
    save_file(original, folder / "one.safetensors")
    yield folder / "one.safetensors"
    averages = (name for name in original if name.startswith("model."))
    ema = {"model_ema." + name.removeprefix("model.").replace(".", ""): original[name] / 2 for name in averages}
    save_file(original | position_ids | ema | rest, folder / "full.safetensors")
    del ema
    yield folder / "full.safetensors"
    save_torch({"state_dict": original | position_ids | rest, **training_state()}, folder / "zip.ckpt")
    yield folder / "zip.ckpt"
    save_torch({"state_dict": original | position_ids, **training_state()}, folder / "legacy.ckpt", True)
    yield folder / "legacy.ckpt"
    save_torch(original, folder / "plain.pt")
    yield folder / "plain.pt"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--full", action="store_true", help="of the size of SD 1.5")
    parser.add_argument("--sd2", action="store_true", help="a small SD 2.x, which predicts v")
    arguments = parser.parse_args()
    if arguments.model:
        words = TOKENIZER.parents[1] / "clip" if arguments.full else TOKENIZER
        for form in write_forms(SMALL_SD2 if arguments.sd2 else FULL if arguments.full else SMALL, words, arguments.model):
            print(form)
    else:
        write_fixtures()
