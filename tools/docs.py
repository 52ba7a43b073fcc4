"""Hooks of MkDocs, which makes a website of the documentation: `make docs`.

In the repository the pages are plain Markdown, whose links are relative paths. The hooks

- read the navigation from docs/index.md, so that it is written once;
- add the pages that lie outside of docs/, such as README.md, and the files that pages link to;
- add a page for each stable module, made of its docstrings;
- make links lead to the places that all these have on the website.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = {  # pages outside of docs/, and their names on the website
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
    "examples/shop/README.md": "shop.md",
    "tmtp/simulation/conversations/README.md": "conversations.md",
}
MODULES = ("messaging", "client", "markup", "testing", "signals")  # of tmtp: those that sites import functions from
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
ENTRY = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Set the navigation: the sections of docs/index.md, and in each section its links."""
    _, *sections = HEADING.split((ROOT / "docs/index.md").read_text())
    nav: list[dict[str, Any]] = [{"Start": ["index.md", {"README": "readme.md"}]}]
    for title, text in zip(sections[::2], sections[1::2], strict=True):
        nav.append({title: [{name: place(normpath(f"docs/{link}"))} for name, link in ENTRY.findall(text)]})
        if title == "Look up":
            nav[-1][title].append({"Modules": [module_page(name) for name in MODULES]})
        if title == "Work on it":
            nav[-1][title] += [place(name) for name in OUTSIDE if name not in ("README.md", "CONTRIBUTING.md")]
    config.nav = nav
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what the website shows and docs/ does not contain."""
    for name in OUTSIDE:
        files.append(File.generated(config, place(name), abs_src_path=str(ROOT / name)))
    for name in MODULES:
        files.append(File.generated(config, module_page(name), content=f"# tmtp.{name}\n\n::: tmtp.{name}\n"))
    for source in [path for path in sources(files) if path.suffix == ".md"]:
        for link, _ in LINK.findall(source.read_text()):
            target = normpath(f"{source.relative_to(ROOT).parent}/{link}")
            if (ROOT / target).is_file() and files.get_file_from_path(place(target)) is None:
                files.append(File.generated(config, place(target), abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the page with links that are right on the website."""
    source = Path(page.file.abs_src_path or "")
    if not source.is_relative_to(ROOT):  # made here
        return markdown
    here = PurePosixPath(page.file.src_uri).parent

    def moved(match: re.Match[str]) -> str:
        target = normpath(f"{source.relative_to(ROOT).parent}/{match[1]}")
        return relpath(place(target), here) + (match[2] or "")

    return LINK.sub(moved, markdown)


def sources(files: Files) -> list[Path]:
    """Return the paths in the repository of all files that are there."""
    paths = [Path(file.abs_src_path) for file in files if file.abs_src_path]
    return [path for path in paths if path.is_relative_to(ROOT)]


def place(name: str) -> str:
    """Return the path on the website of a file of the repository; both are relative to their roots."""
    if name.startswith("docs/"):
        return name.removeprefix("docs/")
    return OUTSIDE.get(name, f"files/{name}")


def module_page(name: str) -> str:
    return f"reference/modules/{name}.md"
