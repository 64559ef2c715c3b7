# The Rust crates. Tests end with "<n> passed, <n> failed", or "skipped: <why>".

CARGO     ?= cargo
RUSTC     ?= rustc
RUST_WORK := $(abspath $(BUILD))/rust
# Offline: the crates have no dependencies.
RUST_ENV   = $(STAGED) CARGO='$(CARGO)' RUSTC='$(RUSTC)' CC='$(CC)' PYTHON='$(PYTHON)' \
             CARGO_TARGET_DIR='$(RUST_WORK)/target' CARGO_NET_OFFLINE=true \
             ANE_TRAIN_TEST_EMULATOR='$(abspath $(EMULATOR))'

rust: stage  ## The Rust crates, built against an installed copy
	$(Q)$(RUST_ENV) sh rust/run.sh build '$(RUST_WORK)'

rust-bindings:  ## Renews rust/ane-train-sys/src/bindings.rs from the headers
	$(Q)$(RUST_ENV) sh rust/run.sh bindings '$(RUST_WORK)'

rust-test: stage  ## Bindings, style, documentation and tests of the Rust crates
	$(Q)$(RUST_ENV) sh rust/run.sh test '$(RUST_WORK)'

rust-sanitized: stage  ## The Rust tests under valgrind: wrong accesses and leaks (4 minutes)
	$(Q)$(RUST_ENV) sh rust/run.sh sanitized '$(RUST_WORK)'

rust-package-test: stage $(OBJ)/examples/07_finetune_jsonl  ## The packed crates, used from outside of this tree
	$(Q)$(RUST_ENV) sh rust/package-test.sh '$(STAGE)' '$(OBJ)/examples/07_finetune_jsonl' \
	  '$(RUST_WORK)/package-test'

.PHONY: rust rust-bindings rust-test rust-sanitized rust-package-test
