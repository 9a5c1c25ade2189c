"""The page: results in, one HTML file out, with nothing to load from anywhere else."""

from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from estimators.fits.atomic_file import write_atomically
from validation.claims.results import Results
from validation.report.sections import Contents
from validation.report.words import number

SCRIPTS = ("sortable/sortable.min.js", "copy.js", "unfold.js")


def write_report(results: Results, path: Path) -> None:
    """Write the report as one HTML file."""
    write_atomically(path, render(results))


def render(results: Results) -> str:
    """Return the report as HTML: what was shown first, then scenario by scenario, then what it was made with."""
    environment = templates(autoescape=True)
    environment.filters.update(safe_panels=Markup)
    assets = {"style": _asset("style.css"), "scripts": [_asset(name) for name in SCRIPTS]}
    return environment.get_template("index.html.jinja").render(assets, **Contents(results).variables())


def templates(*, autoescape: bool) -> Environment:
    """Return the report's templates, with numbers as it writes them."""
    environment = Environment(
        loader=PackageLoader("validation", "report"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number)
    return environment


def _asset(name: str) -> Markup:
    return Markup(files("validation.report").joinpath(name).read_text(encoding="utf-8"))
