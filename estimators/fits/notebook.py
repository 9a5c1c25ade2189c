"""A fit as a notebook shows it: what it is, what to know of it, its table, and a small picture."""

from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any

from estimators.fits.page import head_of, rival_lines
from estimators.isolation import own_modes
from estimators.plots.density import draw_density
from estimators.plots.laws import RowLaw

if TYPE_CHECKING:
    from estimators.fits.fit import Fit

# Rows of the table and panels of the picture, beyond which they are left out.
MOST_ENTRIES, MOST_PANELS = 20, 3
PANEL = (3.2, 2.4)  # inches
# Draws by which densities are drawn: a page is to be there at once.
MOST_DRAWS = 20
# Ink that no figure has by chance, and which becomes the colour of the page's text, light or dark.
INK = "#010203"


@own_modes()
def html_of(fit: "Fit") -> str:
    """The fit as HTML; what no picture can be drawn of has none."""
    head = "<br>".join(f"<b>{escape(line)}</b>" if not n else escape(line) for n, line in enumerate(head_of(fit)))
    advice = "".join(f"<li>{escape(sentence)}</li>" for sentence in fit.advice)
    table = fit.summary()
    rivals = "".join(f"<p>{escape(line)}</p>" for line in rival_lines(fit))
    left_out = len(table) - MOST_ENTRIES
    more = f"<p>{left_out} more rows in <code>fit.summary()</code></p>" if left_out > 0 else ""
    shown = table.head(MOST_ENTRIES).to_html(float_format="{:.4g}".format, border=0)
    return (
        f"<div><p>{head}</p><ul>{advice}</ul>"
        f'<div style="display:flex;flex-wrap:wrap;gap:1em;align-items:flex-start"><div>{shown}{more}{rivals}</div>'
        f"<div>{_picture(fit)}</div></div></div>"
    )


def _picture(fit: "Fit") -> str:
    """Densities of the first variables beside the rows, as an SVG in the colour of the page's text."""
    if fit.data is None:
        return ""
    try:
        return _drawn(fit)
    except Exception:  # whatever a model cannot answer must not hide what can be said in words
        return ""


def _drawn(fit: "Fit") -> str:
    import matplotlib
    from matplotlib.figure import Figure

    law = RowLaw.of(fit, fit.plot.of.law()).thinned(MOST_DRAWS)
    names = list(law.variables)[:MOST_PANELS]
    inks = ("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.labelcolor", "ytick.labelcolor")
    colours: Any = {**dict.fromkeys(inks, INK), "axes.facecolor": "none"}
    with matplotlib.rc_context(colours):
        # One that pyplot does not know, or a notebook would show it a second time.
        figure = Figure((PANEL[0] * len(names), PANEL[1]), facecolor="none", layout="constrained")
        draw_density(law, fit.data, names, figure.subplots(1, len(names), squeeze=False).flat)
        figure.savefig(text := StringIO(), format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :].replace(INK, "currentColor")
