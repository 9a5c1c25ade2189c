"""The README's picture, made by the README's own example: ``python docs/picture.py`` writes docs/effect.png."""

import re
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
README = HERE.parent / "README.md"


def example() -> str:
    """The code of the README's example."""
    found = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert found is not None
    return found.group(1)


def main() -> None:
    """Run the example, and keep its picture."""
    names: dict[str, Any] = {"__name__": "readme"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(example(), "README.md", "exec"), names)
    axes = names["fit"].plot.effect("days", of="treated")
    axes.figure.savefig(HERE / "effect.png", dpi=150, facecolor="white")


if __name__ == "__main__":
    main()
