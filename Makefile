# What a developer runs. Everything works on a machine with Rust, a C compiler, make and Python 3.
#
#   make check       formatting, clippy, documentation, tests: what a change has to pass
#   make test        all tests
#   make test-python tests of the Python package, in an environment of their own (a part of make test)
#   make test-spark  tests of the Python package on a cluster of Spark, if there is Java (a part of make test)
#   make test-views  views of matrices of faer and ndarray (a part of make test)
#   make test-triton Triton's own client, and the protocol's document, both from PyPI, against the server
#   make wheel       the Python package as a wheel, in target/wheels
#   make test-wheel  builds it, installs it where there is no compiler, and fits and loads every estimator (a part of make test-deep)
#   make test-deep   wide sweeps; mutated model files; kernels under valgrind and AddressSanitizer (tens of minutes)
#   make test-arm64  kernel tests for aarch64 under emulation (sets itself up on Debian, as root)
#   make bench       criterion benches
#   make report      measures this machine beside other products (downloads them) and writes reports/

CARGO ?= cargo
HOST := x86_64-unknown-linux-gnu
DEEP_CASES ?= 5000
FUZZ_SECONDS ?= 600

.PHONY: check test test-python test-spark test-views test-triton wheel test-wheel test-deep test-fuzz test-valgrind test-asan test-inlined test-arm64 bench report

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps
	$(MAKE) test

# Cargo builds every binary before it runs the first test, so the end-to-end tests need not build theirs.
test:
	TILEWISE_BUILT=1 $(CARGO) test --workspace
	scripts/test-others

# After the tests of the workspace, of which the module shares the built dependencies.
test-python:
	scripts/test-python

test-spark:
	scripts/test-spark

# Views of matrices of other crates. Of the whole workspace, as the dependencies then are built as they are for its tests.
test-views:
	$(CARGO) test --workspace --features tilewise-kernels/ndarray,tilewise-kernels/faer --test views

test-triton:
	scripts/test-triton

wheel:
	scripts/wheel

test-wheel:
	scripts/test-wheel

test-deep: test-valgrind test-asan test-inlined test-wheel test-fuzz
	TILEWISE_BUILT=1 TILEWISE_DEEP=1 PROPTEST_CASES=$(DEEP_CASES) $(CARGO) test --workspace
	TILEWISE_DEEP=1 $(MAKE) test-spark

# Mutated model files, for ten minutes; tells how many were tried and how many loaded.
test-fuzz:
	TILEWISE_FUZZ_SECONDS=$(FUZZ_SECONDS) $(CARGO) test -p tilewise-tests --test system fuzz -- --nocapture

# The same kernel tests on the portable and the AVX2 code, every access watched. Valgrind knows no AVX-512.
test-valgrind:
	scripts/valgrind-kernels portable
	scripts/valgrind-kernels avx2

# RUSTC_BOOTSTRAP lets the stable compiler take the flag; a target of its own keeps build scripts free of it.
test-asan:
	for isa in portable avx2; do \
	  TILEWISE_ISA=$$isa RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address" ASAN_OPTIONS=detect_leaks=0 \
	    $(CARGO) test -p tilewise-kernels --tests --target $(HOST) --target-dir target/asan || exit 1; \
	done

# An intrinsic with a name of its own was not inlined: its kernel is several times slower, and nothing else shows it.
test-inlined:
	$(CARGO) build --release -p tilewise --target-dir target
	nm --demangle target/release/tilewise > target/symbols
	grep -q tilewise_kernels target/symbols
	if grep -E '_mm(256|512)_' target/symbols; then exit 1; fi

test-arm64:
	scripts/test-arm64

bench:
	$(CARGO) bench --workspace

report:
	scripts/report
