# The Swift binding. Tests end with "<n> passed, <n> failed", or "skipped: <why>".

swift:

swift-test:
	@echo 'skipped: not written yet'

swift-package-test:

.PHONY: swift swift-test swift-package-test
