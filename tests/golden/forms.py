"""Checks that a model is the same model in every form: `tidepool inspect --digest` over its weights, and a picture byte by byte.

    python tests/golden/forms.py [--full | --sd2] [--tidepool target/release/tidepool] [--keep FOLDER]

Writes the forms of `checkpoints.py --model`, with values that were f16 once, so that f32 files hold the same numbers. The full size
of SD 1.5 takes 5 GB of disk at a time, and 25 if the forms are kept.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

import checkpoints

REPOSITORY = Path(__file__).resolve().parents[2]


def run(tidepool: Path, *arguments) -> str:
    return subprocess.run([str(tidepool), *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def look(tidepool: Path, form: Path, size: int) -> tuple[str, bytes]:
    """The digest of a form's weights, and the pixels of its picture of two steps."""
    digest = json.loads(run(tidepool, "inspect", form, "--digest", "--json"))["digest"]
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.png"
        options = ["--seed", 7, "--steps", 2, "--size", f"{size}x{size}", "--device", "cpu", "-o", picture]
        run(tidepool, "render", "a fox on a hill!", "--model", form, *options)
        return digest, Image.open(picture).convert("RGB").tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--sd2", action="store_true")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--tidepool", type=Path, default=REPOSITORY / "target/release/tidepool")
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    folder = arguments.keep or Path(tempfile.mkdtemp())
    description = checkpoints.SMALL_SD2 if arguments.sd2 else checkpoints.FULL if arguments.full else checkpoints.SMALL
    words = checkpoints.TOKENIZER.parents[1] / "clip" if arguments.full else checkpoints.TOKENIZER
    seen = {}
    try:
        for form in checkpoints.write_forms(description, words, folder):
            started = time.monotonic()
            seen[form.name] = look(arguments.tidepool, form, arguments.size)
            files = [file for file in form.rglob("*") if file.is_file()] if form.is_dir() else [form]
            gigabytes = sum(file.stat().st_size for file in files) / 1e9
            print(f"{form.name:20} {gigabytes:6.2f} GB  {seen[form.name][0]}  {time.monotonic() - started:.1f} s", flush=True)
            if not arguments.keep:
                shutil.rmtree(form) if form.is_dir() else form.unlink()
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    models = len({digest for digest, _ in seen.values()})
    pictures = len({pixels for _, pixels in seen.values()})
    print(f"{len(seen)} forms: {models} model(s), {pictures} picture(s)")
    sys.exit(0 if (models, pictures) == (1, 1) else 1)


if __name__ == "__main__":
    main()
