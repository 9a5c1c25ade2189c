"""Probabilities that keep their logs while a program computes with them.

A probability p = sigmoid(v) is rounded to 1 from v = 37 on, and 1 - p has few digits long before: its log is a
staircase whose steps the gradient does not see, and then flat. `KeptLogs` carries ``log p`` and ``log(1 - p)`` beside
the tensor of p through the operations between a Greek and the logs that Pyro's distributions take of it (indices and
shapes, ``1 - p``, `clamp_probs`, the normalisation of a Categorical's weights), so that the logs are functions of v.
What else a program computes from p, it computes from the rounded number, as without; `Geometric` among it, which
writes into its probabilities.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions.transforms import (
    AffineTransform,
    ComposeTransform,
    IndependentTransform,
    SigmoidTransform,
    StickBreakingTransform,
)
from torch.nn.functional import logsigmoid
from torch.overrides import TorchFunctionMode


class Logs(NamedTuple):
    """``log p`` and, where it is known, ``log(1 - p)``, shaped like p."""

    log_p: Tensor
    log_not_p: Tensor | None

    def map(self, function: Callable[[Tensor], Any]) -> "Logs":
        """The logs after an operation on the shape of p."""
        return Logs(function(self.log_p), None if self.log_not_p is None else function(self.log_not_p))


def unit_interval_logs(v: Tensor) -> Logs:
    """The logs of ``p = sigmoid(v)``."""
    return Logs(logsigmoid(v), logsigmoid(-v))


def simplex_logs(v: Tensor) -> Logs:
    """The logs of stick breaking: ``p_i = z_i prod_{j<i} (1 - z_j)``, ``z_i = sigmoid(v_i - log(K - i))``."""
    size = v.shape[-1]
    shifted = v - torch.arange(size, 0, -1, dtype=v.dtype).log()
    none = torch.zeros_like(v[..., :1])
    left = torch.cat([none, logsigmoid(-shifted).cumsum(-1)], -1)
    return Logs(left + torch.cat([logsigmoid(shifted), none], -1), None)


def logs_of(transform: Any) -> Callable[[Tensor], Logs] | None:
    """The logs of a Greek as a function of its coordinates, if the map from them is one to probabilities."""
    while isinstance(transform, IndependentTransform):
        transform = transform.base_transform
    if isinstance(transform, ComposeTransform) and len(transform.parts) == 2:
        # The support of Uniform(0, 1).
        first, second = transform.parts
        if (
            isinstance(second, AffineTransform)
            and _is_everywhere(second.loc, 0.0)
            and _is_everywhere(second.scale, 1.0)
        ):
            transform = first
    if isinstance(transform, SigmoidTransform):
        return unit_interval_logs
    return simplex_logs if isinstance(transform, StickBreakingTransform) else None


class KeptLogs(TorchFunctionMode):
    """A mode in which probabilities, and their entries and reshapes, have the logs that were given with them."""

    def __init__(self, known: Iterable[tuple[Tensor, Logs]]) -> None:
        super().__init__()
        # By `id`. The tensor is kept alive so that its id is not used again, and its version is noted because writing
        # into it, or into a view of it, makes the logs wrong.
        self._known: dict[int, tuple[Tensor, int, Logs]] = {}
        self._negative: dict[int, tuple[Tensor, int, Logs]] = {}
        for value, logs in known:
            _put(self._known, value, logs)

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a torch function, with the logs in place of a logarithm of a probability."""
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        first = args[0] if args else None
        logs = _get(self._known, first)
        if name in _LISTS:
            return self._of_list(func, args, kwargs)
        if name == "log1p" and (negative := _get(self._negative, first)) is not None and negative.log_not_p is not None:
            return negative.log_not_p
        if name == "xlogy" and len(args) == 2 and (base := _get(self._known, args[1])) is not None:
            return args[0] * base.log_p
        if logs is None:
            return func(*args, **kwargs)
        if name == "log":
            return logs.log_p
        if name == "logit" and logs.log_not_p is not None:
            return logs.log_p - logs.log_not_p
        result = func(*args, **kwargs)
        if name in _SHAPES:
            _put(self._known, result, logs.map(lambda log: func(log, *args[1:], **kwargs)))
        elif name == "clamp" and _is_clamp_of_probs(*args[1:], **kwargs):
            _put(self._known, result, logs)
        elif name == "__rsub__" and _is_everywhere(args[1], 1.0) and logs.log_not_p is not None:
            _put(self._known, result, Logs(logs.log_not_p, logs.log_p))
        elif name in ("neg", "__neg__"):
            _put(self._negative, result, logs)
        elif name in ("div", "__truediv__") and len(args) == 2 and isinstance(args[1], Tensor) and not kwargs:
            _put(self._known, result, Logs(logs.log_p - args[1].log(), None))
        return result

    def _of_list(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call `stack`, `cat` or `broadcast_tensors`, with logs for the result where all tensors have them."""
        result = func(*args, **kwargs)
        if isinstance(result, Tensor):
            all_logs = [logs for value in args[0] if (logs := _get(self._known, value)) is not None]
            if all_logs and len(all_logs) == len(args[0]):
                log_p = func([logs.log_p for logs in all_logs], *args[1:], **kwargs)
                log_not_p = [logs.log_not_p for logs in all_logs if logs.log_not_p is not None]
                is_whole = len(log_not_p) == len(all_logs)
                _put(self._known, result, Logs(log_p, func(log_not_p, *args[1:], **kwargs) if is_whole else None))
            return result
        for given, value in zip(args, result, strict=False):
            logs = _get(self._known, given)
            if logs is not None:
                _put(self._known, value, logs.map(lambda log, shape=value.shape: log.expand(shape)))  # type: ignore[misc]
        return result


_LISTS = frozenset({"stack", "cat", "broadcast_tensors"})
_SHAPES = frozenset(
    (
        "__getitem__",
        "broadcast_to",
        "clone",
        "contiguous",
        "double",
        "expand",
        "expand_as",
        "flatten",
        "gather",
        "index_select",
        "movedim",
        "narrow",
        "permute",
        "repeat",
        "reshape",
        "select",
        "squeeze",
        "transpose",
        "unsqueeze",
        "view",
    )
)


def _put(table: dict[int, tuple[Tensor, int, Logs]], value: Tensor, logs: Logs) -> None:
    table[id(value)] = value, value._version, logs


def _get(table: Mapping[int, tuple[Tensor, int, Logs]], value: Any) -> Logs | None:
    tensor, version, logs = table.get(id(value), (None, 0, None))
    return logs if tensor is not None and version == tensor._version else None


def _is_clamp_of_probs(low: Any = None, high: Any = None, **named: Any) -> bool:
    """Whether a clamp keeps log(0) and log(1 - 1) away, and does nothing else."""
    low, high = named.get("min", low), named.get("max", high)
    eps = 2.0 * torch.finfo(torch.float64).eps
    return (low is None or (isinstance(low, float) and low <= eps)) and (
        high is None or (isinstance(high, float) and high >= 1.0 - eps)
    )


def _is_everywhere(value: Any, number: float) -> bool:
    """Whether a value is this number, or a tensor of it."""
    if isinstance(value, int | float):
        return value == number
    return type(value) is Tensor and bool((value == number).all())
