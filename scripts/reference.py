#!/usr/bin/env python3
"""Writes the pages docs/reference/commands.md and docs/reference/settings.md from what the program `abs` says of itself.

The program must be built with MuJoCo and ROS 2.

    scripts/reference.py            writes them, with target/release/abs
    scripts/reference.py --check    writes nothing; fails where a page is not what the program prints
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs/reference"
GENERATED = "<!-- Written by scripts/reference.py: change the program and run it again. -->"


def output(*command: str) -> str:
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)


def subcommands(text: str) -> list[str]:
    listing = re.search(r"^Commands:\n((?: .*\n)+)", text, re.MULTILINE)
    names = re.findall(r"^  (\S+)", listing[1], re.MULTILINE) if listing else []
    return [name for name in names if name != "help"]


def commands(program: str) -> str:
    """Every command with the text of its `--help`. The flags that nearly all commands share are there once."""
    shared = ""
    sections = []

    def visit(words: list[str]) -> None:
        nonlocal shared
        text = output(program, *words, "--help")
        names = subcommands(text)
        # The group ends where a line begins at the left.
        group = re.search(r"\nConfiguration:\n(?:(?: .*)?\n)*", text)
        if group:
            shared = shared or group[0].strip("\n")
            text = text.replace(group[0], "\n")
        note = "\nAnd the flags of the [configuration](#configuration).\n" if group else ""
        sections.append(f"## {' '.join(['abs', *words])}\n\n```text\n{text.strip()}\n```\n{note}")
        for name in names:
            visit([*words, name])

    visit([])
    intro = "Each command explains itself with `--help`; this page has all of it. `scripts/abs` builds the program where needed and passes everything on."
    configuration = f"## Configuration\n\nThese flags belong to every command that has settings.\n\n```text\n{shared}\n```\n"
    return "\n".join([f"# Commands\n\n{GENERATED}\n\n{intro}\n", sections[0], configuration, *sections[1:]])


def parse(text: str) -> dict[str, dict[str, tuple[str, str, str]]]:
    """The tables of `abs config TASK --origin`: for each key its explanation, its value and where that comes from. The key `` is the table's own."""
    tables: dict[str, dict[str, tuple[str, str, str]]] = {}
    table, comment = "", ""
    for line in text.splitlines():
        unset = re.fullmatch(r"# (\w+) is not set", line)
        setting = re.fullmatch(r"(\w+) = (.*?)  # (.*)", line)
        if line.startswith("["):
            table = line.strip("[]")
            if not table.startswith("stages"):
                tables.setdefault(table, {})[""] = (comment, "", "")
        elif unset:
            tables.setdefault(table, {})[unset[1]] = (comment, "", "")
        elif setting and not table.startswith("stages"):
            tables.setdefault(table, {})[setting[1]] = (comment, *setting.groups()[1:])
        elif line.startswith("# "):
            # The words that a value can be have a line each.
            comment += (" " if not re.match(r"# `[\w-]+`: ", line) else "<br>") + line[2:]
            continue
        comment = ""
    return tables


def cell(text: str) -> str:
    text = re.sub(r"\bdocs/([\w/.-]+#?[\w-]*)", r"[\1](../\1)", text.strip())
    return re.sub(r"(?<!\\)\|", r"\\|", text)


def value(shown: dict[str, str]) -> str:
    """The most frequent value, and those of the other tasks."""
    values = list(shown.values())
    usual = max(values, key=values.count)
    text = [f"`{usual}`" if usual else "not set"]
    for other in dict.fromkeys(values):
        if other != usual:
            text.append(f"{', '.join(topic for topic in shown if shown[topic] == other)}: `{other}`")
    return "; ".join(text)


def settings(program: str) -> str:
    topics = re.findall(r"^  abs config (\S+)", output(program, "config"), re.MULTILINE)
    printed = [(topic, parse(output(program, "config", topic, "--origin"))) for topic in topics]
    # Some tables are printed only where a key of theirs is set: two keys in turn, so that the default of each is seen.
    for topic, key in [("eval", "reality.noise"), ("agile", "reality.ray_noise_log2"), ("eval", "controller.switch.threshold"), ("deploy", "controller.switch.hysteresis")]:
        table = key.rpartition(".")[0]
        keys = parse(output(program, "config", topic, "--origin", "--set", f"{key}=0.5"))[table]
        printed.append((topic, {table: {key: entry for key, entry in keys.items() if entry[2] != "--set"}}))
    merged: dict[str, dict[str, tuple[str, dict[str, str]]]] = {}
    for topic, tables in printed:
        for table, keys in tables.items():
            for key, (doc, shown, _) in keys.items():
                merged.setdefault(table, {}).setdefault(key, (doc, {}))[1][topic] = shown
    lines = [
        "# Settings",
        "",
        GENERATED,
        "",
        "Every setting with its meaning, unit and range. The value is the default or, where the recipe of a task sets another, that of the recipe.",
        "`abs config TASK` prints the same as a file that `--config` reads, with the stages of the recipe; `abs config TASK --origin` says where each value comes from.",
        "",
    ]
    for table, keys in merged.items():
        doc, users = keys.pop("", None) or ("", next(iter(keys.values()))[1])
        lines += [f"## {table or 'Every task'}", ""]
        if doc:
            lines += [cell(doc.replace("<br>", " ")), ""]
        if table != "reality":
            lines += [f"For `{'`, `'.join(users)}`.", ""]
        if keys:
            lines += ["| key | value | meaning |", "|---|---|---|"]
            lines += [f"| `{key}` | {cell(value(shown))} | {cell(doc)} |" for key, (doc, shown) in keys.items()]
            lines.append("")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--check", action="store_true", help="only compare")
    arguments.add_argument("--abs", default=str(ROOT / "target/release/abs"), help="the program [default: target/release/abs]")
    given = arguments.parse_args()
    if not Path(given.abs).exists() or "mujoco" not in output(given.abs, "eval", "--help") or "--dry-run" not in output(given.abs, "deploy", "--help"):
        sys.exit(f"error: {given.abs} is not there, or not with MuJoCo and ROS 2; build it: cargo build --release --package abs --features mujoco")
    stale = []
    for name, page in [("commands.md", commands(given.abs)), ("settings.md", settings(given.abs))]:
        path = PAGES / name
        if given.check and (not path.exists() or path.read_text() != page):
            stale.append(str(path.relative_to(ROOT)))
        elif not given.check:
            path.write_text(page)
    if stale:
        sys.exit(f"error: {' and '.join(stale)} are not what the program prints: run scripts/reference.py")


if __name__ == "__main__":
    main()
