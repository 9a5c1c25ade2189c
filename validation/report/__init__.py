"""The report: one self-contained HTML page made from a study's stored results alone."""

from importlib.util import find_spec

EXTRA = ("jinja2", "matplotlib")


class MissingExtraError(ImportError):
    """The packages that the report is made with are not installed."""


def check_extra() -> None:
    """Raise MissingExtraError, with the command that helps, unless what the report needs is installed."""
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise MissingExtraError(f"the report needs {' and '.join(missing)}: pip install 'exact-estimators[report]'")
