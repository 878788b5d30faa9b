"""How golden data is written down: one safetensors file of f32 tensors beside one JSON file that describes them.

A tensor of up to 64 KiB is stored whole. A larger one is flattened and every `stride`-th value is kept; its real shape, its
largest absolute value and its mean stand in the JSON either way.
"""

import json
from importlib import metadata
from pathlib import Path

import torch
from safetensors.torch import save_file

DATA = Path(__file__).parent / "data"
WHOLE_BYTES = 64 * 1024
STRIDES = [13, 29, 61, 127, 251, 509]


def versions() -> dict:
    """What made the data. Last bits of f32 results depend on it."""
    names = ["torch", "diffusers", "transformers", "tokenizers", "safetensors", "k-diffusion", "numpy", "scipy"]
    found = {name: metadata.version(name) for name in names}
    found["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
    return found


class Record:
    """Collects named tensors and facts, then writes `data/{name}.safetensors` and `data/{name}.json`."""

    def __init__(self, name: str, **facts):
        self.name = name
        self.tensors = {}
        self.sidecar = {"versions": versions(), **facts, "tensors": {}}

    def add(self, name: str, value: torch.Tensor, *, whole: bool = False, stride: int = 1, **facts) -> None:
        value = value.detach().to("cpu", torch.float32).contiguous()
        flat = value.flatten()
        if not whole and value.numel() * 4 / stride > WHOLE_BYTES:
            stride = next(s for s in STRIDES if value.numel() * 4 / s <= WHOLE_BYTES / 2)
        self.tensors[name] = value.clone() if stride == 1 else flat[::stride].clone()
        self.sidecar["tensors"][name] = {
            "shape": list(value.shape),
            "stride": stride,
            "max_abs": flat.abs().max().item(),
            "mean": flat.double().mean().item(),
            **facts,
        }

    def write(self) -> None:
        DATA.mkdir(exist_ok=True)
        save_file(self.tensors, DATA / f"{self.name}.safetensors")
        (DATA / f"{self.name}.safetensors").chmod(0o644)
        text = json.dumps(self.sidecar, indent=1, ensure_ascii=True)
        (DATA / f"{self.name}.json").write_text(text + "\n")
        size_kib = (DATA / f"{self.name}.safetensors").stat().st_size / 1024
        print(f"{self.name}: {len(self.tensors)} tensors, {size_kib:.0f} KiB")
