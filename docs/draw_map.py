"""Write the map of the package into docs/architecture.md: floors, rooms, imports between them.

The line of a room is the docstring of its package; the arrows are its imports.
"""

import ast
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import grimp

PACKAGE: Final = "organome"
REPOSITORY: Final = Path(__file__).parents[1]
SOURCE: Final = REPOSITORY / "src" / PACKAGE
PAGE: Final = REPOSITORY / "docs" / "architecture.md"
BEGIN: Final = "<!-- made by docs/draw_map.py: begin -->"
END: Final = "<!-- made by docs/draw_map.py: end -->"
# From the top; those of one line do not know each other.
FLOORS: Final = (
    ("cli",),
    ("steps", "phantoms"),
    ("shards",),
    ("cohorts", "compute", "io"),
    ("domain",),
)
_FEW: Final = 2  # single imports between floors are left out of the picture


def rooms() -> dict[str, str]:
    """Return the line of every package, by its path below the source folder."""
    lines = {}
    for path in sorted(SOURCE.rglob("__init__.py")):
        place = path.parent.relative_to(SOURCE).as_posix()
        if place != ".":
            lines[place] = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]
    return lines


def map_page() -> str:
    """Return the part of the page that is made: a table of rooms and a picture."""
    lines = rooms()
    table = ["| floor | room | what is done there |", "|---|---|---|"]
    for floor in (floor for row in FLOORS for floor in row):
        places = [place for place in lines if place.split("/")[0] == floor]
        for place in places:
            name = f"**{floor}**" if place == floor else ""
            room = "" if place == floor else f"`{place.split('/', 1)[1]}`"
            table.append(f"| {name} | {room} | {lines[place]} |")
    return "\n".join([BEGIN, "", *_picture(), "", *table, "", END])


def _picture() -> list[str]:
    floors = [floor for row in FLOORS for floor in row]
    arrows: Counter[tuple[str, str]] = Counter()
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            ends = module.split(".")[1:2], imported.split(".")[1:2]
            if all(ends) and ends[0] != ends[1]:
                arrows[ends[0][0], ends[1][0]] += 1
    drawn = [
        f"  {one} --> {other}"
        for (one, other), n_imports in sorted(arrows.items())
        if one in floors and other in floors and n_imports >= _FEW
    ]
    nodes = [f"  {' ~~~ '.join(row)}" for row in FLOORS if len(row) > 1]
    return ["```mermaid", "flowchart TD", *nodes, *drawn, "```"]


def main() -> None:
    """Write the page."""
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + map_page() + after)
    print(f"{PAGE.relative_to(REPOSITORY)}: {len(rooms())} rooms", file=sys.stderr)


if __name__ == "__main__":
    main()
