"""The rooms of both packages and which import which, drawn from the code as docs/rooms.svg.

``python docs/rooms.py`` writes the picture, ``python docs/rooms.py --check`` (in `make check`) says where it is stale.
A room is a folder or a loose file at the top of a package; its floor is the longest chain of imports below it. An arrow
that a chain of others implies is left out.
"""

import ast
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
PICTURE = HERE / "rooms.svg"
PACKAGES = ("estimators", "validation")
WIDTH, HEIGHT, GAP, FLOOR, MARGIN = 112, 30, 18, 74, 24
Imports = Mapping[str, frozenset[str]]


def room_of(module: list[str]) -> str:
    """The room of a module by its path below the package."""
    return module[0].removesuffix(".py")


def imports_of(package: str) -> Imports:
    """The rooms that each room imports, by the statements of its files (what is imported for types alone aside)."""
    found: dict[str, set[str]] = {}
    for path in sorted(Path(package).rglob("*.py")):
        room = room_of(list(path.relative_to(package).parts))
        if room == "__init__":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        typing = {node for branch in ast.walk(tree) if is_for_types(branch) for node in ast.walk(branch)}
        names = {
            node.module.split(".")[1]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node not in typing
            if node.module and node.module.startswith(f"{package}.")
        }
        found.setdefault(room, set()).update(names - {room})
    return {room: frozenset(names & found.keys()) for room, names in found.items()}


def is_for_types(node: ast.AST) -> bool:
    """Whether a statement is ``if TYPE_CHECKING:``."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def floors_of(imports: Imports) -> dict[str, int]:
    """The floor of each room, 0 at the ground; raises ValueError for a circle."""
    floors: dict[str, int] = {}
    while len(floors) < len(imports):
        ready = [room for room in imports if room not in floors and imports[room] <= floors.keys()]
        if not ready:
            raise ValueError(f"a circle of imports among {sorted(imports.keys() - floors.keys())}")
        for room in ready:
            floors[room] = 1 + max((floors[name] for name in imports[room]), default=-1)
    return floors


def direct(imports: Imports) -> Imports:
    """The same without what a chain of others implies."""

    def below(room: str) -> frozenset[str]:
        return imports[room].union(*(below(name) for name in imports[room]))

    return {room: names - frozenset().union(*(below(name) for name in names)) for room, names in imports.items()}


def drawn(package: str, left: float) -> tuple[list[str], float, int]:
    """The lines of one package's picture from `left` on, its width, and its number of floors."""
    imports = imports_of(package)
    floors, count = floors_of(imports), 1 + max(floors_of(imports).values())
    rows = [sorted(room for room in imports if floors[room] == floor) for floor in range(count)]
    width = max(len(row) for row in rows) * (WIDTH + GAP) - GAP
    centres = {}
    for floor, row in enumerate(rows):
        start = left + (width - len(row) * (WIDTH + GAP) + GAP) / 2
        for place, room in enumerate(row):
            centres[room] = (start + place * (WIDTH + GAP) + WIDTH / 2, (count - 1 - floor) * FLOOR)
    lines = [
        f'<text class="package" x="{left + width / 2:g}" y="-24">{package}: {len(imports)} rooms, {count} floors</text>'
    ]
    for room, names in sorted(direct(imports).items()):
        for name in sorted(names):
            (x, y), (u, v) = centres[room], centres[name]
            lines.append(f'<path d="M{x:g},{y + HEIGHT:g} C{x:g},{y + HEIGHT + 24:g} {u:g},{v - 24:g} {u:g},{v:g}"/>')
    for room, (x, y) in sorted(centres.items()):
        lines.append(f'<rect x="{x - WIDTH / 2:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="4"/>')
        lines.append(f'<text x="{x:g}" y="{y + 20:g}">{room}</text>')
    return lines, width, count


def picture() -> str:
    """The whole picture as SVG."""
    lines: list[str] = []
    left, most = 0.0, 0
    for package in PACKAGES:
        drawing, width, count = drawn(package, left)
        lines += drawing
        left, most = left + width + 3 * GAP, max(most, count)
    width, height = left - 3 * GAP + 2 * MARGIN, most * FLOOR + MARGIN + 24
    style = (
        "text{font:13px sans-serif;text-anchor:middle;fill:#222}.package{font-weight:bold}"
        "rect{fill:#dfe6ee;stroke:#808080}path{fill:none;stroke:#8aa0b4;marker-end:url(#end)}"
    )
    arrow = '<marker id="end" orient="auto" markerWidth="8" markerHeight="8" refX="7" refY="4">'
    arrow += '<polygon points="0,1 8,4 0,7" fill="#8aa0b4"/></marker>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{-MARGIN} {-48} {width:g} {height:g}">'
    return "\n".join([head, f"<style>{style}</style>", f"<defs>{arrow}</defs>", *lines, "</svg>", ""])


def main() -> int:
    """Write the picture, or with ``--check`` compare it."""
    drawing = picture()
    if "--check" not in sys.argv[1:]:
        PICTURE.write_text(drawing, encoding="utf-8")
        return 0
    if PICTURE.read_text(encoding="utf-8") != drawing:
        print("docs/rooms.svg is stale: run `python docs/rooms.py`, and look at the picture", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
