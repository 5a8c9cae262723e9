#!/usr/bin/env python3
"""The completions as the shells themselves load them: what is offered is what the program's help names, no more and no less.

    check_completions.py --program build/dev/tools/softstep [--need bash,zsh,fish] --check|--self-test

A shell that is not there is left out, unless --need names it.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import manual  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent / "completions"
FILES = {"bash": "softstep.bash", "zsh": "_softstep", "fish": "softstep.fish"}

# Each prints what it offers for the words given, one a line.
BASH = """
source "$1"; shift
[[ $(complete -p softstep) == *_softstep* ]] || exit 3
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_softstep
printf '%s\\n' "${COMPREPLY[@]}"
"""
# The function is found as zsh finds it: by its name in fpath and by #compdef.
ZSH = """
fpath=(${1:h} $fpath); shift
autoload -Uz compinit && compinit -D -u
[[ ${_comps[softstep]} == _softstep ]] || exit 3
compadd() { [[ $1 == -a ]] && print -rl -- ${(P)2} }
_files() { }
words=("$@") CURRENT=$#
_softstep
"""
FISH = """
source $argv[1]
complete -C (string join ' ' -- $argv[2..])
"""


def offered(shell, file, program, words):
    command = {"bash": ["bash", "--norc", "-c", BASH, "bash"], "zsh": ["zsh", "-f", "-c", ZSH, "zsh"],
               "fish": ["fish", "--no-config", "-c", FISH]}[shell]
    with tempfile.TemporaryDirectory() as home:
        result = subprocess.run([*command, str(file), *words], capture_output=True, text=True, cwd=home,
                                env=dict(os.environ, HOME=home, PATH=f"{program.parent}:{os.environ['PATH']}", TERM="dumb"))
    if result.returncode != 0:
        return {f"(status {result.returncode}: {result.stderr.strip()})"}
    # fish writes a description behind a tab, and offers what begins with the word.
    return {line.split("\t")[0] for line in result.stdout.splitlines() if line}


def faults(shell, file, program, texts):
    commands = {name for name, _ in manual.commands_of(texts[""])}
    for words in (["softstep", ""], ["softstep", "help", ""]):
        found = offered(shell, file, program, words)
        if found != commands:
            yield f"{shell}: after '{' '.join(words)}' it offers {sorted(found)}, not {sorted(commands)}"
    for command in ["", *sorted(commands)]:
        wanted = manual.names_of(manual.options_of(texts[command]))
        found = offered(shell, file, program, ["softstep", *([command] if command else []), "--"])
        if wanted != found:
            yield f"{shell}: softstep {command}: missing {sorted(wanted - found)}, beyond the program {sorted(found - wanted)}"


def self_test(shell, program, texts):
    text = (HERE / FILES[shell]).read_text()
    planted = (("options with digits are not seen", "--[a-z0-9-]+'", "--[a-z-]+'"),
               ("examples are taken for options", "'^  (", "'^ +("),
               ("commands are not seen", "Subcommands:", "Commands:"),
               ("a file that cannot be loaded", "_softstep", "((( _softstep"))
    missed = 0
    for what, old, new in (("nothing", "", ""), *planted):
        with tempfile.TemporaryDirectory() as place:
            file = pathlib.Path(place) / FILES[shell]
            if old not in text:
                sys.exit(f"check_completions: {FILES[shell]} has no {old!r} to plant a fault at")
            file.write_text(text.replace(old, new))
            seen = bool(list(faults(shell, file, program, texts)))
        good = seen != (what == "nothing")
        missed += not good
        print(f"{'MISSED' if not good else 'seen  ' if seen else 'passed'} {shell}: {what}")
    return missed == 0


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--need", default="")
    parser.add_argument("--check", action="store_true", help="what it does without --self-test too")
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    program = arguments.program.resolve()
    needed = {word for word in re.split(",", arguments.need) if word}
    if not needed <= FILES.keys():
        sys.exit(f"check_completions: --need {arguments.need} (need some of {','.join(FILES)})")
    shells = [shell for shell in FILES if shutil.which(shell)]
    found = [f"{shell} is not there" for shell in sorted(needed - set(shells))]
    texts = manual.texts_of(program)
    if arguments.self_test:
        return 0 if all([self_test(shell, program, texts) for shell in shells]) and shells and not found else 1
    for shell in shells:
        found += faults(shell, HERE / FILES[shell], program, texts)
    print("\n".join([*found, f"completions: {', '.join(shells)}; {len(found)} faults"]))
    return 1 if found or not shells else 0


if __name__ == "__main__":
    sys.exit(main())
