"""AUTOMATIC1111's and ComfyUI's own code for prompts, run from checkouts of theirs with as little around it as it needs.

None of that code is in this repository. What it imports and does not use here is put in its place as an empty module.
"""

import ast
import sys
import types
from pathlib import Path

import torch

CHUNK = 77


class Anything(types.ModuleType):
    """A module that has whatever is asked of it, none of which does anything."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def put(name: str, module=None, **content):
    """Has `import name` find this, whatever the checkout has of that name."""
    module = module or Anything(name)
    module.__dict__.update(content)
    sys.modules[name] = module
    package, _, own = name.rpartition(".")
    if package:
        setattr(sys.modules[package], own, module)
    return module


def package(name: str, folder: Path) -> None:
    put(name, types.ModuleType(name), __path__=[str(folder)])


def one_class(file: Path, name: str, **around):
    """A class of a file whose other content would need half of the program."""
    tree = ast.parse(file.read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    exec(compile(tree, str(file), "exec"), around)
    return around[name]


class A1111:
    """Its parser, chunks and "Original" arithmetic, over transformers' tokenizer and text encoder."""

    def __init__(self, checkout: Path, tokenizer, encoder, concepts: dict):
        modules = checkout / "modules"
        package("modules", modules)
        package("modules.textual_inversion", modules / "textual_inversion")
        self.opts = types.SimpleNamespace(
            emphasis="Original",
            comma_padding_backtrack=20,
            CLIP_stop_at_last_layers=1,
            textual_inversion_add_hashes_to_infotext=False,
            use_old_emphasis_implementation=False,
        )
        put("modules.shared", opts=self.opts)
        devices = put("modules.devices", device=torch.device("cpu"), cond_cast_unet=lambda x: x, torch_npu_set_device=lambda: None)
        hijack = types.SimpleNamespace(fixes=None, extra_generation_params={}, embedding_db=None)
        put("modules.sd_hijack", model_hijack=hijack)
        unused = "dataset image_embedding learn_schedule saving_settings"
        for name in [f"textual_inversion.{name}" for name in unused.split()] + (
            "errors hashes images sd_hijack_checkpoint sd_models sd_samplers".split()
        ):
            put(f"modules.{name}")

        from modules import prompt_parser, sd_hijack_clip
        from modules.textual_inversion import textual_inversion

        self.parser = prompt_parser
        with_fixes = one_class(modules / "sd_hijack.py", "EmbeddingsWithFixes", torch=torch, devices=devices)
        transformer = Older(encoder)
        transformer.embeddings.token_embedding = with_fixes(encoder.embeddings.token_embedding, hijack)
        wrapped = types.SimpleNamespace(tokenizer=tokenizer, transformer=transformer)
        hijack.embedding_db = textual_inversion.EmbeddingDatabase()
        self.model = sd_hijack_clip.FrozenCLIPEmbedderWithCustomWords(wrapped, hijack)
        model = types.SimpleNamespace(cond_stage_model=self.model)
        for name, vectors in concepts.items():
            # It knows a concept by its file's name; here also by those that other programs use.
            for spelled in [name, f"<{name}>", f"embedding:{name}"]:
                embedding = textual_inversion.Embedding(vectors, name)
                embedding.vectors, embedding.shape = vectors.shape
                hijack.embedding_db.register_embedding_by_name(embedding, model, spelled)

    def parts(self, prompt: str, steps: int) -> list:
        [indexes], flat, _ = self.parser.get_multicond_prompt_list(self.parser.SdConditioning([prompt]))
        schedules = self.parser.get_learned_conditioning_prompt_schedules(flat, steps)
        return [{"weight": weight, "schedule": schedules[index]} for index, weight in indexes]

    def runs(self, text: str) -> list:
        return self.parser.parse_prompt_attention(text)

    def chunks(self, text: str) -> list:
        chunks, _ = self.model.tokenize_line(text)
        return [
            {
                "ids": chunk.tokens,
                "weights": chunk.multipliers,
                "vectors": [
                    [fix.offset + 1 + index, fix.embedding.name, index]
                    for fix in chunk.fixes
                    for index in range(fix.embedding.vectors)
                ],
            }
            for chunk in chunks
        ]

    def encode(self, text: str, clip_skip: int) -> torch.Tensor:
        self.opts.CLIP_stop_at_last_layers = clip_skip
        with torch.no_grad():
            return self.model([text])


