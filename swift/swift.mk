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

notes-app-test: stage  ## The sample app's model, and its work without views
	$(Q)$(STAGED) SWIFT='$(SWIFT)' sh scripts/check-swift.sh notes-app $(SWIFT_BUILD)

# --- xcframework: what Xcode links into apps -----------------------------------------------------

XCFRAMEWORK := $(BUILD)/xcframework
# The cross-built library brings what it needs along; one that Homebrew's libraries were linked to does
# not. There is no rule yet that builds the library for iOS.
MACOS_LIBRARY         ?= $(firstword $(wildcard $(BUILD)/macos/libane_train.$(ABI).dylib) $(LIBRARY))
IOS_LIBRARY           ?=
IOS_SIMULATOR_LIBRARY ?=

xcframework:  ## On a Mac with Xcode: build/xcframework/CAneTrain.xcframework of a library that was built
	$(Q)sh scripts/xcframework.sh $(if $(MACOS_LIBRARY),--macos '$(MACOS_LIBRARY)') \
	  $(if $(IOS_LIBRARY),--ios '$(IOS_LIBRARY)') \
	  $(if $(IOS_SIMULATOR_LIBRARY),--simulator '$(IOS_SIMULATOR_LIBRARY)') $(XCFRAMEWORK) $(VERSION)

xcframework-check:  ## The parts of xcframework that need no Mac, with LLVM's tools
	$(Q)SWIFT='$(SWIFT)' $(PYTHON) scripts/check-xcframework.py $(OBJ)/xcframework-check $(VERSION) \
	  $(BUILD)/macos/libane_train.$(ABI).dylib

.PHONY: swift swift-test swift-package-test notes-app-test xcframework xcframework-check
