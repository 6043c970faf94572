# The front door. Every target is one or two commands; `make` alone lists them.

CARGO ?= cargo
PRECAST = target/debug/precast
OUT = target/example

.PHONY: help run test check spec spec-targets bench doc ci fuzz bless real figures versus bench-code edge-test dist capi small keep-abi start

help:
	@echo 'make run    compile the example to a shared object and run it in a sandbox'
	@echo 'make test   every test'
	@echo 'make edge-test  the test of examples/edge-server'
	@echo 'make check  formatting, lints, documentation'
	@echo 'make spec   the WebAssembly specification suite; SPEC="filter --cpu baseline" chooses'
	@echo 'make spec-targets  the same for every target whose objects can run here, with the counts of each'
	@echo 'make bench  the benchmarks of calls, traps, opening, WASI and pools'
	@echo 'make figures  Precast beside Wasmtime in one process: a table, and target/figures.json'
	@echo 'make dist   the command as one static file that starts quickest: target/precast'
	@echo 'make capi   the libraries and the header for C and C++: target/capi'
	@echo 'make versus  pools of sandboxes beside Wasmtime: a table, and target/versus.json'
	@echo 'make bench-code  generated code beside Wasmtime and native code: a table, and target/code.json'
	@echo '            BENCH="--kernel fib,sha256 --quick --only-precast --without PASS --disas" chooses'
	@echo 'make doc    the documentation, under target/doc'
	@echo 'make fuzz   random modules against an interpreter; FUZZ=600 says for how many seconds'
	@echo 'make keep-abi  keep objects of this version, which every later one must run: tests/abi'
	@echo 'make small  the command without a compiler, for devices, and its size'
	@echo 'make start  starting a small guest: whole processes beside Wasmtime and, where it is there, WAMR'
	@echo 'make real   published WASI programs, downloaded and compared with another runtime'
	@echo 'make bless  accept what golden tests print now'
	@echo 'make ci     what .ci/run does: check and test'

run:
	$(CARGO) build --quiet -p precast-cli
	@mkdir -p $(OUT)
	$(PRECAST) compile examples/wordfreq/wordfreq.wasm -o $(OUT)/wordfreq.so
	$(PRECAST) run --dir examples/wordfreq::/text:ro --dir $(OUT)::/out $(OUT)/wordfreq.so -n 6 -o /out/words.csv /text/text.txt
	echo 'to be or not to be' | $(PRECAST) run $(OUT)/wordfreq.so

test:
	$(CARGO) test --no-fail-fast

edge-test:
	$(CARGO) build --bin precast
	$(CARGO) test -p edge-server

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --all-targets -- -D warnings
	$(CARGO) clippy -p precast-cli --no-default-features -- -D warnings
	$(CARGO) clippy -p precast-cli --no-default-features --features wasi,signatures --all-targets -- -D warnings
	$(CARGO) clippy -p edge-server --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps

spec:
	$(CARGO) test --quiet --test spec -- $(SPEC)

# One line per target. Objects for macOS are mapped and run by the loader for Linux.
SPEC_TARGETS = x86_64-linux x86_64-macos
.PHONY: $(SPEC_TARGETS:%=spec-%)
spec-targets: $(SPEC_TARGETS:%=spec-%) spec-emulated
# Other CPUs, and the loader's own tests with them, where an emulator can be had.
.PHONY: spec-emulated
spec-emulated:
	tests/targets/run.sh
spec-x86_64-linux spec-x86_64-macos: spec-%:
	@$(CARGO) test --quiet --test spec --no-run
	@printf '%s: ' $*
	@$(CARGO) test --quiet --test spec -- --target $*

bench:
	$(CARGO) bench -p precast-benches

doc:
	$(CARGO) doc --no-deps

SECONDS ?= 60
FUZZ ?= $(SECONDS)
fuzz:
	FUZZ_SECONDS=$(FUZZ) $(CARGO) run --quiet --bin fuzz

bless:
	BLESS=1 $(CARGO) test --no-fail-fast

# The small command as one static file needs the C library's static form.
start: small
	$(CARGO) build --release -p precast-cli
	RUSTFLAGS='-C target-feature=+crt-static' $(CARGO) build -p precast-cli --no-default-features --features wasi,signatures --profile small --target $(HOST) --target-dir target/dist
	@mkdir -p target/small/static
	cp target/dist/$(HOST)/small/precast target/small/static
	python3 benches/start.py 100

real:
	$(CARGO) build --release -p precast-cli -p precast-benches --bins
	python3 benches/real/real.py --table docs/real-programs.md $(REAL)

figures:
	$(CARGO) build --release -p precast-cli -p precast-benches --bins
	target/release/figures $(FIGURES)

versus:
	$(CARGO) build --release -p precast-benches --bins
	target/release/versus $(VERSUS)

bench-code:
	$(CARGO) build --release -p precast-cli -p precast-benches --bins
	target/release/code $(BENCH)

keep-abi:
	KEEP_ABI=1 $(CARGO) test --test kept

# What a device gets: 750 KiB at most.
small:
	$(CARGO) build -p precast-cli --no-default-features --features wasi,signatures --profile small --target-dir target/small
	@size=$$(stat -c %s target/small/small/precast); echo "$$size bytes"; test $$size -le 768000

ci:
	.ci/run

# No shared library has to be found and relocated when it starts, and none has to be there.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
dist:
	RUSTFLAGS='-C target-feature=+crt-static' $(CARGO) build --release -p precast-cli --target $(HOST) --target-dir target/dist
	strip -o target/precast target/dist/$(HOST)/release/precast

capi:
	$(CARGO) build --release -p precast-capi
	mkdir -p target/capi/include target/capi/lib
	cp capi/include/precast.h target/capi/include
	strip -g -o target/capi/lib/libprecast.a target/release/libprecast.a
	strip -K __jit_debug_descriptor -K __jit_debug_register_code -o target/capi/lib/libprecast.so target/release/libprecast.so
