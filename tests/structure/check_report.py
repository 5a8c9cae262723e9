#!/usr/bin/env python3
"""The pages of `softstep report`, opened in a headless browser on a phone and on a desk.

    check_report.py --program SOFTSTEP [--keep DIR] [--self-test]

Makes a comparison, a sweep and two verdicts, and a page of each; looks at 390x844 and 1280x900, light and dark, and prints. Wanted: no
message, exception or request; no page wider than the window; every figure visible; every table in a box that scrolls by itself; the
text of the page is well-formed, its ids are unique. --keep leaves the pages and their screenshots in DIR.
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from browser import Browser, Page, find_browser  # noqa: E402

SIZES = [(390, 844), (1280, 900)]
PLOTS = ["loss_gap", "weight_norm", "one_minus_cos", "one_minus_attention"]

# What is to be seen, as the browser has laid it out.
MEASURE = """(() => {
  const box = element => { const r = element.getBoundingClientRect(); return [r.left, r.right, r.width, r.height]; };
  const shown = element => element.checkVisibility({checkOpacity: true, checkVisibilityCSS: true});
  const figures = [...document.querySelectorAll('figure')].map(figure => {
    const picture = figure.querySelector('img');
    return picture && {box: box(picture), shown: shown(picture), label: picture.alt,
                       drawn: picture.complete && picture.naturalWidth > 0};
  });
  const tables = [...document.querySelectorAll('table')].map(table => ({
    box: box(table.parentElement), inner: box(table), shown: shown(table),
    scrolls: getComputedStyle(table.parentElement).overflowX === 'auto'}));
  return {width: innerWidth, scroll: document.documentElement.scrollWidth, figures, tables,
          background: getComputedStyle(document.body).backgroundColor,
          letters: parseFloat(getComputedStyle(document.body).fontSize)};
})()"""


def problems_of_text(text):
    try:
        page = ElementTree.fromstring(text.replace("<!DOCTYPE html>", "", 1))
    except ElementTree.ParseError as error:
        yield f"not well-formed: {error}"
        return
    ids = [element.get("id") for element in page.iter() if element.get("id")]
    for one in sorted({one for one in ids if ids.count(one) > 1}):
        yield f"the id {one} is there {ids.count(one)} times"


def problems_of_layout(page, width, dark, n_figures):
    yield from page.complaints()
    seen = page.value(MEASURE)
    if seen["width"] != width:
        yield f"laid out for {seen['width']} instead of {width}"
    # Against the window that was asked for: a phone makes its own wider when the page does not fit.
    if seen["scroll"] > width:
        yield f"{seen['scroll']} wide"
    if seen["letters"] < 15:
        yield f"letters of {seen['letters']} px"
    if len(seen["figures"]) != n_figures:
        yield f"{len(seen['figures'])} figures instead of {n_figures}"
    for number, figure in enumerate(seen["figures"], 1):
        if not figure or not figure["shown"] or not figure["drawn"] or min(figure["box"][2:]) < 200:
            yield f"figure {number} is not to be seen: {figure}"
        elif figure["box"][0] < 0 or figure["box"][1] > width:
            yield f"figure {number} reaches out of the window: {figure['box']}"
        elif not figure["label"]:
            yield f"figure {number} has no text"
    if not seen["tables"]:
        yield "no tables"
    for number, table in enumerate(seen["tables"], 1):
        if not table["shown"] or min(table["inner"][2:]) < 20:
            yield f"table {number} is not to be seen"
        if not table["scrolls"] or table["box"][1] > width:
            yield f"table {number} is in no box of its own: {table}"
    light = sum(int(part) for part in seen["background"].strip("rgba()").split(",")[:3]) > 3 * 128
    if light == dark:
        yield f"the background is {seen['background']} by {'night' if dark else 'day'}"


def look(browser, path, n_figures, keep=None):
    """What is wrong with a page, at every size."""
    for problem in problems_of_text(path.read_text()):
        yield problem
    for width, height in SIZES:
        for dark in (False, True):
            where = f"{width}x{height}{' dark' if dark else ''}"
            page = Page(browser, path.resolve().as_uri(), width, height, dark)
            for problem in problems_of_layout(page, width, dark, n_figures):
                yield f"{where}: {problem}"
            if keep:
                page.screenshot(keep / f"{path.stem}_{width}{'_dark' if dark else ''}.png")
            if not dark and width > 600:
                pdf = page.pdf()
                if not pdf.startswith(b"%PDF"):
                    yield "cannot be printed"
                if keep:
                    (keep / f"{path.stem}.pdf").write_bytes(pdf)
            page.close()


def verdict(name, passed):
    words = "the loss gap falls like exp(-c t^(1/2)) under normalised steps with the schedule (t+1)^(-1/2)"
    return {
        "name": name, "title": f"The laws of {name}, told at some length, so that the line must be broken",
        "summary": "Slopes fitted over the last two of five decades, beside what the theory says: " + words + ".",
        "passed": passed,
        "configuration": {"data": {"model": "signal_noise", "samples": 4}, "rules": ["gd:step-size=20", "ngd"],
                          "long": "a_name_without_a_place_to_break_it_" * 4},
        "checks": [{"law": words, "expected": 0.5, "measured": 0.4987, "lowest": 0.47, "highest": 0.53, "passed": True},
                   {"law": "no NaN", "expected": "none", "measured": None, "lowest": None, "highest": None,
                    "passed": passed}],
        "tables": [{"title": "Fitted slopes", "columns": [f"column number {k}" for k in range(12)],
                    "rows": [[f"row {r}"] + [10.0 ** (-3 * k) for k in range(11)] for r in range(3)]}],
        "figures": [{"file": plot + ".svg", "title": plot, "caption": words} for plot in PLOTS],
        "version": "0", "machine": {"isa": "scalar", "threads": 2, "compiler": "any"}, "seconds": 1.25}


def make_pages(program, place):
    """[(page, number of figures)]"""
    def run(*arguments):
        subprocess.run([program, *arguments], cwd=place, check=True, stdout=subprocess.DEVNULL)

    run("compare", "--samples", "4", "--tokens", "3", "--dim", "12", "--steps", "300", "--seeds", "3", "--rules",
        "gd:step-size=20;ngd:schedule-power=0.5,step-size=1;polyak", "--out", "comparison")
    run("sweep", "--samples", "4", "--tokens", "3", "--dim", "12", "--steps", "100", "--seeds", "2", "--out", "sweep")
    for name, passed in (("rates", True), ("joint", False)):  # the first with a picture that acts
        folder = place / "reproduction" / name
        folder.mkdir(parents=True)
        for plot in PLOTS:
            shutil.copy(place / "comparison" / (plot + ".svg"), folder)
        if passed:
            (folder / (PLOTS[0] + ".svg")).write_text(ACTING)
        (folder / "verdict.json").write_text(json.dumps(verdict(name, passed)))
    (place / "reproduction" / "verdict.json").write_text(json.dumps(["rates", "joint"]))
    pages = [("comparison", 4), ("sweep", 0), ("reproduction", 8)]
    for name, _ in pages:
        run("report", name, "--out", name + ".html")
    return [(place / (name + ".html"), n_figures) for name, n_figures in pages]


# A picture that does all that a picture must not do in a report.
ACTING = """<svg xmlns="http://www.w3.org/2000/svg" width="300" height="250" onload="console.log('loaded')">
<script>console.log('a script of a picture')</script><style>@import url(elsewhere.css); svg { fill: url(elsewhere.svg#a) }</style>
<image href="elsewhere.png" width="10" height="10"/><use href="elsewhere.svg#a"/><rect width="300" height="250"/>
<foreignObject width="9" height="9"><img xmlns="http://www.w3.org/1999/xhtml" src="elsewhere.png" onerror="console.log('x')"/>
</foreignObject></svg>
"""

# A page with one of these changes must not pass.
PLANTED = [
    ("a script that fails", "</main>", "<script>throw new Error('planted')</script></main>"),
    ("a message", "</main>", "<script>console.log('planted')</script></main>"),
    ("a picture from elsewhere", "</main>", "<img src=\"elsewhere.png\" alt=\"x\"/></main>"),
    ("something wide", "</main>", "<div style=\"width: 1500px\">x</div></main>"),
    ("no viewport", "name=\"viewport\"", "name=\"planted\""),
    ("a hidden figure", "<figure>", "<figure style=\"display: none\">"),
    ("a figure without size", "<figure>", "<figure style=\"width: 0\">"),
    ("a transparent figure", "<figure>", "<figure style=\"opacity: 0\">"),
    ("a figure without words", "alt=\"Loss", "title=\"Loss"),
    ("a figure less", "<figure>", "<div>"),
    ("a table that does not scroll", "class=\"scroll\"", "class=\"planted\""),
    ("small letters", "font: 1rem", "font: .7rem"),
    ("no dark colours", "prefers-color-scheme: dark", "prefers-color-scheme: none"),
    ("an element that is not closed", "</main>", "<p></main>"),
    ("an id that is there twice", "<h1>", "<h1 id=\"x\"><span id=\"x\"></span>"),
    ("a picture that cannot be drawn", "svg+xml;base64,", "svg+xml;base64,AAAA"),
    ("a picture that acts, as a part of the page", "</main>", ACTING + "</main>"),
]


def without_policy(text):
    return text[:text.index("<meta http-equiv")] + text[text.index("<meta name=\"viewport\""):]


def self_test(browser, pages):
    page, n_figures = pages[0]
    # Only what forbids scripts and loading keeps some of these from being seen as what they are.
    text = without_policy(page.read_text())
    planted, missed = page.with_name("planted.html"), 0
    for what, old, new in [("nothing", "", "")] + PLANTED:
        if old not in text:
            raise SystemExit(f"{what}: there is no {old} to plant it in")
        changed = text.replace(old, new, 1)
        if what == "a figure less":
            changed = changed.replace("</figure>", "</div>", 1)
        planted.write_text(changed)
        found = list(look(browser, planted, n_figures))
        wrong = bool(found) == (what == "nothing")
        missed += wrong
        print(f"{'WRONG ' if wrong else 'right '} {what}: {found[0] if found else 'passes'}")
    # The picture that acts does nothing as an <img>, with or without what forbids it.
    page, n_figures = pages[-1]
    planted.write_text(without_policy(page.read_text()))
    found = list(look(browser, planted, n_figures))
    missed += bool(found)
    print(f"{'WRONG ' if found else 'right '} a picture that acts, as a picture: {found[0] if found else 'passes'}")
    n_pages = len(PLANTED) + 2
    print(f"{n_pages - missed} of {n_pages} pages were judged right")
    return missed == 0


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    path = find_browser()
    if path is None:
        sys.exit("check_report: no browser: tools/setup --browser, or name one in SOFTSTEP_BROWSER")
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    n_problems = 0
    with tempfile.TemporaryDirectory() as name, Browser(path) as browser:
        pages = make_pages(arguments.program.resolve(), pathlib.Path(name))
        if arguments.self_test:
            sys.exit(0 if self_test(browser, pages) else 1)
        for page, n_figures in pages:
            for problem in look(browser, page, n_figures, arguments.keep):
                n_problems += 1
                print(f"{page.name}: {problem}")
            if arguments.keep:
                shutil.copy(page, arguments.keep)
    print(f"{len(pages)} pages at {len(SIZES)} sizes, light and dark: {n_problems} problems")
    sys.exit(1 if n_problems else 0)


if __name__ == "__main__":
    main()
