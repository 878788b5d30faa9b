"""The components of every pipeline class of diffusers, as its `model_index.json` names them: data/pipelines.

    python tests/golden/pipelines.py
"""

import inspect
import json
import typing

import diffusers

from record import DATA

# Written to `model_index.json` by `register_to_config`, but not components.
SETTINGS = (bool, int, float, str, list, tuple, dict)


def class_of(annotation: object) -> str | None:
    """The first class of an annotation such as `A | B | None`."""
    options = typing.get_args(annotation) or (annotation,)
    classes = [option for option in options if inspect.isclass(option) and option is not type(None)]
    return classes[0].__name__ if classes and not issubclass(classes[0], SETTINGS) else None


def components_of(pipeline: type) -> dict[str, str]:
    parameters = list(inspect.signature(pipeline.__init__).parameters.values())[1:]
    classes = {parameter.name: class_of(parameter.annotation) for parameter in parameters}
    optional = set(getattr(pipeline, "_optional_components", []))
    return {name: found for name, found in classes.items() if found and name not in optional}


def main() -> None:
    names = [name for name in dir(diffusers) if name.endswith("Pipeline")]
    pipelines = {name: getattr(diffusers, name) for name in names}
    components = {
        name: components_of(pipeline)
        for name, pipeline in pipelines.items()
        if issubclass(pipeline, diffusers.DiffusionPipeline) and pipeline is not diffusers.DiffusionPipeline
    }
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(found)}" for name, found in components.items())
    text = f'{{"diffusers": "{diffusers.__version__}", "components": {{\n{rows}\n}}}}\n'
    (DATA / "pipelines.json").write_text(text)
    print(len(components), "pipelines")


if __name__ == "__main__":
    main()
