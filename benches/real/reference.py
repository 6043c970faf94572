"""Runs one WASI program in Wasmtime (the PyPI package) as `precast run` would.

usage: reference.py MODULE SPEC, where SPEC is JSON: args (the first is the program's
name), env, and dirs (pairs of host and guest path). Exits as the guest does; 134 for a trap.
"""

import json
import sys

import wasmtime


def main() -> int:
    path, spec = sys.argv[1], json.loads(sys.argv[2])
    config = wasmtime.Config()
    config.cache = True
    engine = wasmtime.Engine(config)
    module = wasmtime.Module.from_file(engine, path)
    wasi = wasmtime.WasiConfig()
    wasi.argv = spec["args"]
    wasi.env = list(spec["env"].items())
    wasi.inherit_stdin()
    wasi.inherit_stdout()
    wasi.inherit_stderr()
    for host, guest in spec["dirs"]:
        wasi.preopen_dir(host, guest)
    store = wasmtime.Store(engine)
    store.set_wasi(wasi)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    instance = linker.instantiate(store, module)
    try:
        instance.exports(store)["_start"](store)
    except wasmtime.ExitTrap as exit:
        return exit.code
    except wasmtime.Trap as trap:
        print(trap, file=sys.stderr)
        return 134
    return 0


if __name__ == "__main__":
    sys.exit(main())
