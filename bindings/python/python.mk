# The Python binding. Tests end with "<n> passed, <n> failed", or "skipped: <why>".

python:

python-test:
	@echo 'skipped: not written yet'

python-package-test:

.PHONY: python python-test python-package-test
