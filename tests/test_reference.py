"""The reference names all that is public; that its pages are built is seen by `make docs`."""

import re
from pathlib import Path

import pytest

import estimators
import validation
import validation.testing
from estimators import contract, mechanisms, modes

PAGES = "".join(page.read_text(encoding="utf-8") for page in (Path(__file__).parents[1] / "docs" / "api").glob("*.md"))
# Modules whose members are all listed, as their __all__ says.
WHOLE = {module.__name__ for module in (contract, modes) if f"automodule:: {module.__name__}\n" in PAGES}


@pytest.mark.parametrize("module", [estimators, mechanisms, contract, modes, validation, validation.testing])
def test_all_that_is_public_is_in_the_reference(module: object) -> None:
    name, public = module.__name__, set(module.__all__)  # type: ignore[attr-defined]
    named = set(re.findall(r"\.\. auto(?:class|data|function|exception):: (\w+)", PAGES))
    assert name in WHOLE or public - named <= {"__version__"}
    assert contract.__name__ in WHOLE
