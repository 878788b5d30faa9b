"""What each network of a model gives for fixed inputs: text embeddings, UNet predictions, VAE encodings and decodings.

Inputs are `torch.randn` of a CPU generator, described by seed and shape, so they need not be stored.
"""

import torch

from pipeline import Pipeline, randn
from record import Record

PROMPTS = [
    "a large fox in the snow",
    "",
    "A watercolor painting of an otter, on a red background!",
    "a puppy " * 60,  # more than 77 tokens: cut
]
TIMESTEPS = [999.0, 500.3, 1.0]
UNET_SEED, ENCODE_SEED, DECODE_SEED = 7, 8, 9
SIZES = [(16, 16), (12, 20)]
ODD_SIZE = (9, 13)  # not divisible by the UNet's downsampling: upsampling must follow the skip connections' sizes


def make(name: str, folder) -> None:
    pipeline = Pipeline(folder)
    record = Record(
        name,
        prompts=PROMPTS,
        conventions={
            "text.K": "last hidden state after the final layer norm, for prompts[K]",
            "unet.hHwW.tT[.batch2]": "predicted eps for x = randn(seed) used as the UNet's input unscaled, timestep T as f32, "
            "text embedding of prompts[0]; batch2: text of prompts[0] and prompts[2], the same T for both",
            "vae.encode.hHwW.mean / .logvar": "of the image randn(seed) [1,3,H,W], no scaling factor, logvar clamped to -30..20",
            "vae.decode.hHwW": "decoded latents randn(seed) [1,4,H,W] given to the decoder as they are; not clamped, about -1..1",
        },
        scaling_factor=pipeline.vae.config.scaling_factor,
        vae_factor=pipeline.vae_factor,
    )
    texts = [pipeline.encode_text(prompt) for prompt in PROMPTS]
    for k, text in enumerate(texts):
        record.add(f"text.{k}", text)

    for h, w in [*SIZES, ODD_SIZE]:
        for t in TIMESTEPS:
            x = randn(UNET_SEED, (1, 4, h, w))
            eps = pipeline.eps(x, torch.tensor([t]), texts[0])
            record.add(f"unet.h{h}w{w}.t{t:g}", eps, input_seed=UNET_SEED, input_shape=list(x.shape), timestep=t)
    h, w = SIZES[0]
    x = randn(UNET_SEED, (2, 4, h, w))
    eps = pipeline.eps(x, torch.tensor([500.3, 500.3]), torch.cat([texts[0], texts[2]]))
    record.add(f"unet.h{h}w{w}.t500.3.batch2", eps, input_seed=UNET_SEED, input_shape=list(x.shape), timestep=500.3)

    for h, w in SIZES:
        height, width = h * pipeline.vae_factor, w * pipeline.vae_factor
        image = randn(ENCODE_SEED, (1, 3, height, width))
        mean, logvar = pipeline.encode_distribution(image)
        for part, value in [("mean", mean), ("logvar", logvar)]:
            record.add(f"vae.encode.h{height}w{width}.{part}", value, input_seed=ENCODE_SEED, input_shape=list(image.shape))
        z = randn(DECODE_SEED, (1, 4, h, w))
        record.add(f"vae.decode.h{h}w{w}", pipeline.decode(z), input_seed=DECODE_SEED, input_shape=list(z.shape))
    record.write()
