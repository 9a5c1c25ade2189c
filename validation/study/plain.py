"""Dataclasses as plain dictionaries, lists and numbers, for JSON, and back. An enum is written as its member's name."""

from collections.abc import Callable
from enum import Enum
from typing import Any

from cattrs import Converter


def converter(write_number: Callable[[float], Any] = float) -> Converter:
    """Return a converter that writes every floating-point number by a function.

    It reads by the annotations of a class; what does not fit them is a KeyError, TypeError or ValueError.
    """
    made = Converter(detailed_validation=False)
    made.register_unstructure_hook(Enum, lambda member: member.name)
    made.register_structure_hook_func(_is_enum, lambda name, kind: kind[name])
    made.register_unstructure_hook(float, write_number)
    return made


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)
