#!/usr/bin/env python3
"""The pages as they were built: every link inside the site leads to a file and an anchor that are there, and nothing that a page
needs (scripts, styles, fonts, pictures) comes from another host.

    links.py HTML_DIR [--self-test]
"""
import html.parser
import pathlib
import re
import shutil
import sys
import tempfile
import urllib.parse

NEEDED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("object", "data"), ("link", "href")}
LOADED_BY_CSS = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])((?:https?:)?//[^'\")]+)")


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.anchors, self.links = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors.update(value for key in ("id", "name") if (value := attributes.get(key)))
        for key in ("href", "src", "data"):
            if value := attributes.get(key):
                needed = (tag, key) in NEEDED and attributes.get("rel") not in ("canonical", "next", "prev", "search", "index")
                self.links.append((value, needed, self.getpos()[0]))


def faults(root):
    pages = {path: Page(path.read_text()) for path in sorted(root.rglob("*.html"))}
    if not pages:
        yield f"{root}: no pages"
    for path, page in pages.items():
        name = path.relative_to(root)
        for link, needed, line in page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                if needed and parts.scheme != "data":
                    yield f"{name}:{line}: {link}: comes from another host"
                continue
            target = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                yield f"{name}:{line}: {link}: there is no such file"
            elif parts.fragment and target.suffix == ".html":
                other = pages[target] if target in pages else Page(target.read_text())
                if urllib.parse.unquote(parts.fragment) not in other.anchors:
                    yield f"{name}:{line}: {link}: there is no such anchor"
    for path in sorted(root.rglob("*.css")):
        for match in LOADED_BY_CSS.finditer(path.read_text()):
            yield f"{path.relative_to(root)}: {match.group(1)}: comes from another host"


def self_test(root):
    planted = {
        "a page that is not there": '<a href="gone.html">x</a>',
        "an anchor that is not there": '<a href="#gone">x</a>',
        "an anchor of another page that is not there": '<a href="docs/index.html#gone">x</a>',
        "a picture that is not there": '<img src="gone.svg">',
        "a script of another host": '<script src="https://example.org/x.js"></script>',
        "a style of another host": '<link rel="stylesheet" href="//example.org/x.css">',
    }
    missed = 0
    with tempfile.TemporaryDirectory() as place:
        copy = pathlib.Path(place).resolve() / "site"
        shutil.copytree(root, copy)
        for number, text in enumerate(planted.values()):
            (copy / f"planted{number}.html").write_text(text)
        found = list(faults(copy))
    for number, what in enumerate(planted):
        seen = sum(fault.startswith(f"planted{number}.html:") for fault in found) == 1
        missed += not seen
        print(f"{'seen  ' if seen else 'MISSED'} {what}")
    return missed == 0


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    if "--self-test" in sys.argv[2:]:
        return 0 if self_test(root) else 1
    found = list(faults(root))
    print("\n".join([*found, f"links: {len(found)} broken links in the pages of the site"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
