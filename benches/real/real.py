"""Compiles published WASI programs, runs them on real input, and compares with Wasmtime.

usage: real.py [--precast PATH] [--unstable PATH] [--root DIR] [--table FILE] [--keep] [NAME…]

Equal means: exit code, standard output, standard error, and every file the program left.
"""

import argparse
import filecmp
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from fetch import fetch
from programs import HERE, PROGRAMS, Program, Run

CONTESTANTS = ("precast", "wasmtime")


def main() -> int:
    options = arguments()
    options.root.mkdir(parents=True, exist_ok=True)
    options.python = fetch(options.root)
    names = [name.lower() for name in options.names]
    chosen = [p for p in PROGRAMS if not names or any(name in p.name.lower() for name in names)]
    for contestant in CONTESTANTS:
        fresh_folder(options.root / "work" / contestant, names)
    rows = [check(program, options) for program in chosen]
    table = as_table(rows)
    print("\n" + table)
    if options.table:
        options.table.write_text(with_table(options.table.read_text(), table))
    different = [row["name"] for row in rows if row["result"] != "equal"]
    print(f"{len(rows) - len(different)} of {len(rows)} programs behave as in Wasmtime")
    return 1 if different else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run published WASI programs in Precast and in Wasmtime.")
    parser.add_argument("--precast", type=Path, default=Path("target/release/precast"))
    parser.add_argument("--unstable", type=Path, default=Path("target/release/unstable-reference"))
    parser.add_argument("--root", type=Path, default=Path("target/real"))
    parser.add_argument("--table", type=Path, help="a Markdown file whose table to renew")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only programs whose name contains this")
    options = parser.parse_args()
    for key in ("precast", "unstable", "root"):
        setattr(options, key, getattr(options, key).resolve())
    return options


def fresh_folder(folder: Path, names: list[str]) -> None:
    """Later programs read what earlier ones wrote, so a partial run keeps the folder."""
    if folder.exists() and not names:
        shutil.rmtree(folder)
    shutil.copytree(HERE / "inputs", folder, dirs_exist_ok=True)


def check(program: Program, options: argparse.Namespace) -> dict:
    """One row of the table."""
    print(f"{program.name}:", end=" ", flush=True)
    module = options.root / program.module
    row = {"name": program.name, "about": program.about, "bytes": module.stat().st_size, "functions": "?", "compile": None, "object": None}
    compiled, problem = compile_module(module, options, row)
    if problem is None:
        problem = first_difference(program, module, compiled, options)
    row["result"] = "equal" if problem is None else "different"
    print(row["result"] if problem is None else f"DIFFERENT\n{problem}", flush=True)
    return row


def compile_module(module: Path, options: argparse.Namespace, row: dict) -> tuple[Path, str | None]:
    compiled = options.root / "objects" / (module.stem + ".so")
    compiled.parent.mkdir(exist_ok=True)
    started = time.monotonic()
    done = subprocess.run([options.precast, "compile", module, "-o", compiled, "--cpu", "native"], capture_output=True, text=True)
    row["compile"] = time.monotonic() - started
    if done.returncode != 0:
        return compiled, f"  compile: exit {done.returncode}: {done.stderr.strip()}"
    row["object"] = compiled.stat().st_size
    row["functions"] = functions(module)
    return compiled, None


def functions(module: Path) -> int:
    """The length of the module's function section."""
    data, at = module.read_bytes(), 8
    while at < len(data):
        kind = data[at]
        size, at = leb(data, at + 1)
        if kind == 3:
            return leb(data, at)[0]
        at += size
    return 0


