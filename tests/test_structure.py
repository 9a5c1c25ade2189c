"""How tall and wide the code may be: modules, classes, functions and lists of arguments.

What was taller when the limits came is listed with its size; it may only shrink, and leaves the list when it fits.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODULE, CLASS, FUNCTION, ARGUMENTS = 400, 200, 60, 7
TALL: dict[str, int] = {}


def sizes() -> Iterator[tuple[str, int, int]]:
    """Every module, class, function and list of arguments: its name, its size, and what it may be."""
    for package in ("estimators", "validation"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name, text = str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
            yield name, text.count("\n"), MODULE
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ClassDef):
                    yield f"{name}:{node.name}", lines(node), CLASS
                elif isinstance(node, ast.FunctionDef):
                    yield f"{name}:{node.name}()", lines(node), FUNCTION
                    yield f"{name}:{node.name}(...)", arguments(node), ARGUMENTS


def lines(node: ast.ClassDef | ast.FunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def arguments(function: ast.FunctionDef) -> int:
    """How many arguments a caller gives, `self` aside."""
    given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return len([argument for argument in given if argument.arg not in ("self", "cls")])


def test_nothing_is_taller_than_it_may_be() -> None:
    found = {name: size for name, size, limit in sizes() if size > limit}
    grown = {name: size for name, size in found.items() if size > TALL.get(name, 0)}
    assert not grown, f"too tall: {grown}; say it in fewer lines, or give a concept a file of its own"


def test_the_list_of_what_is_tall_is_no_longer_than_it_must_be() -> None:
    found = {name: size for name, size, limit in sizes() if size > limit}
    assert {name: found.get(name, 0) for name in TALL} == TALL, "it has shrunk: take its new size, or take it off TALL"


def test_what_is_too_tall_is_seen() -> None:
    tree = ast.parse("class A:\n" + "    x = 1\n" * CLASS + "def f(self, *, a, b=1): ...\n")
    tall, wide = tree.body
    assert isinstance(tall, ast.ClassDef) and lines(tall) > CLASS
    assert isinstance(wide, ast.FunctionDef) and arguments(wide) == 2
