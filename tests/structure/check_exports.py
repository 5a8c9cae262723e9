#!/usr/bin/env python3
"""What a shared library shows: the names that the installed headers mark SOFTSTEP_EXPORT, all of them and no other, each with
the version of its interface: SOFTSTEP_C_<abi> for C, SOFTSTEP_<major.minor> for C++ (from 1.0 on <major>).

    check_exports.py SOURCE_DIR --nm NM --library libsoftstep.so
    check_exports.py SOURCE_DIR --nm NM --compiler CXX --self-test
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

EXPORTED_CLASS = re.compile(r"^(?:class|struct) SOFTSTEP_EXPORT (\w+)", re.MULTILINE)
EXPORTED_FUNCTION = re.compile(r"^(?:\[\[nodiscard\]\] )?SOFTSTEP_EXPORT [^;{(]*?(\w+)\(", re.MULTILINE)
# A declaration at the left margin that is not marked, and has no body.
BARE_FUNCTION = re.compile(r"^(?!SOFTSTEP_EXPORT|extern|inline|constexpr|using|namespace|template|class|struct|enum|friend|return|#|//)"
                           r"[A-Za-z][\w:<>,&* ]*?[ &*\n](\w+)\([^;{}]*\)(?: const| noexcept)*;", re.MULTILINE)
# A class at the left margin that is not marked, and in it a function without a body: it is defined in the library.
BARE_CLASS = re.compile(r"^(?:class|struct) (?!SOFTSTEP_EXPORT)(\w+)[^;{]*\{\n(.*?)^\};", re.MULTILINE | re.DOTALL)
MEMBER = re.compile(r"^ +(?! |return|throw|if |for |using|friend|#)(?:[\w:<>,&*\[\]~ ]*[ &*~])?~?(\w+)\([^;{}=]*\)(?: const| noexcept| override)*;",
                    re.MULTILINE)


def code(path):
    text = re.sub(r"//[^\n]*", "", path.read_text())
    return re.sub(r"^#[^\n]*(\\\n[^\n]*)*", "", text, flags=re.MULTILINE).replace(" = {}", "")


def public_names(root):
    names = set()
    for path in sorted((root / "core/include/softstep").glob("*.h")):
        text = code(path)
        names.update(EXPORTED_CLASS.findall(text))
        names.update(EXPORTED_FUNCTION.findall(text))
    return names


def c_names(root):
    """The functions of the C face, by the names that the linker sees."""
    text = "".join(re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
                   for path in sorted((root / "core/include/softstep/c").glob("*.h")))
    return set(re.findall(r"SOFTSTEP_EXPORT [^;{(]*?(\w+)\(", text))


def unmarked(root):
    for path in sorted((root / "core/include/softstep").glob("*.h")):
        text = code(path)
        for name in BARE_FUNCTION.findall(text):
            yield f"{path.name}: {name}() is declared without SOFTSTEP_EXPORT"
        for name, body in BARE_CLASS.findall(text):
            if member := MEMBER.search(body):
                yield f"{path.name}: {name} has {member.group(1)}() and is declared without SOFTSTEP_EXPORT"


def defined(tool, library, *options):
    out = subprocess.run([tool, "-D", "--defined-only", "-P", *options, str(library)], check=True, capture_output=True,
                         text=True).stdout
    return [line for line in out.splitlines() if line]


def own_names(mangled):
    """The parts of a name in namespace softstep, ["Objective", "evaluate"]; None outside of it."""
    match = re.match(r"_Z(?:T[VISTC]|GV)?N?K?8softstep", mangled)
    if not match:
        return None
    rest, parts = mangled[match.end():], []
    while number := re.match(r"\d+", rest):
        end = number.end() + int(number.group())
        parts.append(rest[number.end():end])
        rest = rest[end:]
        if rest.startswith("I"):  # arguments of a template: one letter for each number type, or more that does not matter here
            match = re.match(r"I[fdas]+E", rest)
            if not match:
                break
            rest = rest[match.end():]
    return parts


def foreign_exports(root, tool, library):
    public, in_c, seen = public_names(root), c_names(root), set()
    plain, readable = defined(tool, library), defined(tool, library, "-C")
    if not plain:
        yield f"{library}: shows nothing"
    for mangled, name in zip(plain, readable):
        if mangled.split()[1] == "A":  # a version
            continue
        mangled = mangled.split()[0].split("@")[0]
        name = re.sub(r"@@[\w.]+", "", name)
        name = re.sub(r" \w(?: [0-9a-f]+)* ?$", "", name)
        if mangled in in_c:
            seen.add(mangled)
            continue
        parts = own_names(mangled)
        if not parts or parts[0] not in public or "Impl" in parts:
            yield f"{library}: shows {name}"
        else:
            seen.add(parts[0])
    for name in sorted((public | in_c) - seen):
        yield f"{library}: does not show {name}"


def wanted_versions(root):
    """The version of the names of C, and that of all others."""
    include = root / "core/include/softstep"
    abi, = re.findall(r"#define SOFTSTEP_C_ABI (\d+)", (include / "c/softstep.h").read_text())
    major, minor = re.findall(r"VERSION_(?:MAJOR|MINOR) (\d+)", (include / "version.h").read_text())
    return f"SOFTSTEP_C_{abi}", f"SOFTSTEP_{major}.{minor}" if major == "0" else f"SOFTSTEP_{major}"


def wrong_versions(root, tool, library):
    of_c, of_others = wanted_versions(root)
    in_c = c_names(root)
    for line in defined(tool, library):
        name, _, version = line.split()[0].partition("@@")
        if name in (of_c, of_others):  # the nodes themselves
            continue
        wanted = of_c if name in in_c else of_others
        if version != wanted:
            yield f"{library}: {name} has the version {version or 'none'}, not {wanted}"


PLANTED = [
    ("an internal class", "namespace softstep { struct LayerOfOwn { void f(); }; void LayerOfOwn::f() {} }"),
    ("an internal function", "namespace softstep { int internal_only(int x) { return x; } }"),
    ("a class inside a public one",
     "namespace softstep { template <class T> struct Objective { struct Impl { void f(); }; };"
     " template <class T> void Objective<T>::Impl::f() {} template struct Objective<float>; }"),
    ("a function outside of the namespace", "int plain(int x) { return x; }"),
    ("a function of C that the header does not declare", 'extern "C" int softstep_undeclared(int x) { return x; }'),
    ("a template of the standard library", "#include <vector>\ntemplate class std::vector<int>;"),
]


def self_test(root, tool, compiler):
    bad = 0

    def judge(what, seen):
        nonlocal bad
        bad += not seen
        print(f"{'seen  ' if seen else 'MISSED'} {what}")

    with tempfile.TemporaryDirectory() as name:
        source, library = pathlib.Path(name) / "planted.cpp", pathlib.Path(name) / "planted.so"

        def shown(text):
            source.write_text(text + "\n")
            subprocess.run([compiler, "-std=c++20", "-shared", "-fPIC", "-O1", f"-I{root}/core/include", source, "-o", library], check=True)
            return [line for line in foreign_exports(root, tool, library) if ": shows " in line]

        for what, text in PLANTED:
            judge(what, bool(shown(text)))
        judge("(a public function is none)", not shown('#include "softstep/threads.h"\n'
                                                       "int softstep::available_threads() { return 1; }"))
        judge("(a function of the C face is none)",
              not shown('#include "softstep/c/softstep.h"\nint32_t softstep_abi(void) { return 1; }'))
        judge("a public name that is not there", any("does not show" in line for line in foreign_exports(root, tool, library)))
        def versions(script):
            map_file = pathlib.Path(name) / "planted.map"
            map_file.write_text(script)
            source.write_text('#include "softstep/c/softstep.h"\nint32_t softstep_abi(void) { return 1; }\n')
            options = [f"-Wl,--version-script={map_file}"] if script else []
            subprocess.run([compiler, "-shared", "-fPIC", f"-I{root}/core/include", source, "-o", library, *options], check=True)
            return list(wrong_versions(root, tool, library))

        judge("a name without a version", bool(versions("")))
        judge("a name of another interface", bool(versions("SOFTSTEP_C_9999 { global: softstep_*; local: *; };")))
        judge("(the right version is none)", not versions(wanted_versions(root)[0] + " { global: softstep_*; local: *; };"))
        folder = pathlib.Path(name) / "core/include/softstep"
        folder.mkdir(parents=True)

        def found(text):
            (folder / "planted.h").write_text("namespace softstep {\n" + text + "\n}\n")
            return bool(list(unmarked(pathlib.Path(name))))

        judge("a declaration that is not marked",
              found("/// Text (with brackets);\ntemplate <class T>\nstd::vector<T> forgotten(const T* a,\n    int b = 3);"))
        judge("a class that is not marked", found("class Forgotten {\n public:\n  ~Forgotten();\n\n private:\n  int a = 0;\n};"))
        judge("a member that is not marked", found("struct Forgotten {\n  int a = f(0);\n  double size(int b) const;\n};"))
        judge("(a class with bodies of its own is none)",
              not found("struct Plain {\n  double a = f(0);\n  double size() const {\n    return g(a);\n  }\n};"))
    return bad == 0


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("--nm", required=True)
    parser.add_argument("--library", type=pathlib.Path)
    parser.add_argument("--compiler")
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    root = arguments.source.resolve()
    if arguments.self_test:
        sys.exit(0 if self_test(root, arguments.nm, arguments.compiler) else 1)
    violations = (list(unmarked(root)) + list(foreign_exports(root, arguments.nm, arguments.library)) +
                  list(wrong_versions(root, arguments.nm, arguments.library)))
    for violation in violations:
        print(violation)
    print(f"{len(violations)} violations; {len(public_names(root) | c_names(root))} public names")
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
