#!/usr/bin/env python3
"""Doxygen's input filter for the public headers.

    doxygen_filter.py FILE

- The ordinary comments of the C header become comments of Doxygen's. A comment on lines of its own is about what follows; one
  behind a declaration on the same line is about that. Titles of sections (/* ---- .. ---- */) stay what they are.
- `extern template` names nothing new, and Breathe cannot read it.
"""
import re
import sys

COMMENT = re.compile(r"/\*(?!\*)(.*?)\*/", re.DOTALL)
EXTERN_TEMPLATE = re.compile(r"^extern template [^;]*;", re.MULTILINE)


def marked(text):
    def mark(match):
        body = match.group(1).replace("..", "\u2026")  # a . at the end of a line or a word ends a list of Doxygen's
        if body.strip().startswith("----"):
            return match.group()
        before = text[text.rfind("\n", 0, match.start()) + 1:match.start()]
        if before.strip():
            return f"/**<{body}*/"
        if match.start() == 0:  # of the whole header: tools/site/api.py takes it
            return match.group()
        return f"/**{body}*/"

    return COMMENT.sub(mark, text)


def filtered(name, text):
    if name.endswith("c/softstep.h"):
        return marked(text)
    return EXTERN_TEMPLATE.sub(lambda match: "\n" * match.group().count("\n"), text)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        sys.stdout.write(filtered(sys.argv[1], file.read()))
