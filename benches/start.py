#!/usr/bin/env python3
"""Starts programs in turn, many times, and prints medians: wall time, CPU time, peak memory.

usage: start.py ROUNDS NAME=COMMAND...    a command is split at spaces
"""

import os
import statistics
import sys
import time


def once(command):
    """Milliseconds of wall and of CPU, and KiB of peak memory, of one run."""
    start = time.perf_counter()
    child = os.posix_spawnp(
        command[0],
        command,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)],
    )
    _, status, usage = os.wait4(child, 0)
    wall = (time.perf_counter() - start) * 1e3
    if status != 0:
        sys.exit(f"{command}: {status}")
    return wall, (usage.ru_utime + usage.ru_stime) * 1e3, usage.ru_maxrss


def main():
    rounds = int(sys.argv[1])
    programs = [argument.split("=", 1) for argument in sys.argv[2:]]
    figures = {name: [] for name, _ in programs}
    for _ in range(rounds):
        for name, command in programs:
            figures[name].append(once(command.split()))
    print(f"{'':24} {'wall ms':>9} {'least':>7} {'cpu ms':>9} {'KiB':>9}")
    for name, runs in figures.items():
        wall, cpu, memory = (statistics.median(column) for column in zip(*runs))
        least = min(run[0] for run in runs)
        print(f"{name:24} {wall:9.2f} {least:7.2f} {cpu:9.2f} {memory:9.0f}")


if __name__ == "__main__":
    main()
