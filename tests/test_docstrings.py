"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
import pkgutil

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

import estimators
from estimators import mechanisms

MODULES = [module.name for module in pkgutil.walk_packages(estimators.__path__, "estimators.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    module = importlib.import_module(name)
    public = {key: getattr(estimators, key) for key in estimators.__all__}
    names = {
        **public,
        **{key: getattr(mechanisms, key) for key in mechanisms.__all__},
        "pyro": pyro,
        "dist": dist,
        "torch": torch,
        "np": np,
    }
    finder = doctest.DocTestFinder(exclude_empty=True)
    for test in finder.find(module, name, globs={**vars(module), **names}):
        results = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
        assert results.failed == 0, test.name


def test_there_are_examples() -> None:
    found = sum(
        len(test.examples)
        for name in MODULES
        for test in doctest.DocTestFinder().find(importlib.import_module(name), name)
    )
    assert found >= 15
