"""Writing the plugin's files whole or not at all."""

import warnings
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Replace a file by a text; raises OSError that names it, and then leaves it as it was.

    `estimators` loads torch, so it is imported where there is something to write.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a suite that makes warnings errors does not mean those of an import here
        from estimators.fits.atomic_file import write_atomically
    write_atomically(path, text)
