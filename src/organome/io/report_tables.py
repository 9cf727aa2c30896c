"""Tables of a report as CSV, Markdown and LaTeX, and the page that shows them all."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from organome.io.files.atomic import write_text_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTHING: Final = "\N{EN DASH}"
_TWO_DECIMALS: Final = ("_mm", "_ml", "_pct", "years")
_LATEX: Final = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "±": r"$\pm$", NOTHING: "--"}

_DPI: Final = 150
# Equal content gives equal bytes: neither a date nor random ids.
_STABLE: Final[Any] = {"svg.hashsalt": "organome", "svg.fonttype": "none"}


@dataclass(frozen=True, slots=True)
class ReportTable:
    """One table of the report.

    Attributes:
        name: Name of its files.
        title: What it is.
        note: How to read it, in a sentence or two.
        frame: Its rows; numbers as they were computed, texts as they shall stand.
    """

    name: str
    title: str
    note: str
    frame: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Picture:
    """One figure of the report: ``<name>.png`` and ``<name>.svg``."""

    name: str
    title: str


def write_table_files(folder: Path, table: ReportTable) -> None:
    """Write a table as CSV with all digits, and as Markdown and LaTeX for people."""
    csv = table.frame.to_csv(index=False, lineterminator="\n")
    write_text_atomic(folder / f"{table.name}.csv", csv)
    write_text_atomic(folder / f"{table.name}.md", f"{table.note}\n\n{markdown(table.frame)}")
    write_text_atomic(folder / f"{table.name}.tex", latex(table))


def save_figure(figure: "Figure", folder: Path, name: str) -> None:
    """Write a figure as PNG and SVG."""
    folder.mkdir(parents=True, exist_ok=True)
    import matplotlib as mpl  # here: it takes long, and most tables go without pictures

    with mpl.rc_context(_STABLE):
        figure.savefig(folder / f"{name}.png", dpi=_DPI, metadata={"Software": None})
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})


def markdown(frame: pd.DataFrame) -> str:
    """Write a frame as a table of Markdown."""
    header = [str(column).replace("_", " ") for column in frame.columns]
    lines = [header, ["---"] * len(header), *_cells(frame)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def latex(table: ReportTable) -> str:
    """Write a table for LaTeX with the package booktabs."""
    header = [str(column).replace("_", " ") for column in table.frame.columns]
    rows = [_latex_row(line) for line in (header, *_cells(table.frame))]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_latex_text(table.title)}. {_latex_text(table.note)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
            *(r"\toprule", rows[0], r"\midrule", *rows[1:], r"\bottomrule"),
            *(r"\end{tabular}", r"\end{table}", ""),
        ]
    )


def index_page(
    title: str,
    introduction: Sequence[str],
    shown: Iterable[ReportTable],
    pictures: Iterable[Picture],
    *,
    tables: str = "tables",
) -> str:
    """Write the page that shows all tables and pictures of the folder that it lies in.

    Args:
        title: Of the page.
        introduction: Paragraphs before the tables.
        shown: Tables, whose files lie in the folder ``tables``.
        pictures: Figures, whose files lie in ``figures``.
        tables: Folder of the tables, from the page.
    """
    parts = [f"# {title}\n", *(f"{line}\n" for line in introduction)]
    for table in shown:
        links = (f"[{kind}]({tables}/{table.name}.{kind})" for kind in ("csv", "md", "tex"))
        files = " · ".join(links)
        parts += [f"## {table.title}\n", f"{table.note} {files}\n", markdown(table.frame)]
    for picture in pictures:
        image = f"![{picture.title}](figures/{picture.name}.png)"
        parts += [f"## {picture.title}\n", f"{image}\n\n[SVG](figures/{picture.name}.svg)\n"]
    return "\n".join(parts)


def _cells(frame: pd.DataFrame) -> list[list[str]]:
    names = [str(column) for column in frame.columns]
    return [
        [_text(value, name) for name, value in zip(names, row, strict=True)]
        for row in frame.itertuples(index=False, name=None)
    ]


def _text(value: Any, column: str) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value).replace("|", "/")
    if column.startswith("p_") or "_p_" in column:
        return f"{value:.2g}"
    return f"{value:.{2 if column.endswith(_TWO_DECIMALS) else 3}f}"


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(_latex_text(cell) for cell in cells) + r" \\"


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
