# What a person runs; each target sets up what it needs (scripts/, into ~/.cache/tidelog).
.PHONY: help demo test soak bench fuzz lint setup servers

help:
	@echo "make demo    throwaway servers, a messaging workload, the classic mistake, the way back"
	@echo "make test    every test, against real MySQL and MariaDB servers"
	@echo "make soak    the long forms: SOAK_SEEDS (60) random histories a flavor, minutes of writes, large things"
	@echo "make bench   the benchmarks beside their peers, in one table (QUICK=1: minutes; LINES=a,b: some)"
	@echo "make fuzz    every fuzz target for FUZZ_SECONDS (600) each; fails at a crash"
	@echo "make lint    formatting, clippy and documentation, warnings as errors; that the fuzz targets compile"
	@echo "make setup   only what the above set up: database servers, S3 server, DuckDB"

servers:
	@scripts/setup-servers

# Some tests want a MariaDB that counts TIMESTAMP past 2038 and leaves out positions.
setup:
	@scripts/setup-servers --mariadb-11.8
	@scripts/setup-tools

demo: servers
	cargo run --release -- demo

test: setup
	cargo test --no-fail-fast

soak: setup
	TIDELOG_TEST_SEEDS=$${SOAK_SEEDS:-60} cargo test --test it random_histories -- --nocapture
	TIDELOG_TEST_SECONDS=$${SOAK_SECONDS:-180} cargo test --test it end_to_end -- --nocapture
	TIDELOG_TEST_KILLS=$${SOAK_KILLS:-500} cargo test --test it killed_at_random -- --nocapture
	TIDELOG_TEST_SEEDS=1000 cargo test --lib simulation -- --nocapture
	TIDELOG_TEST_LARGE=1 cargo test --test it large:: -- --nocapture --test-threads=1

# Some terminals export LINES, their height: only the one given to make counts.
bench_lines = $(if $(findstring command,$(origin LINES)),$(LINES))

bench: setup
	TIDELOG_BENCH_QUICK=$(QUICK) TIDELOG_BENCH_LINES=$(bench_lines) TIDELOG_BENCH_FLAVORS=$(FLAVORS) \
	TIDELOG_BENCH_RESUME=$(RESUME) TIDELOG_BENCH_PERCENT=$(PERCENT) cargo bench --bench e2e

fuzz:
	@scripts/fuzz

lint:
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps
	cargo check -q --locked --no-default-features --manifest-path fuzz/Cargo.toml --bins
