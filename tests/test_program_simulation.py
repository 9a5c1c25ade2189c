"""Rows drawn from a program that takes columns and numbers beside how many rows there are."""

from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from estimators import PyroModel

GREEKS = {"slope": [0.0, 9.0]}
AGE = torch.tensor([-5.0, 5.0]).repeat(20)


def of_age(age: Tensor) -> None:
    slope = pyro.sample("slope", dist.Normal(torch.zeros(2), 3.0).to_event(1))
    with pyro.plate("rows", len(age)):
        Z = pyro.sample("Z", dist.Bernoulli(logits=slope[0] + slope[1] * age))
        pyro.sample("Y", dist.Normal(3.0 * Z, 0.1))


def of_rows_and_age(N: int, age: Tensor, steps: int = 1) -> None:
    slope = pyro.sample("slope", dist.Normal(torch.zeros(2), 3.0).to_event(1))
    with pyro.plate("rows", N):
        Z = pyro.sample("Z", dist.Bernoulli(logits=slope[0] + slope[1] * age))
        for step in range(steps):
            pyro.sample(f"Y{step}", dist.Normal(3.0 * Z, 0.1))


@pytest.mark.parametrize("program", [of_age, of_rows_and_age])
def test_rows_follow_the_columns_that_are_given(program: Any) -> None:
    model = PyroModel(program)
    rows = model.simulate(40, GREEKS, seed=0, columns={"age": AGE})
    assert torch.equal(rows["Z"] > 0, AGE > 0)
    again = model.simulate(40, GREEKS, seed=0, columns={"age": AGE.flip(0)})
    assert torch.equal(again["Z"] > 0, AGE.flip(0) > 0), "the control"


def test_numbers_are_given_with_the_columns() -> None:
    rows = PyroModel(of_rows_and_age).simulate(40, GREEKS, seed=0, columns={"age": AGE, "steps": 3})
    assert {"Y0", "Y1", "Y2"} <= set(rows)


def test_what_is_not_given_is_asked_for_by_name() -> None:
    model = PyroModel(of_rows_and_age)
    with pytest.raises(TypeError, match=r"takes 'age' beside .* columns={'age': \.\.\.}"):
        model.simulate(40, GREEKS, seed=0)
    with pytest.raises(ValueError, match=r"no parameter 'aeg'; it has \['N', 'age', 'steps'\]"):
        model.simulate(40, GREEKS, seed=0, columns={"aeg": AGE})
    with pytest.raises(ValueError, match="39"):
        model.simulate(40, GREEKS, seed=0, columns={"age": AGE[:39]})
