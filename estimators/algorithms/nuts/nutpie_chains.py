"""Chains by nutpie, each a run of its own with its own seed and start: the same draws on any number of threads.

A density that is native code is sampled side by side; one that Python computes chain after chain, since on few rows
chains in threads would wait for the interpreter's lock and on many for torch's threads.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from estimators.algorithms.nuts.chain_starts import RESCALE
from estimators.algorithms.nuts.nutpie_callback import NutpieCallback
from estimators.algorithms.progress import progress
from estimators.algorithms.protocol import Task
from estimators.contract import Density, NativeFunction, Objective, log_posterior
from estimators.isolation import num_threads, quietly_imported
from estimators.optimise.arrays import Array
from estimators.status import EstimationError, in_words

if TYPE_CHECKING:
    from estimators.algorithms.nuts.nuts import NUTS

# How often running chains are looked after.
POLL_SECONDS = 0.2
NATIVE_POLL_SECONDS = 0.002
NO_SLOPE = (
    f"NUTS: a chain cannot start where the log density has no slope in some direction; {RESCALE}, or give every Greek "
    "a proper prior"
)


def nutpie_chains(
    nuts: "NUTS", task: Task, density: Density, starts: Array, seeds: list[int]
) -> tuple[Array, dict[str, Tensor]]:
    """Draws [chains * draws, D] and what nutpie says of each, chain by chain."""
    function = density.native_log_posterior if density.size else None
    with progress(nuts.num_chains, "NUTS chains", nuts.progress_bar) as bar:
        if function is not None and _native().IS_KNOWN:
            _check_starts(density, starts)
            traces = _side_by_side(nuts, function, starts, seeds, bar)
        else:
            traces = []
            for start, seed in zip(starts, seeds, strict=True):
                traces.append(_by_callback(nuts, density, start, seed, bar))
                bar.update()
    chains = [_draws(trace) for trace in traces]
    info = {name: torch.cat([own[name] for _, own in chains]) for name in chains[0][1]}
    return np.concatenate([coordinates for coordinates, _ in chains]), info


def _side_by_side(nuts: "NUTS", function: NativeFunction, starts: Array, seeds: list[int], bar: Any) -> list[Any]:
    """The traces of all chains, as many at a time as the caller has threads."""
    traces, running = dict[int, Any](), dict[int, Any]()
    waiting = list(range(len(starts)))
    with _in_words_of_ours(running, function):
        while waiting or running:
            while waiting and len(running) < num_threads():
                chain = waiting.pop(0)
                running[chain] = _begin(nuts, _native().NativeModel(None, function, starts[chain]), seeds[chain])
            for chain, sampler in list(running.items()):
                with suppress(TimeoutError):
                    traces[chain] = sampler.wait(timeout=NATIVE_POLL_SECONDS)
                    del running[chain]
                    bar.update()
            # Where nothing was done, time went on.
            bar.update(0)
    return [traces[chain] for chain in range(len(starts))]


@contextmanager
def _in_words_of_ours(running: dict[int, Any], function: NativeFunction) -> Iterator[None]:
    """Whatever ends the chains early, Ctrl-C among it, ends all of them at once, even within a draw."""
    try:
        yield
    except BaseException as error:
        function.stop()
        has_panicked = type(error).__module__ == "pyo3_runtime"
        for sampler in running.values():
            with suppress(BaseException):
                sampler.cancel()
        if isinstance(error, RuntimeError) or has_panicked:
            raise EstimationError(f"NUTS: the sampler stopped ({str(error).splitlines()[0]}); {RESCALE}") from None
        raise


def _check_starts(density: Density, starts: Array) -> None:
    """Raise EstimationError where a chain could not take its first step."""
    gradients = log_posterior(density.evaluate(starts)[1])
    if not bool(gradients.all()):
        raise EstimationError(NO_SLOPE)


def _by_callback(nuts: "NUTS", density: Density, start: Array, seed: int, bar: Any) -> Any:
    """The trace of one whole chain whose density Python computes; Ctrl-C, and an error in it, end it at once."""
    callback = NutpieCallback(Objective(density, log_posterior), start)
    sampler = None
    try:
        compiled = _nutpie().compiled_pyfunc.from_pyfunc(
            density.size,
            lambda: callback.log_density,
            lambda *_: callback.expand,
            [np.dtype("float64")],
            [(density.size,)],
            ["coordinates"],
            make_initial_point_fn=callback.first_point,
        )
        sampler = _begin(nuts, compiled, seed)
        while callback.error is None:
            with suppress(TimeoutError):
                return sampler.wait(timeout=POLL_SECONDS)
            # Nothing is done, but time goes on.
            bar.update(0)
        raise callback.error
    except BaseException as error:
        has_panicked = type(error).__module__ == "pyo3_runtime"
        callback.stop()
        # A sampler that has panicked answers no call.
        if sampler is not None and not has_panicked:
            sampler.cancel()
        if callback.error is not None:
            with in_words("NUTS"):
                raise callback.error from None
        if callback.is_refused:
            raise EstimationError(NO_SLOPE) from None
        if isinstance(error, RuntimeError) or has_panicked:
            raise EstimationError(f"NUTS: the sampler stopped ({str(error).splitlines()[0]}); {RESCALE}") from None
        raise


def _begin(nuts: "NUTS", compiled: Any, seed: int) -> Any:
    """A sampler of one chain, at work."""
    return _nutpie().sample(
        compiled,
        draws=nuts.num_samples,
        tune=nuts.warmup_steps,
        chains=1,
        cores=1,
        seed=seed,
        progress_bar=False,
        save_warmup=False,
        return_raw_trace=True,
        target_accept=nuts.target_accept_prob,
        blocking=False,
        **(_low_rank() if nuts.low_rank else {}),
    )


def _low_rank() -> dict[str, Any]:
    """How nutpie is asked for a low-rank metric: its way until 0.16.8 is deprecated in 0.16.11."""
    has_adaptation = "adaptation" in signature(_nutpie().sample).parameters
    return {"adaptation": "low_rank"} if has_adaptation else {"low_rank_modified_mass_matrix": True}


def _draws(trace: Any) -> tuple[Array, dict[str, Tensor]]:
    """Of one chain; as nutpie holds them, since its conversion to ArviZ takes longer than a chain on few rows."""
    import pyarrow  # which only these chains need

    (batch,), (sampler,) = trace.get_arrow_trace()
    kept = ~sampler.column("tuning").to_numpy()
    coordinates = pyarrow.array(batch.column("coordinates")).flatten().to_numpy().reshape(len(kept), -1)[kept]
    taken = {"diverging": "diverging", "energy": "energy", "lp": "logp", "n_steps": "n_steps", "tree_depth": "depth"}
    info = {
        name: torch.from_numpy(sampler.column(field).to_numpy()[kept].astype(np.float64))
        for name, field in taken.items()
    }
    return coordinates, {**info, "diverging": info["diverging"].bool()}


def _nutpie() -> Any:
    """nutpie, imported where it is first needed: it brings ArviZ, which takes as long as torch."""
    quietly_imported("nutpie.compiled_pyfunc")
    return quietly_imported("nutpie")


def _native() -> Any:
    """Our way into nutpie, imported after it."""
    _nutpie()
    from estimators.algorithms.nuts import nutpie_native

    return nutpie_native
