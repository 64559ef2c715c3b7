# The Rust binding. Tests end with "<n> passed, <n> failed", or "skipped: <why>".

rust:

rust-test:
	@echo 'skipped: not written yet'

rust-package-test:

.PHONY: rust rust-test rust-package-test
