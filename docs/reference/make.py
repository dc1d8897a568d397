# SPDX-License-Identifier: Apache-2.0
"""Writes api.md from the source and cli.md from the commands' own --help; `--check` only says whether they are current.

api.md is made by reading the source, not by importing it, so it is the same on every machine.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PACKAGES = ("sdk/rasant", "calibration/rasant_calibration", "training/rasant_training")
# --help must not depend on the terminal: no colours, no boxes.
PLAIN = {"TYPER_USE_RICH": "0", "NO_COLOR": "1", "TERM": "dumb"}


def first_paragraph(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())


def signature(node: ast.FunctionDef) -> str:
    """Name and parameters with their defaults, without annotations; types stand in the source and its docstrings."""
    arguments = node.args
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        argument.annotation = None
    for variadic in (arguments.vararg, arguments.kwarg):
        if variadic is not None:
            variadic.annotation = None
    text = re.sub(r"^(self|cls)(, |$)", "", ast.unparse(arguments))
    return f"{node.name}({text})"


def public_names(tree: ast.Module) -> list[str]:
    """The names in `__all__`, or none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def describe_class(node: ast.ClassDef) -> Iterator[str]:
    """A line for the class and one for each public method or property that has a docstring."""
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    yield f"- **`{node.name}{f'({bases})' if bases else ''}`**: {first_paragraph(node)}"
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and not member.name.startswith("_") and ast.get_docstring(member):
            is_property = any(ast.unparse(d) == "property" for d in member.decorator_list)
            yield f"    - `{member.name if is_property else signature(member)}`: {first_paragraph(member)}"


def describe_module(path: Path) -> Iterator[str]:
    """A heading and a list of the public names that this file defines; nothing where it defines none."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    wanted = set(public_names(tree))
    lines: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name in wanted:
            lines += describe_class(node)
        elif isinstance(node, ast.FunctionDef) and node.name in wanted:
            lines.append(f"- **`{signature(node)}`**: {first_paragraph(node)}")
    if lines:
        parts = path.relative_to(ROOT).with_suffix("").parts[1:]
        module = ".".join(part for part in parts if part != "__init__")
        yield from (f"## {module}", "", first_paragraph(tree), "", *lines, "")


def api_page() -> str:
    """Markdown of api.md."""
    modules = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    text = [
        "# Python listing", "",
        "Made by `make docs` from the source; do not edit. What most programs need is in `rasant` itself",
        "(`rasant.__all__`); the rest is by module. Shapes, dtypes, units and errors: `help(rasant.load)`.", "",
        *(line for path in modules for line in describe_module(path)),
    ]  # fmt: skip
    return "\n".join(text).rstrip() + "\n"


HELP = """
import contextlib, io, json, sys
from rasant.cli import app
pages = []
for command in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as page:
        try:
            app([*command.split(), "--help"], prog_name="rasant", terminal_width=118)
        except SystemExit as end:
            if end.code:
                sys.exit(f"rasant {command} --help gave {end.code}")
    pages.append(page.getvalue())
print(json.dumps(pages))
"""


def helps(commands: Sequence[str], *, plain: bool) -> dict[str, str]:
    """What `rasant COMMAND --help` prints for each command, all in one process; plain: without boxes and colours."""
    environment = {**os.environ, **(PLAIN if plain else {})}
    run = [sys.executable, "-c", HELP, json.dumps(list(commands))]
    done = subprocess.run(run, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr)
    return dict(zip(commands, json.loads(done.stdout), strict=True))


def commands() -> list[str]:
    """Every command of the command line, "" for itself, with the steps of those that have some."""
    import typer

    from rasant.cli import SUMMARIES

    found = [""]
    points = {point.name: point for point in entry_points(group="rasant.commands")}
    for name in SUMMARIES:
        target = points[name].load()
        steps = target.registered_commands if isinstance(target, typer.Typer) else ()
        found += [f"{name} {step.name or step.callback.__name__}" for step in steps] or [name]
    return found


def cli_page() -> str:
    """Markdown of cli.md."""
    text = [
        "# Commands", "",
        "Made by `make docs` from each command's `--help`; do not edit. Exit codes: 0 ok, 1 rejects found with",
        "`--fail-on-reject`, 2 usage or configuration, 3 environment. `--json` prints for machines.", "",
    ]  # fmt: skip
    for command, page in helps(commands(), plain=True).items():
        lines = [line.rstrip() for line in page.strip().splitlines()]
        text += [f"## rasant {command}".rstrip(), "", "```text", *lines, "```", ""]
    return "\n".join(text).rstrip() + "\n"


def broken_links() -> list[str]:
    """Relative links in Markdown files that lead nowhere."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "training").rglob("*.md")]
    link = re.compile(r"\]\((?!\w+:)([^)\s#]+)")
    found = ((page, target) for page in pages for target in link.findall(page.read_text("utf-8")))
    return [f"{page.relative_to(ROOT)}: {target}" for page, target in found if not (page.parent / target).exists()]


def main() -> int:
    """Write or check the pages; 1 where something is out of date or broken."""
    check, wrong = "--check" in sys.argv[1:], broken_links()
    for name, page in (("api.md", api_page()), ("cli.md", cli_page())):
        path = HERE / name
        current = path.read_text(encoding="utf-8") if path.exists() else ""
        if check and current != page:
            wrong.append(f"docs/reference/{name} is out of date; run make docs")
        elif not check:
            path.write_text(page, encoding="utf-8")
            print(f"docs/reference/{name}: {len(page.splitlines())} lines{'' if current == page else ', changed'}")
    print("\n".join(wrong) if wrong else "every link resolves")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