def leb(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def first_difference(program: Program, module: Path, compiled: Path, options: argparse.Namespace) -> str | None:
    """Runs everything on both sides and compares. None: no difference."""
    for number, run in enumerate(program.runs, 1):
        results = {
            "precast": start(precast_command(compiled, run, options), run),
            "wasmtime": start(wasmtime_command(program, module, run, options), run),
        }
        for what in ("code", "stdout", "stderr"):
            ours, theirs = (results[contestant][what] for contestant in CONTESTANTS)
            if ours != theirs:
                return f"  run {number}, {what}:\n    precast:  {shown(ours)}\n    wasmtime: {shown(theirs)}"
        seconds = " / ".join(f"{results[contestant]['seconds']:.2f}" for contestant in CONTESTANTS)
        print(f"exit {results['precast']['code']} ({seconds} s)", end=", ", flush=True)
    trees = [options.root / "work" / contestant for contestant in CONTESTANTS]
    return compare_trees(*trees)


def mounts(run: Run, contestant: str, options: argparse.Namespace) -> list[tuple[Path, str]]:
    """Folders of the host and where the guest sees them."""
    own = options.root / "work" / contestant
    return [(own, guest) for guest in run.at] + [(options.root / host, guest) for host, guest in run.dirs]


def precast_command(compiled: Path, run: Run, options: argparse.Namespace) -> list:
    folders = mounts(run, "precast", options)
    command = [options.precast, "run"]
    for host, guest in folders:
        command += ["--dir", f"{host}::{guest}"]
    for key, value in run.env.items():
        command += ["--env", f"{key}={value}"]
    return [*command, compiled, *run.args]


def wasmtime_command(program: Program, module: Path, run: Run, options: argparse.Namespace) -> list:
    """The PyPI package has no `wasi_unstable`; Wasmtime's crate has."""
    folders = mounts(run, "wasmtime", options)
    if program.wasi_unstable:
        command = [options.unstable]
        for host, guest in folders:
            command += ["--dir", f"{host}::{guest}"]
        for key, value in run.env.items():
            command += ["--env", f"{key}={value}"]
        return [*command, module, module.stem + ".so", *run.args]
    spec = {
        # The first argument is the file's name, as a shell user would type it.
        "args": [module.stem + ".so", *run.args],
        "env": run.env,
        "dirs": [[str(host), guest] for host, guest in folders],
    }
    return [options.python, HERE / "reference.py", module, json.dumps(spec)]


def start(command: list, run: Run) -> dict:
    stdin = open(HERE / "inputs" / run.stdin, "rb") if run.stdin else open(os.devnull, "rb")
    started = time.monotonic()
    with stdin:
        done = subprocess.run([str(part) for part in command], stdin=stdin, capture_output=True, timeout=900)
    return {"code": done.returncode, "stdout": done.stdout, "stderr": done.stderr, "seconds": time.monotonic() - started}


def compare_trees(ours: Path, theirs: Path) -> str | None:
    listed = [sorted(str(p.relative_to(tree)) for p in tree.rglob("*")) for tree in (ours, theirs)]
    if listed[0] != listed[1]:
        return f"  files: only one side has {sorted(set(listed[0]) ^ set(listed[1]))}"
    for name in listed[0]:
        if (ours / name).is_file() and not filecmp.cmp(ours / name, theirs / name, shallow=False):
            return f"  file {name} differs"
    return None


def shown(value: int | bytes) -> str:
    return str(value) if isinstance(value, int) else repr(value[-1500:])


def as_table(rows: list[dict]) -> str:
    lines = [
        "| program | from | wasm | functions | object | compiled in | against Wasmtime |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        size = "-" if row["object"] is None else megabytes(row["object"])
        lines.append(
            f"| {row['name']} | {row['about']} | {megabytes(row['bytes'])} | {row['functions']} | {size} "
            f"| {row['compile']:.1f} s | {row['result']} |"
        )
    return "\n".join(lines) + "\n"


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def with_table(page: str, table: str) -> str:
    """The page with the lines of its first table replaced."""
    lines = page.splitlines(keepends=True)
    rows = [i for i, line in enumerate(lines) if line.startswith("|")]
    if not rows:
        return page + "\n" + table
    return "".join(lines[: rows[0]]) + table + "".join(lines[rows[-1] + 1 :])


if __name__ == "__main__":
    sys.exit(main())
