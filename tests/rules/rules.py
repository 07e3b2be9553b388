"""The repository's own rules. `rules.py SOURCE RULE` prints what breaks the rule and exits with 1."""
import pathlib
import re
import subprocess
import sys

root = pathlib.Path(sys.argv[1]).resolve()
folders = ["compiler", "runtime", "ir", "passes", "tests", "examples"]
code = {".cpp", ".h", ".c", ".S", ".def", ".inc"}


def files(*where, suffixes=None):
    for folder in where or folders:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and (not suffixes or path.suffix in suffixes):
                yield path


def lines(path):
    return enumerate(path.read_text(errors="replace").splitlines(), 1)


def includes(path):
    for number, line in lines(path):
        if found := re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line):
            yield number, found[1] == "<", found[2]


def layers():
    """ir <- passes <- compiler; runtime alone; LLVM in compiler/llvm only."""
    may = {
        "ir": {"ir"},
        "passes": {"ir", "passes"},
        "runtime": {"runtime"},
        "compiler": {"ir", "passes", "runtime", "compiler"},
    }
    for folder, allowed in may.items():
        for path in files(folder, suffixes=code):
            name = path.relative_to(root).as_posix()
            for number, system, header in includes(path):
                top = header.split("/")[0]
                if top in ("llvm", "lld", "llvm-c") and not name.startswith("compiler/llvm/"):
                    yield f"{name}:{number}: {header} outside compiler/llvm/"
                if not system and "/" in header and top in may and top not in allowed:
                    yield f"{name}:{number}: {folder}/ may not depend on {header}"
                # C's headers alone have a .h; C++'s library would come with its own symbols.
                allowed_without = {"atomic", "cstddef", "cstdint", "cstring", "new", "type_traits", "utility"}
                if folder == "runtime" and system and not header.endswith(".h") and header not in allowed_without:
                    yield f"{name}:{number}: runtime/ uses no C++ library: <{header}>"


def places():
    """The top level stays as it is."""
    allowed = {*folders, "CMakeLists.txt", "README.md", "LICENSE", "quickstart", "check"}
    for path in sorted(root.iterdir()):
        built = path.name.startswith("build") or path.name == "__pycache__"
        if path.name not in allowed and not path.name.startswith(".") and not built:
            yield f"{path.name}: does not belong at the top level"


def size():
    """One idea each: no source grows beyond 500 lines, no list of test cases beyond 700; tables may."""
    for path in files(suffixes={".cpp", ".h", ".c", ".py"}):
        count = sum(1 for _ in lines(path))
        most = 700 if path.is_relative_to(root / "tests") else 500
        if count > most:
            yield f"{path.relative_to(root)}: {count} lines, expected {most} at most"


def ops():
    """An op without a test is half declared."""
    for match in re.finditer(r"^\s*OP\(\s*(\w+)", (root / "ir/ops.def").read_text(), re.M):
        if not (root / f"tests/ops/{match[1]}.trl").exists():
            yield f"ir/ops.def: op {match[1]} has no tests/ops/{match[1]}.trl"


def words():
    """Comments tell what is, not what is left to do; nothing names a machine."""
    unfinished = re.compile("|".join(["TO" + "DO", "FIX" + "ME", r"\bXX" + r"X\b", "not yet imple" + "mented"]))
    machine = re.compile("|".join(["/ho" + "me/", r"(?<![\w.])/wo" + r"rk/", "/ro" + "ot/"]))
    top = [root / name for name in ("CMakeLists.txt", "README.md", "check", "quickstart")]
    for path in [*files(suffixes=code | {".py", ".md", ".txt", ".trl", ".test", ".in"}), *filter(pathlib.Path.exists, top)]:
        for number, line in lines(path):
            for pattern in (unfinished, machine):
                if found := pattern.search(line):
                    yield f"{path.relative_to(root)}:{number}: {found[0]}"


def format():
    """Sources are as .clang-format has them."""
    sources = [str(p) for p in files(suffixes={".cpp", ".h", ".c"})]
    told = subprocess.run(["clang-format-19", "--dry-run", "--Werror", *sources], capture_output=True, text=True)
    yield from (line for line in told.stderr.splitlines() if "error:" in line)


broken = list({f.__name__: f for f in (format, layers, places, size, ops, words)}[sys.argv[2]]())
print("\n".join(broken))
sys.exit(1 if broken else 0)
