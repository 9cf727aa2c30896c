"""Bring into the site what lies beside ``docs/``; MkDocs calls these functions (mkdocs.yml).

Links of pages are those of the repository, so that they work where its files are read, too.
README.md becomes the start page, a file that a page links to becomes part of the site, and
decisions get a list.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DECISIONS = "decisions/*.md"
LINK = re.compile(r"(?<=\]\()(?![a-z]+:)[^)#\s]+")
# GitHub draws these by a script; the site would have to fetch it.
MERMAID = re.compile(r"^```mermaid\n.*?^```\n", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every decision into the menu."""
    decisions = ["decisions/index.md", *(f"decisions/{path.name}" for path in _decisions())]
    sections = [pages for entry in config.nav or [] for pages in entry.values()]
    for page in (page for pages in sections if isinstance(pages, list) for page in pages):
        if isinstance(page, dict):
            page.update({title: decisions for title, path in page.items() if path == DECISIONS})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the start page, the list of decisions, and the files that pages link to."""
    listed = "\n".join(f"- [{_title(path)}]({path.name})" for path in _decisions())
    content = f"# Decisions\n\nWhy things are as they are, one page each.\n\n{listed}\n"
    waiting = [_repository_path(page.src_uri) for page in files.documentation_pages()]
    waiting += ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
    files.append(File.generated(config, "decisions/index.md", content=content))
    while waiting:
        path = waiting.pop()
        if _site_uri(path) not in files.src_uris:
            place = str(ROOT / path)
            files.append(File.generated(config, _site_uri(path), abs_src_path=place))
        if path.endswith(".md"):
            targets = {_target(path, link) for link in LINK.findall((ROOT / path).read_text())}
            known = {one for one in targets if _site_uri(one) in files.src_uris}
            waiting += [one for one in targets - known if (ROOT / one).is_file()]
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Let links of the repository lead to where their targets lie in the site."""
    here = page.file.src_uri
    path = _repository_path(here)
    if not (ROOT / path).is_file():
        return markdown
    folder = posixpath.dirname(here) or "."

    def replaced(link: re.Match[str]) -> str:
        return posixpath.relpath(_site_uri(_target(path, link[0])), folder)

    return LINK.sub(replaced, MERMAID.sub("", markdown))


def _decisions() -> list[Path]:
    return sorted((ROOT / "docs" / "decisions").glob("*.md"))


def _title(decision: Path) -> str:
    return decision.read_text().splitlines()[0].removeprefix("# ")


def _target(path: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), link))


def _site_uri(path: str) -> str:
    fixed = {"README.md": "index.md", "docs/decisions": "decisions/index.md"}
    return fixed.get(path, path.removeprefix("docs/"))


def _repository_path(uri: str) -> str:
    if uri == "index.md":
        return "README.md"
    return f"docs/{uri}" if (ROOT / "docs" / uri).is_file() else uri
