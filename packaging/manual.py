#!/usr/bin/env python3
"""The commands and options in the manual page, packaging/softstep.1.in, from the program's own help.

    manual.py --program build/dev/tools/softstep --check       fails where the page says something else
    manual.py --program build/dev/tools/softstep --update      writes the page anew
    manual.py --program build/dev/tools/softstep --self-test
"""
import argparse
import pathlib
import re
import subprocess
import sys

PAGE = pathlib.Path(__file__).resolve().parent / "softstep.1.in"
BEGIN, END = '.\\" What follows is written by packaging/manual.py.\n', '.\\" Written by hand again.\n'
OPTION = re.compile(r"^  (?:-\w,)?(--[a-z0-9-]+)")


def help_of(program, *command):
    return subprocess.run([program, *command, "--help"], capture_output=True, text=True, check=True).stdout


def commands_of(text):
    """(name, what it does), as the program lists them."""
    listed = re.search(r"^Subcommands:\n((?:  .*\n)+)", text, re.MULTILINE)
    return [tuple(line.strip().split(None, 1)) for line in listed.group(1).splitlines()]


def options_of(text):
    """(option as it is written, what it means) of a help text; what is spread over lines is joined."""
    found = []
    for line in text.splitlines():
        if OPTION.match(line):
            found.append(re.split(r"\s{2,}", line.strip(), maxsplit=1))
        elif found and line.startswith(" " * 30) and line.strip():
            found[-1] = [found[-1][0], " ".join([*found[-1][1:], line.strip()])]
    return [(words[0], words[1] if len(words) == 2 else "") for words in found]


def names_of(options):
    return {re.search(r"--[a-z0-9-]+", option).group() for option, _ in options}


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = re.sub(r"[;,|](?=\S)", r"\g<0>\:", text)  # a line may break within a long value
    return "\\&" + text if text[:1] in (".", "'") else text


def generated(texts):
    """The two sections of the page from {command: help}; "" is the program alone."""
    out = [".SH COMMANDS"]
    commands = commands_of(texts[""])
    for name, what in commands:
        out += [".TP", f".B {name}", roff(what)]
    out += [".SH OPTIONS", "Every command has", ".BR \\-\\-help ,", "which also shows examples."]
    for title, name in [("The program", "")] + [(name, name) for name, _ in commands]:
        options = [(option, what) for option, what in options_of(texts[name]) if not name or not option.endswith("--help")]
        if options:
            out.append(f".SS {title}")
        for option, what in options:
            out += [".TP", f".B {roff(option)}", roff(what)]
    return "\n".join(line for line in out if line) + "\n"


def texts_of(program):
    top = help_of(program)
    return {"": top, **{name: help_of(program, name) for name, _ in commands_of(top)}}


def page_with(page, texts):
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + generated(texts) + END + after


def differences(page, texts):
    """What the page lacks or says beyond the program, line by line."""
    now, wanted = page.splitlines(), page_with(page, texts).splitlines()
    yield from (f"softstep.1.in lacks: {line}" for line in wanted if line not in now)
    yield from (f"softstep.1.in still has: {line}" for line in now if line not in wanted)
    if now != wanted and set(now) == set(wanted):
        yield "softstep.1.in has the lines of the program's help in another order"


def self_test(page, texts):
    extra = texts["solve"].replace("  --out FILE ", "  --planted X                 What is new\n  --out FILE ", 1)
    cases = (("nothing", page, texts, False), ("an option that is new in the program", page, {**texts, "solve": extra}, True),
             ("an option that is gone from the program", page,
              {**texts, "train": re.sub(r"^  --resume .*\n", "", texts["train"], flags=re.MULTILINE)}, True),
             ("a line that is gone from the page", page.replace(".B \\-\\-rules RULES=", ".B rules RULES=", 1), texts, True),
             ("a command that is new in the program", page,
              {**texts, "": texts[""].replace("  info  ", "  planted                     New\n  info  ", 1), "planted": ""}, True))
    missed = 0
    for what, text, helps, wanted in cases:
        seen = bool(list(differences(text, helps)))
        missed += seen != wanted
        print(f"{'MISSED' if seen != wanted else 'seen  ' if seen else 'passed'} {what}")
    return missed == 0


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    texts, page = texts_of(arguments.program), PAGE.read_text()
    if arguments.self_test:
        return 0 if self_test(page, texts) else 1
    if arguments.update:
        PAGE.write_text(page_with(page, texts))
        return 0
    faults = list(differences(page, texts))
    print("\n".join([*faults, f"manual: {len(faults)} lines differ from the program's help"]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
