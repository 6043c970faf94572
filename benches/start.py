#!/usr/bin/env python3
"""Starts programs in turn, many times, and prints medians: wall time, CPU time, peak memory.

usage: start.py ROUNDS [NAME=COMMAND...]    a command is split at spaces

Without commands it is a hello in C, as a native program and compiled ahead of time by Precast and by
Wasmtime (whose library comes from PyPI), and by WAMR where IWASM and WAMRC name its programs, and
IWASM_SMALL another iwasm, built without its check of the host's stack by signals. What is built goes
to target/start.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

# What a process has used counts what started it until then: this is smaller than what is measured.
METER = r"""
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv) {
  (void)argc;
  struct timespec start, end;
  clock_gettime(CLOCK_MONOTONIC, &start);
  pid_t child = vfork();
  if (child == 0) {
    dup2(open("/dev/null", O_WRONLY), 1);
    execv(argv[1], argv + 1);
    _exit(127);
  }
  int status;
  struct rusage used;
  wait4(child, &status, 0, &used);
  clock_gettime(CLOCK_MONOTONIC, &end);
  printf("%d %f %f %ld\n", status,
         (end.tv_sec - start.tv_sec) * 1e3 + (end.tv_nsec - start.tv_nsec) / 1e6,
         (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e3 +
             (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e3,
         used.ru_maxrss);
}
"""


def once(meter, command):
    """Milliseconds of wall and of CPU, and KiB of peak memory, of one run."""
    printed = subprocess.run([meter, *command], check=True, capture_output=True, text=True).stdout
    status, *figures = printed.split()
    if status != "0":
        sys.exit(f"{command}: {status}")
    return [float(figure) for figure in figures]


def hello(root, out):
    """The programs that say hello, ready to start."""

    def do(*command):
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)

    out.mkdir(parents=True, exist_ok=True)
    wasm, precast = root / "benches/hello/hello.wasm", root / "target/release/precast"
    do("cc", "-O2", root / "benches/hello/hello.c", "-o", out / "native")
    do(precast, "compile", "--quiet", wasm, "-o", out / "hello.so")
    do("strip", "-o", out / "precast", precast)
    small = root / "target/small/small/precast"
    programs = {
        "native": out / "native",
        "precast, small": f"{small} run {out}/hello.so",
        "precast, small, static": f"{root}/target/small/static/precast run {out}/hello.so",
        "precast": f"{out}/precast run {out}/hello.so",
    }
    packages, library = out / "packages", "wasmtime/linux-x86_64/_libwasmtime.so"
    if not (packages / library).exists():
        do(sys.executable, "-m", "pip", "install", "--quiet", "--target", packages, "wasmtime")
    caller = root / "benches/start_wasmtime.c"
    do("cc", "-O2", caller, packages / library, f"-Wl,-rpath,{(packages / library).parent}", "-o", out / "wasmtime")
    do(out / "wasmtime", "compile", wasm, out / "hello.cwasm")
    programs["wasmtime, library"] = f"{out}/wasmtime run {out}/hello.cwasm"
    wamrc = os.environ.get("WAMRC")
    for name, variable, checks in [("iwasm", "IWASM", "0"), ("iwasm, stack checked by code", "IWASM_SMALL", "1")]:
        if wamrc and variable in os.environ:
            aot = out / f"hello-{checks}.aot"
            do(wamrc, f"--stack-bounds-checks={checks}", "-o", aot, wasm)
            programs[name] = f"{os.environ[variable]} {aot}"
    return [(name, str(command)) for name, command in programs.items()]


def main():
    rounds = int(sys.argv[1])
    root = Path(__file__).resolve().parent.parent
    programs = [argument.split("=", 1) for argument in sys.argv[2:]] or hello(root, root / "target/start")
    figures = {name: [] for name, _ in programs}
    with tempfile.TemporaryDirectory() as folder:
        meter = Path(folder, "meter")
        build = ["cc", "-O1", "-static", "-x", "c", "-", "-o", meter]
        subprocess.run(build, input=METER, text=True, check=True)
        for _ in range(rounds):
            for name, command in programs:
                figures[name].append(once(meter, command.split()))
    print(f"{'':30} {'wall ms':>9} {'least':>7} {'cpu ms':>9} {'KiB':>9}")
    for name, runs in figures.items():
        wall, cpu, memory = (statistics.median(column) for column in zip(*runs))
        least = min(run[0] for run in runs)
        print(f"{name:30} {wall:9.2f} {least:7.2f} {cpu:9.2f} {memory:9.0f}")


if __name__ == "__main__":
    main()
