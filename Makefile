# What one does here; `make help` lists it. cargo does the work, this finds what cargo needs.
SHELL = /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo deb static test bench bench-instructions bench-instructions-accept bench-open soak bench-live bench-replay bench-fleet bench-haproxy lint install cargo needed

# A cargo that rustup has just installed is not in the PATH of an old shell.
export PATH := $(PATH):$(if $(CARGO_HOME),$(CARGO_HOME),$(HOME)/.cargo)/bin

demo: needed ## replay a recorded evening against a staging server that is wrong on purpose
	cargo build --profile demo --no-default-features --features cli --locked
	cargo run --profile demo --no-default-features --features cli --locked --quiet -- demo

test: needed ## every test that can run here; those that cannot are named with what they lack
	@.ci/need python3
	cargo test --locked

bench: needed ## throughput of each stage and of the whole
	cargo bench --locked

bench-instructions: needed ## instructions and allocations of each path, beside the numbers in the tree
	@.ci/instructions print

bench-instructions-accept: needed ## the same, taken as the numbers in the tree: the commit says why
	@.ci/instructions accept

bench-open: needed ## what an exchange costs with 10, 1,000 and 100,000 connections open
	cargo bench --locked --bench pipeline -- 'connections open'

soak: needed ## ten minutes of shadowing at a fixed rate, as root: memory has to be flat (SOAK_SECONDS, SOAK_RATE)
	cargo test --release --locked --test load -- --ignored --nocapture soak

bench-live: needed ## what recording, shadowing and a tenth of it cost beside a busy nginx, as root (BENCH_RUNS, BENCH_SECONDS, BENCH_RATE)
	cargo test --release --locked --test load -- --ignored --nocapture costs

bench-replay: needed ## how late a replay sends by its own word and by tcpdump's, and what it reaches beside wrk, at nginx, as root (BENCH_RUNS, BENCH_SECONDS, BENCH_CONNECTIONS)
	cargo test --release --locked --test load -- --ignored --nocapture replay

bench-haproxy: needed ## how long a real HAProxy waits for acknowledgements, and what a million lines of its log cost, as root (BENCH_RUNS, BENCH_LINES)
	cargo test --release --locked --test load -- --ignored --nocapture haproxy

bench-fleet: needed ## what a store costs a node beside a file, and what a replayer gets out of it, as root (BENCH_RUNS, BENCH_SECONDS, BENCH_RATE)
	cargo test --release --locked --test load -- --ignored --nocapture fleet

lint: needed ## formatting, lints and documentation, as strict as CI
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --lib --no-default-features --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked

deb: needed ## a Debian package of the released program, in target/
	@.ci/need dpkg-dev
	deploy/release/build dynamic target/deb
	deploy/debian/build target

static: needed ## one file that runs on any Linux of its processor, in target/static/
	deploy/release/build static target/static

install: needed ## install shadowtap to cargo's bin directory
	cargo install --locked --path .

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-26s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

needed: cargo
	@.ci/need gcc libc6-dev libpcap-dev

cargo:
	@command -v cargo >/dev/null || { \
	  echo 'Rust is missing. Get it from https://rustup.rs (one command, no root), then run make again.' >&2; exit 1; }
