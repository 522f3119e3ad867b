"""`sbx describe`: which parameters a pipeline takes, and which standard modules it uses."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from scalebox_hpc.cli import say
from scalebox_hpc.cli.options import PIPELINE, AsJson, PipelineArgument
from scalebox_hpc.cli.pipeline_file import pipeline_path

if TYPE_CHECKING:
    from scalebox_hpc.config.params import Parameter


def describe(pipeline: PipelineArgument = PIPELINE, as_json: AsJson = False) -> None:
    """Show which parameters a pipeline takes, and which standard modules it uses.

    Each parameter with its type, default and rules; set them by `sbx run -p NAME=VALUE`.

    \b
    Example:
      sbx describe pipeline.toml
    """
    from scalebox_hpc.config.pipeline import load_parameters, load_standards
    from scalebox_hpc.report.text import table

    path = pipeline_path(pipeline)
    parameters, standards = load_parameters(path), load_standards(path)
    if as_json:
        uses = [{"module": name, **standard.as_data()} for name, standard in standards.items()]
        say.json_object({"params": [_as_data(parameter) for parameter in parameters], "standard": uses})
        return
    rows = [["parameter", "type", "default", "rules", "meaning"], *map(_row, parameters)]
    say.text("\n".join(table(rows)) if parameters else "no parameters")
    if standards:
        uses_rows = [[name, standard.name, standard.description] for name, standard in standards.items()]
        say.text("\n" + "\n".join(table([["module", "uses", "which is to"], *uses_rows])))


def _as_data(parameter: Parameter) -> dict[str, object]:
    return {key: value for key, value in asdict(parameter).items() if key != "value"}


def _row(parameter: Parameter) -> list[str]:
    default = "must be given" if parameter.default is None else parameter.default
    kind = "path" if parameter.is_path else parameter.type
    return [parameter.name, kind, default, ", ".join(_rules(parameter)), parameter.help]


def _rules(parameter: Parameter) -> list[str]:
    rules = [] if parameter.least is None else [f"at least {parameter.least:g}"]
    rules += [] if parameter.most is None else [f"at most {parameter.most:g}"]
    return rules + ([f"one of {' '.join(parameter.choices)}"] if parameter.choices else [])
