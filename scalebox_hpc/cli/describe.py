"""`sbx describe`: which parameters a pipeline takes, which standard modules it uses, and which sites."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from scalebox_hpc.cli import say
from scalebox_hpc.cli.options import PIPELINE, AsJson, PipelineArgument
from scalebox_hpc.cli.pipeline_file import pipeline_path

if TYPE_CHECKING:
    from scalebox_hpc.config.params import Parameter


def describe(pipeline: PipelineArgument = PIPELINE, as_json: AsJson = False) -> None:
    """Show which parameters a pipeline takes, which standard modules it uses, and which sites.

    Each parameter with its type, default and rules; set them by `sbx run -p NAME=VALUE`.
    Each module that names a site of its own; the others run at the run's site.

    \b
    Example:
      sbx describe pipeline.toml
    """
    from scalebox_hpc.config.pipeline import load_module_sites, load_parameters, load_standards
    from scalebox_hpc.report.text import table

    path = pipeline_path(pipeline)
    parameters, standards, sites = load_parameters(path), load_standards(path), load_module_sites(path)
    if as_json:
        uses = [{"module": name, **standard.as_data()} for name, standard in standards.items()]
        params = [_as_data(parameter) for parameter in parameters]
        say.json_object({"params": params, "standard": uses, "sites": sites})
        return
    rows = [["parameter", "type", "default", "rules", "meaning"], *map(_row, parameters)]
    say.text("\n".join(table(rows)) if parameters else "no parameters")
    if standards:
        uses_rows = [[name, standard.name, standard.description] for name, standard in standards.items()]
        say.text("\n" + "\n".join(table([["module", "uses", "which is to"], *uses_rows])))
    if sites:
        say.text("\n" + "\n".join(table([["module", "runs at"], *map(list, sites.items())])))


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
