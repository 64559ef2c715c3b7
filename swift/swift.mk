# The Swift binding. Tests end with "<n> passed, <n> failed", or "skipped: <why>".

SWIFT       ?= swift
SWIFT_BUILD := $(abspath $(OBJ))/swift

swift: stage  ## The Swift package AneTrain, built against a staged copy of the library
	$(Q)$(STAGED) SWIFT='$(SWIFT)' sh scripts/check-swift.sh build $(SWIFT_BUILD)

swift-test: stage
	$(Q)$(STAGED) SWIFT='$(SWIFT)' PYTHON='$(PYTHON)' sh scripts/check-swift.sh test $(SWIFT_BUILD)

swift-package-test: stage $(OBJ)/examples/07_finetune_jsonl  ## The Swift package, used from outside of this tree
	$(Q)$(STAGED) SWIFT='$(SWIFT)' PYTHON='$(PYTHON)' sh scripts/check-swift.sh consume \
	  $(SWIFT_BUILD) '$(STAGE)' '$(OBJ)/examples/07_finetune_jsonl'

.PHONY: swift swift-test swift-package-test
