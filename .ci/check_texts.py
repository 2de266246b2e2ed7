"""Checks the words and the links of all tracked texts.

Words: no line matches an expression of words.txt.
Links: every relative link of a .md file leads to a file and, with #anchor, to a heading; so does every page of docs/ that the code
names; and every path in backticks of a .md file, such as `sim/src/eval` or `sim/scenes/NAME.toml`, exists. Pages of docs/ link to
docs/ alone, so that the book is whole, and all of them are in its table of contents.
"""

import fnmatch
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "docs"
KINDS = {".rs", ".md", ".toml", ".py", ".bash", ".sh"}
SHELL = {"scripts/abs", "scripts/release", "scripts/test", ".ci/run"}
ALLOW = "words: allow"
LINK = re.compile(r"\]\(([^)\s]+)\)")
PAGE = re.compile(r"\bdocs/[\w/-]+\.md(?:#[\w-]*)?")
TOP = r"(?:robots|policies|controller|sim|scripts|tests|docs)"
PATH = re.compile(rf"`({TOP}/[\w./-]+)`")


def tracked() -> list[str]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = (name for name in listing.split("\0") if Path(name).suffix in KINDS or name in SHELL)
    return [name for name in names if (ROOT / name).is_file()]


def words() -> tuple[list[str], list[tuple[re.Pattern, str]]]:
    skipped, rules = [], []
    for line in (ROOT / ".ci/words.txt").read_text().splitlines():
        if line.startswith("skip "):
            skipped.append(line[5:])
        elif line and not line.startswith("#"):
            pattern, instead = line.split(" -> ")
            ignore_case = not re.search(r"(?<!\\)[A-Z]", pattern)
            rules.append((re.compile(pattern, re.IGNORECASE if ignore_case else 0), instead))
    return skipped, rules


def anchors(path: Path, known: dict[Path, set[str]] = {}) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    if path not in known:
        text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
        headings = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
        known[path] = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return known[path]


def broken_link(page: Path, target: str) -> str | None:
    """Why a link of `page` leads nowhere."""
    if re.match(r"[a-z]+:", target):
        return None
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists():
        return f"{target} does not exist"
    if BOOK in page.parents and BOOK not in file.parents:
        return f"{target} is not in the book: name it in backticks"
    if anchor and anchor not in anchors(file):
        return f"{target}: there is no such heading"
    return None


def found_in_tree(path: str) -> bool:
    """Whether the path exists; NAME stands for any name."""
    return any(ROOT.glob(path.replace("NAME", "*")))


def main() -> None:
    skipped, rules = words()
    found = []
    for name in tracked():
        page = ROOT / name
        text = page.read_text()
        lines = text.splitlines()
        if not any(fnmatch.fnmatch(name, glob) for glob in skipped):
            for pattern, instead in rules:
                for match in pattern.finditer(text):
                    number = text.count("\n", 0, match.start()) + 1
                    if ALLOW not in lines[number - 1]:
                        found.append((name, number, f"`{match.group().strip()}`: write {instead}"))
        for number, line in enumerate(lines, 1):
            if page.suffix == ".md":
                reasons = [broken_link(page, target) for target in LINK.findall(line)]
                reasons += [f"`{path}` does not exist" for path in PATH.findall(line) if not found_in_tree(path)]
            elif "docs/" in line:
                reasons = [broken_link(ROOT / "README.md", target) for target in PAGE.findall(line)]
            else:
                continue
            found += [(name, number, reason) for reason in reasons if reason]
    listed = LINK.findall((BOOK / "SUMMARY.md").read_text())
    pages = [name.removeprefix("docs/") for name in tracked() if name.startswith("docs/") and name.endswith(".md")]
    found += [(f"docs/{page}", 1, "is not in docs/SUMMARY.md") for page in pages if page not in [*listed, "SUMMARY.md"]]
    for name, number, reason in sorted(found):
        print(f"{name}:{number}: {reason}", file=sys.stderr)
    if found:
        sys.exit(f"error: {len(found)} words or links to put right, see .ci/words.txt and .ci/check_texts.py")


main()
