"""The menu of the site has every page, and links of pages lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from doubles.places import REPOSITORY

DOCS = REPOSITORY / "docs"
SETTINGS = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text())


def leaves(menu: object) -> Iterator[str]:
    if isinstance(menu, str):
        yield menu
    else:
        for entry in menu.values() if isinstance(menu, dict) else menu:
            yield from leaves(entry)


def test_every_page_is_in_the_menu_once() -> None:
    menu = list(leaves(SETTINGS["nav"]))
    assert len(menu) == len(set(menu))
    beside = {page for page in menu if (REPOSITORY / page).is_file()}
    pages = {path.name for path in DOCS.glob("*.md")}
    assert set(menu) - beside == pages | {"index.md", "decisions/*.md"}


def test_links_lead_to_files_of_the_repository() -> None:
    menu = [REPOSITORY / page for page in leaves(SETTINGS["nav"])]
    pages = {*DOCS.rglob("*.md"), REPOSITORY / "README.md", *filter(Path.is_file, menu)}
    broken = [
        (page.name, link)
        for page in pages
        for link in re.findall(r"(?<=\]\()(?![a-z]+:)[^)#\s]+", page.read_text())
        if not (page.parent / link).exists()
    ]
    assert broken == []


def test_nothing_in_the_site_is_asked_of_a_network() -> None:
    assert SETTINGS["theme"]["font"] is False
    assert {"search", "offline"} == set(SETTINGS["plugins"])
    # Without one of this name the plugin `offline` takes one from the network.
    (polyfill,) = SETTINGS["extra"]["polyfills"]
    assert "iframe-worker" in polyfill
    assert (DOCS / polyfill).is_file()
