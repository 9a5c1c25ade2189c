"""The report as Markdown: the same tables as the page, without its figures."""

import re
from html import escape

from validation.claims.results import Results
from validation.report.page import templates
from validation.report.sections import Contents


def render_markdown(results: Results) -> str:
    """Return the report as Markdown, with tables as GitHub reads them."""
    environment = templates(autoescape=False)
    environment.filters.update(escaped=escaped)
    return environment.get_template("report.md.jinja").render(Contents(results).variables())


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, in one line."""
    text = escape(text, quote=False)
    text = re.sub(r"([\\`*|~$]|\](?=\())", r"\\\1", text)
    text = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)  # within a word it is only itself
    return text.replace("\n", "<br>")