class Older(torch.nn.Module):
    """transformers' text encoder by the names that it had before version 5."""

    def __init__(self, encoder):
        super().__init__()
        self.text_model = encoder
        self.embeddings = encoder.embeddings

    def forward(self, input_ids, output_hidden_states):
        # An index of the layer is given, which other versions take for true.
        return self.text_model(input_ids=input_ids, output_hidden_states=bool(output_hidden_states))


class Comfy:
    """Its parser, chunks and arithmetic, over transformers' tokenizer and text encoder."""

    def __init__(self, checkout: Path, tokenizer_folder: Path, encoder, concepts_folder: Path, width: int, marks: tuple):
        package("comfy", checkout / "comfy")
        cpu = torch.device("cpu")
        put("comfy.ops", manual_cast=None)
        put("comfy.clip_model")
        put("comfy.model_management", intermediate_device=lambda: cpu)
        from comfy import sd1_clip

        self.program = sd1_clip
        self.tokenizer = sd1_clip.SDTokenizer(
            str(tokenizer_folder), embedding_directory=str(concepts_folder), embedding_size=width
        )
        begin, end = marks
        self.model = sd1_clip.SDClipModel(
            textmodel_json_config={},
            model_class=lambda *_: Newer(encoder),
            special_tokens={"start": begin, "end": end, "pad": end},
        )

    def runs(self, prompt: str) -> list:
        runs = self.program.token_weights(self.program.escape_important(prompt), 1.0)
        return [[self.program.unescape_important(text), weight] for text, weight in runs]

    def chunks(self, prompt: str, names: list) -> list:
        """`names`: of each vector that is a concept's, in the order of the prompt."""
        names = iter(names)
        chunks = []
        for chunk in self.tokenizer.tokenize_with_weights(prompt):
            own = [not isinstance(token, int) for token, _ in chunk]
            chunks.append(
                {
                    "ids": [0 if is_vector else token for (token, _), is_vector in zip(chunk, own)],
                    "weights": [weight for _, weight in chunk],
                    "vectors": [[place, *next(names)] for place, is_vector in enumerate(own) if is_vector],
                }
            )
        return chunks

    def encode(self, prompt: str, clip_skip: int) -> torch.Tensor:
        self.model.reset_clip_options()
        if clip_skip > 1:
            self.model.set_clip_options({"layer": -clip_skip})
        with torch.no_grad():
            return self.model.encode_token_weights(self.tokenizer.tokenize_with_weights(prompt))[0]


class Newer(torch.nn.Module):
    """transformers' text encoder as ComfyUI calls its own."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.num_layers = encoder.config.num_hidden_layers

    def get_input_embeddings(self):
        return Table(self.encoder.get_input_embeddings())

    def forward(self, ids, mask, embeds, intermediate_output, final_layer_norm_intermediate, **_):
        assert ids is None and mask is None and final_layer_norm_intermediate
        table, self.encoder.embeddings.token_embedding = self.encoder.embeddings.token_embedding, Given(embeds)
        outputs = self.encoder(input_ids=torch.zeros(embeds.shape[:2], dtype=torch.long), output_hidden_states=True)
        self.encoder.embeddings.token_embedding = table
        deep = None
        if intermediate_output is not None:
            deep = self.encoder.final_layer_norm(outputs.hidden_states[intermediate_output])
        return outputs.last_hidden_state, deep, outputs.pooler_output


class Table(torch.nn.Module):
    """A table of embeddings that is asked for a type of numbers."""

    def __init__(self, table):
        super().__init__()
        self.table, self.weight = table, table.weight

    def forward(self, ids, out_dtype):
        return self.table(ids).to(out_dtype)


class Given(torch.nn.Module):
    """Embeddings that are already there, in the place of a table."""

    def __init__(self, embeds):
        super().__init__()
        self.embeds = embeds

    def forward(self, _):
        return self.embeds
