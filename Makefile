# libane_train.
#
#   make demo                installs what is missing, builds, trains a small model
#   make test                everything that CI checks, except the linter and the sanitizers
#   make unit-mil            one layer's unit tests (base, mil, backend, ...)
#   make MODE=asan unit-io   the same in another configuration
#   make V=1                 shows the commands
#   make help                lists all targets
#
# Works with GNU make 3.81. Each MODE has its own tree, build/<mode>.

VERSION := 0.1.0
ABI     := 0

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

# --- Configuration -------------------------------------------------------------------------------

MODE  ?= release
BUILD ?= build
# App stores refuse the names of private classes: ANE=0 leaves the Neural Engine's backend out.
ANE   ?= 1
OBJ   := $(BUILD)/$(MODE)$(if $(filter 0,$(ANE)),-no-ane)
OS    := $(shell uname -s)
JOBS  ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
# Inner calls share the outer one's jobs; a -j on the command line wins.
ifeq ($(MAKELEVEL),0)
  MAKEFLAGS += -j$(JOBS)
endif
MAKEFLAGS += --no-print-directory

PREFIX     ?= /usr/local
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
BINDIR     ?= $(PREFIX)/bin

# make's own defaults are cc and c++; ours are named, but the environment and command line win.
ifeq ($(origin CXX),default)
  CXX := $(if $(filter Darwin,$(OS)),clang++,g++)
endif
ifeq ($(origin CC),default)
  CC := $(if $(filter Darwin,$(OS)),clang,gcc)
endif
CLANG_FORMAT ?= clang-format
CLANG_TIDY   ?= clang-tidy
# The distribution's interpreter: it is the one that sees the distribution's torch.
PYTHON       ?= $(if $(wildcard /usr/bin/python3),/usr/bin/python3,python3)

V ?= 0
Q := $(if $(filter 0,$(V)),@)
say = $(if $(filter 0,$(V)),@printf '  %-5s %s\n' $(1) $(2))

FLAGS_release := -O3 -g1
FLAGS_debug   := -O0 -g
FLAGS_asan    := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
FLAGS_tsan    := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
# Clang alone; newer ones find what libstdc++ 12 has deprecated in libstdc++ 12.
FLAGS_fuzz    := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined,fuzzer-no-link \
                 -fno-sanitize-recover=all -Wno-deprecated-declarations
ifeq ($(FLAGS_$(MODE)),)
  $(error MODE is $(MODE); expected release, debug, asan, tsan or fuzz)
endif

# No -ffast-math and no contraction: the same source gives the same bits.
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Werror
# False alarms of GCC: an overlap in `"text" + std::string` (bug 105651), and, when a sanitizer has
# rewritten the code, members of an empty std::optional.
ifneq ($(filter g++% %-g++,$(notdir $(CXX))),)
  WARNINGS += -Wno-restrict $(if $(filter asan tsan,$(MODE)),-Wno-maybe-uninitialized)
endif
COMMON   := $(FLAGS_$(MODE)) -fPIC -fvisibility=hidden -ffp-contract=off $(WARNINGS)
INCLUDES := -Iinclude -MD -MP $(if $(filter 0,$(ANE)),-DANET_WITHOUT_ANE)
CXXSTD   := -std=c++20 -fvisibility-inlines-hidden
CSTD     := -std=c11

ifeq ($(OS),Darwin)
  BREW     := $(shell brew --prefix 2>/dev/null)
  INCLUDES += $(if $(BREW),-isystem $(BREW)/include)
  LIBS     := $(if $(BREW),-L$(BREW)/lib) -lhwy -lcjson -lpcre2-8 -lutf8proc
  CLI_LIBS := $(if $(BREW),-L$(BREW)/lib) -lcjson
else
  LIBS     := -ldnnl -lgomp -lhwy -lcjson -lpcre2-8 -lutf8proc -lpthread -ldl
  CLI_LIBS := -lcjson
endif

# --- Compilation ---------------------------------------------------------------------------------

# Only the library and its unit tests see src/; everything else sees the public header alone.
PRIVATE = $(if $(filter src/% tests/unit/% tests/ane/% tests/emulator/% tests/tools/% tests/fuzz/% bench/%,$<),-Isrc -DANET_BUILD)

$(OBJ)/%.o: %.cpp
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(CXX) $(CPPFLAGS) $(INCLUDES) $(PRIVATE) $(CXXSTD) $(COMMON) $(CXXFLAGS) -c $< -o $@

$(OBJ)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(INCLUDES) $(CSTD) $(COMMON) $(CFLAGS) -c $< -o $@

# --- Library -------------------------------------------------------------------------------------

# Lowest first; docs/architecture.md. Each layer is an archive, and a unit-test program links only
# its own layer and those below: a forbidden dependency does not link.
LAYERS        := base mil backend quant model io generate train capi
BELOW_base    :=
BELOW_mil     := base
BELOW_backend := mil base
BELOW_quant   := mil base
BELOW_model   := mil base
BELOW_io      := model quant mil base
BELOW_generate:= io model quant backend mil base
BELOW_train   := io model quant backend mil base
BELOW_capi    := train generate io model quant backend mil base

LIB_SOURCES := $(filter-out $(if $(filter 0,$(ANE)),src/backend/ane/%), \
                 $(sort $(shell find src -name '*.cpp')))
LIB_OBJECTS := $(LIB_SOURCES:%.cpp=$(OBJ)/%.o)
layer_objects = $(filter $(OBJ)/src/$(1)/%,$(LIB_OBJECTS))
archive       = $(if $(call layer_objects,$(1)),$(OBJ)/lib$(1).a)

define layer_rules
$(OBJ)/lib$(1).a: $(call layer_objects,$(1))
	$$(call say,AR,$$@)
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$^
endef
$(foreach layer,$(LAYERS),$(eval $(call layer_rules,$(layer))))

EXPORTS        := src/ane_train.exports
PUBLIC_HEADERS := include/ane_train.h include/ane_train_apple.h
ifeq ($(OS),Darwin)
  LIB_LINK  := libane_train.dylib
  LIB_SO    := libane_train.$(ABI).dylib
  LIB_FILE  := $(LIB_SO)
  SYMBOLS   := $(OBJ)/ane_train.symbols
  LIB_FLAGS := -dynamiclib -install_name @rpath/$(LIB_SO) -current_version $(VERSION) \
               -compatibility_version $(ABI) -Wl,-exported_symbols_list,$(SYMBOLS) -Wl,-dead_strip \
               -Wl,-headerpad_max_install_names
  ORIGIN    := @loader_path
else
  LIB_LINK  := libane_train.so
  LIB_SO    := libane_train.so.$(ABI)
  LIB_FILE  := libane_train.so.$(VERSION)
  SYMBOLS   := $(OBJ)/ane_train.map
  LIB_FLAGS := -shared -Wl,-soname,$(LIB_SO) -Wl,--version-script=$(SYMBOLS) -Wl,-z,defs \
               -Wl,-z,relro -Wl,-z,now -Wl,--as-needed -Wl,--exclude-libs,ALL
  ORIGIN    := $$ORIGIN
endif
LIBRARY := $(OBJ)/$(LIB_FILE)

$(OBJ)/ane_train.map: $(EXPORTS)
	@mkdir -p $(@D)
	$(Q)awk 'BEGIN { print "ANE_TRAIN_$(ABI) {\n  global:" } { print "    " $$1 ";" } \
	  END { print "  local:\n    *;\n};" }' $< > $@

$(OBJ)/ane_train.symbols: $(EXPORTS)
	@mkdir -p $(@D)
	$(Q)sed 's/^/_/' $< > $@

$(LIBRARY): $(LIB_OBJECTS) $(SYMBOLS)
	$(call say,LINK,$@)
	$(Q)$(CXX) $(FLAGS_$(MODE)) $(LIB_FLAGS) $(LDFLAGS) $(LIB_OBJECTS) $(LIBS) -o $@
	$(Q)cd $(OBJ) && for name in $(filter-out $(LIB_FILE),$(LIB_SO) $(LIB_LINK)); do \
	  ln -sf $(LIB_FILE) $$name; done

LINK_LIBRARY := -L$(OBJ) -lane_train '-Wl,-rpath,$(ORIGIN)' '-Wl,-rpath,$(ORIGIN)/..'

# --- Command and examples ------------------------------------------------------------------------

CLI_SOURCES := $(sort $(shell find examples/cli -name '*.cpp'))
CLI_OBJECTS := $(CLI_SOURCES:%.cpp=$(OBJ)/%.o)
CLI         := $(if $(CLI_SOURCES),$(OBJ)/ane-train)

$(OBJ)/ane-train: $(CLI_OBJECTS) $(LIBRARY)
	$(call say,LINK,$@)
	$(Q)$(CXX) $(FLAGS_$(MODE)) $(LDFLAGS) $(CLI_OBJECTS) $(LINK_LIBRARY) $(CLI_LIBS) -o $@

EXAMPLE_SOURCES  := $(sort $(wildcard examples/*.c))
EXAMPLE_OBJECTS  := $(EXAMPLE_SOURCES:%.c=$(OBJ)/%.o)
EXAMPLES         := $(EXAMPLE_SOURCES:%.c=$(OBJ)/%)

$(OBJ)/examples/%: $(OBJ)/examples/%.o $(LIBRARY)
	$(call say,LINK,$@)
	$(Q)$(CC) $(FLAGS_$(MODE)) $(LDFLAGS) $< $(LINK_LIBRARY) -o $@

all: $(LIBRARY) $(CLI) $(EXAMPLES)  ## Library, ane-train command and examples (the default)

# The demo's text generator needs no library.
DEMO_CORPUS := $(OBJ)/examples/demo/corpus

$(DEMO_CORPUS): $(DEMO_CORPUS).o
	$(Q)$(CC) $(FLAGS_$(MODE)) $(LDFLAGS) $< -o $@

demo: deps  ## Train a small model from nothing, sample from it, resume it (2 minutes and the build)
	$(Q)$(MAKE) $(CLI) $(DEMO_CORPUS)
	$(Q)sh examples/demo/demo.sh $(OBJ) $(BUILD)/demo

# --- Tests ---------------------------------------------------------------------------------------

# One program a layer from tests/unit/<layer>/*.cpp: build/release/unit_<layer>.
UNIT_SOURCES := $(filter-out $(if $(filter 0,$(ANE)),tests/unit/backend/ane_%), \
                  $(sort $(shell find tests/unit -name '*.cpp')))
UNIT_OBJECTS := $(UNIT_SOURCES:%.cpp=$(OBJ)/%.o)
UNIT_LAYERS  := $(foreach layer,$(LAYERS),$(if $(wildcard tests/unit/$(layer)/*.cpp),$(layer)))
UNIT_TESTS   := $(UNIT_LAYERS:%=$(OBJ)/unit_%)

define unit_rules
$(OBJ)/unit_$(1): $(filter $(OBJ)/tests/unit/$(1)/%,$(UNIT_OBJECTS)) \
                  $(call archive,$(1)) $(foreach below,$(BELOW_$(1)),$(call archive,$(below)))
	$$(call say,LINK,$$@)
	$$(Q)$$(CXX) $$(FLAGS_$$(MODE)) $$(LDFLAGS) $$^ $$(LIBS) -o $$@
unit-$(1): $(OBJ)/unit_$(1)
	$$(Q)$$(SANITIZER_ENV) $$< $$(ARGS)
.PHONY: unit-$(1)
endef
$(foreach layer,$(UNIT_LAYERS),$(eval $(call unit_rules,$(layer))))
# These count allocations, or let them fail.
$(OBJ)/unit_base $(OBJ)/unit_backend $(OBJ)/unit_train: $(OBJ)/tests/unit/allocation.o

# The C ABI through the public header and the shared library alone.
CAPI_SOURCES := $(sort $(shell find tests/capi -name '*.cpp' -o -name '*.c'))
CAPI_OBJECTS := $(addprefix $(OBJ)/,$(addsuffix .o,$(basename $(CAPI_SOURCES))))
CAPI_TEST    := $(if $(CAPI_SOURCES),$(OBJ)/capi_test)

$(OBJ)/capi_test: $(CAPI_OBJECTS) $(LIBRARY)
	$(call say,LINK,$@)
	$(Q)$(CXX) $(FLAGS_$(MODE)) $(LDFLAGS) $(CAPI_OBJECTS) $(LINK_LIBRARY) -lpthread -o $@

capi-test: $(CAPI_TEST)
	$(Q)$(SANITIZER_ENV) $< $(ARGS)

# --- Emulator ------------------------------------------------------------------------------------

# Apple's framework for the Neural Engine, on GNUstep: tests/emulator/README.md. load.c comes last: its
# constructor needs the classes of the other files.
ifeq ($(origin OBJC),default)
  OBJC := $(CC)
endif
OBJC_FLAGS   := -std=gnu11 -fexceptions -fobjc-exceptions -D_NATIVE_OBJC_EXCEPTIONS \
                -fconstant-string-class=NSConstantString \
                -isystem $(patsubst --sysroot=%,%,$(filter --sysroot=%,$(CC)))/usr/include/GNUstep
GNUSTEP_LIBS ?= -lgnustep-base -lobjc
EMULATOR_SOURCES := $(sort $(wildcard tests/emulator/*.cpp tests/emulator/*.m)) tests/emulator/load.c
EMULATOR_OBJECTS := $(addprefix $(OBJ)/,$(addsuffix .o,$(basename $(EMULATOR_SOURCES))))
EMULATOR         := $(OBJ)/libane_emulator.so
EMULATOR_CLIENT  := $(sort $(wildcard tests/emulator/client/*.cpp tests/emulator/client/*.m))
EMULATOR_CLIENT_OBJECTS := $(addprefix $(OBJ)/,$(addsuffix .o,$(basename $(EMULATOR_CLIENT))))
EMULATOR_TEST    := $(if $(filter Linux,$(OS)),$(OBJ)/emulator_test)

$(OBJ)/%.o: %.m
	@mkdir -p $(@D)
	$(call say,OBJC,$<)
	$(Q)$(OBJC) $(CPPFLAGS) $(INCLUDES) $(OBJC_FLAGS) $(COMMON) $(CFLAGS) -c $< -o $@

# Products of fp16 values are exact in float: a fused multiply-add has the bits of the two operations.
$(OBJ)/tests/emulator/gemm.o $(OBJ)/tests/emulator/gemm_avx2.o: CXXFLAGS += -ffp-contract=fast -Wno-psabi
$(OBJ)/tests/emulator/gemm_avx2.o: CXXFLAGS += $(if $(findstring x86_64,$(shell $(CXX) -dumpmachine)),-mavx2 -mfma)
# Nobody reads the processor's exception flags or errno; the values stay the same.
$(EMULATOR_OBJECTS): CXXFLAGS += -fno-trapping-math -fno-math-errno

$(EMULATOR): $(EMULATOR_OBJECTS) $(call archive,mil) $(call archive,base) tests/emulator/exports.map
	$(call say,LINK,$@)
	$(Q)$(CXX) -shared $(FLAGS_$(MODE)) $(LDFLAGS) -Wl,-soname,$(@F) \
	  -Wl,--version-script,tests/emulator/exports.map $(filter-out %.map,$^) $(GNUSTEP_LIBS) -lcjson -lpthread -o $@

emulator: $(EMULATOR)  ## The stand-in for Apple's framework: build/release/libane_emulator.so

$(OBJ)/emulator_test: $(EMULATOR_CLIENT_OBJECTS) $(EMULATOR)
	$(call say,LINK,$@)
	$(Q)$(CXX) $(FLAGS_$(MODE)) $(LDFLAGS) $^ '-Wl,-rpath,$(ORIGIN)' $(GNUSTEP_LIBS) -lpthread -o $@

emulator-test: $(EMULATOR_TEST)  ## The emulator against ane-facts, by a client of its own
	$(Q)$(SANITIZER_ENV) $< $(ARGS)

# The Neural Engine's backend against the emulator, which the program looks for in its own folder.
# It runs the op cases and counts allocations as the unit tests of the backend do.
ANE_SOURCES := $(sort $(wildcard tests/ane/*.cpp)) \
  $(addprefix tests/unit/,allocation.cpp $(addprefix backend/,support.cpp op_cases.cpp shape_cases.cpp \
                                                              ane_lowered.cpp))
ANE_OBJECTS := $(ANE_SOURCES:%.cpp=$(OBJ)/%.o)
ANE_TEST    := $(if $(filter Linux,$(OS)),$(if $(filter-out 0,$(ANE)),$(OBJ)/ane_test))

$(OBJ)/ane_test: $(ANE_OBJECTS) $(foreach layer,capi $(BELOW_capi),$(call archive,$(layer))) \
                 | $(OBJ)/libane_emulator.so
	$(call say,LINK,$@)
	$(Q)$(CXX) $(FLAGS_$(MODE)) $(LDFLAGS) $^ $(LIBS) -o $@

ane-test: $(OBJ)/ane_test $(OBJ)/libane_emulator.so  ## Tests of the Neural Engine backend
	$(Q)$(SANITIZER_ENV) $< $(ARGS)

# The fake stack of use-after-return is not aligned for AVX-512 (GCC bug 110027). Nothing is
# suppressed: oneDNN runs on one thread under each of ours, so its OpenMP does not trouble TSan.
SANITIZER_ENV := \
  ASAN_OPTIONS=detect_stack_use_after_return=0:strict_init_order=1:check_initialization_order=1 \
  UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1

# Scripts count as one test each.
SCRIPTS := header-check abi-check symbol-check layering-check example-check cli-text-check \
           cli-adapters-check tokenizer-check model-file-check adapter-file-check \
           install-check parity bench-check \
           $(if $(EMULATOR_TEST),cli-ane-check ane-plan-check) \
           bindings-check python-test rust-test swift-test notes-app-test languages-check \
           xcframework-check

test: deps deps-test  ## Every test; the last line counts them
	$(Q)$(MAKE) run-tests

# Every test program; each counts its own cases.
TEST_PROGRAMS := $(UNIT_TESTS) $(CAPI_TEST) $(EMULATOR_TEST) $(ANE_TEST)

test-programs: $(TEST_PROGRAMS) all

# What does not build is a failure among the others, not the end of them all.
run-tests:
	$(Q)$(MAKE) -k test-programs || true
	$(Q)MAKE='$(MAKE)' sh scripts/run-tests.sh $(TEST_PROGRAMS) -- test-programs $(SCRIPTS)

header-check:  ## The public headers compile alone as C99 to C17 and C++17 to C++20
	$(Q)CC='$(CC)' CXX='$(CXX)' sh scripts/check-header.sh $(OBJ)

abi-check: $(LIBRARY)  ## Exported symbols are those of src/ane_train.exports and of the headers
	$(Q)sh scripts/check-exports.sh $(LIBRARY) $(EXPORTS) $(PUBLIC_HEADERS)

symbol-check: $(LIBRARY)  ## The library imports nothing that prints, exits or aborts
	$(Q)sh scripts/check-imports.sh $(LIBRARY)

layering-check:  ## Each folder of src/ includes only what lies below it
	$(Q)$(PYTHON) scripts/layering.py

example-check: all  ## Every example runs
	$(Q)PYTHON='$(PYTHON)' sh scripts/check-examples.sh $(OBJ)

cli-text-check: $(CLI)  ## The command with models, conversations and texts of other tools
	$(Q)$(PYTHON) scripts/check-cli-text.py $(OBJ)

cli-adapters-check: $(CLI)  ## The command's fine-tuning, adapters and quantized models
	$(Q)$(PYTHON) scripts/check-cli-adapters.py $(OBJ)

cli-ane-check: $(CLI) $(EMULATOR)  ## The command on the CPU, without an engine, on the emulated one
	$(Q)$(PYTHON) scripts/check-cli-ane.py $(OBJ)

install-check: all  ## A C program builds and runs against an installed copy
	$(Q)MAKE='$(MAKE)' CC='$(CC)' sh scripts/check-install.sh $(OBJ)/install-check

parity: $(LIBRARY)  ## Losses, gradients and updates against PyTorch (needs deps-test)
	$(Q)$(PYTHON) tests/parity/live.py $(LIBRARY)
	$(Q)$(PYTHON) tests/parity/adapters.py $(LIBRARY)

quantized-base: $(CLI) $(DEMO_CORPUS)  ## What a base in 8 or 4 bits costs a fine-tuned model: some minutes
	$(Q)$(PYTHON) tests/parity/quantized_base.py $(OBJ) $(BUILD)/quantized_base

# Programs that tests written in Python run: build/release/tools/<name>.
TOOL_SOURCES := $(sort $(wildcard tests/tools/*.cpp))

$(OBJ)/tools/%: $(OBJ)/tests/tools/%.o $(foreach layer,io $(BELOW_io),$(call archive,$(layer)))
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CXX) $(FLAGS_$(MODE)) $(LDFLAGS) $^ $(LIBS) -o $@

# 20000 texts for each family of tokenizers; ARGS=--only=qwen for one.
# Texts a family; 20000 take five times as long, most of it in the reference.
TOKENIZER_TEXTS ?= 4000

tokenizer-check: venv $(OBJ)/tools/tokenizer_driver  ## Tokenizers against Hugging Face's and SentencePiece
	$(Q)$(VENV)/bin/python tests/golden/tokenizer/check.py $(OBJ)/tools/tokenizer_driver \
	  --count $(TOKENIZER_TEXTS) $(ARGS)

bench-tokenizer: venv $(OBJ)/tools/tokenizer_driver  ## Their speed against Hugging Face's on one thread
	$(Q)$(VENV)/bin/python bench/tokenizer.py $(OBJ)/tools/tokenizer_driver $(ARGS)

# Reading them as PyTorch models too needs a PyTorch of 2.6 or later: ARGS=--torch.
model-file-check: venv $(OBJ)/tools/model_file_driver  ## Exports read by safetensors, gguf and transformers
	$(Q)$(VENV)/bin/python tests/golden/model_files/check.py $(OBJ)/tools/model_file_driver $(ARGS)

# PEFT reads them too with ARGS=--torch.
adapter-file-check: venv $(OBJ)/tools/adapter_driver  ## Adapters as safetensors, gguf and PEFT have them
	$(Q)$(VENV)/bin/python tests/golden/adapters/check.py $(OBJ)/tools/adapter_driver $(ARGS)

VENV := $(BUILD)/venv

venv:  ## A Python with the packages of tests/requirements.txt: build/venv
	$(Q)sh scripts/python-venv.sh $(PYTHON) $(VENV) tests/requirements.txt

asan:  ## Unit and C ABI tests with AddressSanitizer, UBSan and leak checks
	$(Q)$(MAKE) MODE=asan run-sanitized

tsan:  ## The tests that use threads, with ThreadSanitizer: base, backend, train, generate, C ABI
	$(Q)$(MAKE) MODE=tsan run-sanitized

SANITIZED_asan := $(UNIT_TESTS) $(CAPI_TEST) $(EMULATOR_TEST) $(ANE_TEST)
SANITIZED_tsan := $(filter $(OBJ)/unit_base $(OBJ)/unit_backend $(OBJ)/unit_train \
                    $(OBJ)/unit_generate,$(UNIT_TESTS)) $(CAPI_TEST)

run-sanitized: $(SANITIZED_$(MODE))
	$(Q)$(SANITIZER_ENV) sh scripts/run-tests.sh $(SANITIZED_$(MODE))

# One program a reader of files, build/fuzz/fuzz_<reader>, each for FUZZ_SECONDS, two at a time.
# Findings are kept below build/fuzz/findings; a fixed one belongs to tests/fuzz/seeds.
FUZZ_CC      ?= clang
FUZZ_CXX     ?= clang++
FUZZ_SECONDS ?= 300
FUZZ_SOURCES := $(sort $(wildcard tests/fuzz/*.cpp))
FUZZERS      := $(FUZZ_SOURCES:tests/fuzz/%.cpp=$(OBJ)/fuzz_%)

$(OBJ)/fuzz_%: $(OBJ)/tests/fuzz/%.o $(foreach layer,io $(BELOW_io),$(call archive,$(layer)))
	$(call say,LINK,$@)
	$(Q)$(CXX) $(FLAGS_$(MODE)) -fsanitize=fuzzer $(LDFLAGS) $^ $(LIBS) -o $@

fuzzers: $(FUZZERS)

fuzz: deps-fuzz  ## Fuzzes every reader of files for FUZZ_SECONDS (300) each; ONLY=gguf for one
	$(Q)$(MAKE) MODE=fuzz CC=$(FUZZ_CC) CXX=$(FUZZ_CXX) fuzzers
	$(Q)sh scripts/fuzz.sh $(BUILD)/fuzz $(FUZZ_SECONDS) $(ONLY)

# Interpreters that may have a PyTorch: the distribution's, the one in build/venv, another of yours.
TORCH_PYTHON ?=
PYTORCHES    := $(PYTHON) $(wildcard $(VENV)/bin/python) $(TORCH_PYTHON)
BENCH_SOURCES := bench/speed/machine.cpp bench/w8a8.cpp

$(OBJ)/bench/machine: $(OBJ)/bench/speed/machine.o $(foreach layer,backend mil base,$(call archive,$(layer)))
	$(call say,LINK,$@)
	$(Q)$(CXX) $(FLAGS_$(MODE)) $(LDFLAGS) $^ $(LIBS) -o $@

bench: $(LIBRARY) $(OBJ)/bench/machine $(DEMO_CORPUS)  ## Speed against PyTorch and the machine's limits (50 minutes; ARGS=--quick: 2)
	$(Q)$(PYTHON) bench/speed/main.py $(LIBRARY) $(OBJ)/bench/machine $(DEMO_CORPUS) $(BUILD)/bench \
	  $(foreach python,$(PYTORCHES),--pytorch $(python)) $(ARGS)

bench-docs:  ## The figures of the last `make bench`, into docs/speed.md and README.md
	$(Q)$(PYTHON) bench/speed/report.py $(BUILD)/bench/summary.json --markdown docs/speed.md README.md

bench-ane-plan-docs:  ## The predictions of the last `make bench-ane-plan`, into docs/neural-engine.md
	$(Q)$(PYTHON) bench/ane_plan/markdown.py $(BUILD)/bench/ane_plan.json docs/neural-engine.md

bench-check: $(LIBRARY)  ## The arithmetic of `make bench`: counts, statistics, pictures; times nothing
	$(Q)$(PYTHON) bench/speed/check.py $(LIBRARY)

bench-lora: $(LIBRARY)  ## Memory and speed of an adapter over int8, 4-bit and fp32 weights (3 minutes)
	$(Q)/usr/bin/python3 bench/lora_memory.py $(LIBRARY) $(BUILD)/bench $(ARGS)

$(OBJ)/bench/w8a8: $(OBJ)/bench/w8a8.o $(foreach layer,quant backend mil base,$(call archive,$(layer)))
	$(call say,LINK,$@)
	$(Q)$(CXX) $(FLAGS_$(MODE)) $(LDFLAGS) $^ $(LIBS) -o $@

W8A8_DEPTH  ?= 32
W8A8_ROUNDS ?= 9
bench-w8a8: $(OBJ)/bench/w8a8  ## A chain of 1x1 convolutions in int8 against bf16 and f32, one report
	@mkdir -p $(BUILD)/bench
	$(Q)$< $(W8A8_DEPTH) $(W8A8_ROUNDS) 0 $(BUILD)/bench/w8a8.json

# A step from each language, C first: the languages whose toolchain is here.
$(OBJ)/bench/overhead_c: $(OBJ)/bench/overhead/step.o $(LIBRARY)
	$(call say,LINK,$@)
	$(Q)$(CC) $(FLAGS_$(MODE)) $(LDFLAGS) $< $(LINK_LIBRARY) -o $@

bench-bindings: $(OBJ)/bench/overhead_c stage python  ## A step from C, Python, Rust and Swift, side by side (5 minutes)
	$(Q)$(STAGED) C_STEP=$< PYTHON_PACKAGE='$(PYTHON_PACKAGE)' CARGO='$(CARGO)' SWIFT='$(SWIFT)' \
	  sh bench/overhead/run.sh $(PYTHON) $(VENV_PYTHON) '$(abspath $(OBJ))/bench/overhead' $(ARGS)

# --- macOS cross build ---------------------------------------------------------------------------

# The rules above with OS=Darwin, and a compiler that runs on Linux.
MACOS_DEPS := $(BUILD)/macos/deps
MACOS := OS=Darwin OBJ=$(BUILD)/macos AR='$(MACOS_DEPS)/zig/zig ar' \
         CC='sh scripts/macos-compiler.sh c $(MACOS_DEPS)' \
         CXX='sh scripts/macos-compiler.sh c++ $(MACOS_DEPS)' \
         CPPFLAGS='-isystem $(MACOS_DEPS)/include $(CPPFLAGS)'

macos: deps-macos  ## Library, command and examples for arm64 macOS, built on Linux and checked: build/macos
	$(Q)$(MAKE) $(MACOS) all
	$(Q)sh scripts/check-macho.sh $(BUILD)/macos $(ABI) $(VERSION) $(EXPORTS)

# --- arm64 ---------------------------------------------------------------------------------------

# The test programs on Linux for arm64, under qemu. The processor is close to Apple's: NEON with
# half floats and atomics, no SVE. The chips' differences are not the processor's, so the Neural
# Engine's tests go through two of the emulator's five there: qemu is some 20 times slower.
ARM64_PROFILES ?= m1,m4
ARM64_SYSROOT  := $(BUILD)/arm64/sysroot
ARM64 := OBJ=$(BUILD)/arm64 AR=aarch64-linux-gnu-ar \
         CC='aarch64-linux-gnu-gcc --sysroot=$(ARM64_SYSROOT)' \
         CXX='aarch64-linux-gnu-g++ --sysroot=$(ARM64_SYSROOT)'

test-arm64: deps-arm64  ## Every test program on an emulated arm64 processor: build/arm64
	$(Q)$(MAKE) $(ARM64) run-arm64

run-arm64:
	$(Q)$(MAKE) -k test-programs || true
	@echo "chips in ane_test: $(ARM64_PROFILES)"
	$(Q)RUNNER='qemu-aarch64 -cpu neoverse-n1 -L $(ARM64_SYSROOT)' MAKE='$(MAKE)' \
	  ANE_TEST_PROFILES=$(ARM64_PROFILES) \
	  sh scripts/run-tests.sh $(TEST_PROGRAMS) -- test-programs

bench-ane: $(LIBRARY) $(DEMO_CORPUS) $(EMULATOR)  ## Training on the emulated Neural Engine against the CPU
	$(Q)$(PYTHON) bench/ane_training.py $(LIBRARY) $(EMULATOR) $(ARGS)

bench-ane-plan: $(LIBRARY) $(EMULATOR)  ## The predicted time of a step on Apple's chips; ARGS=--quick for M4 alone
	@mkdir -p $(BUILD)/bench/ane_plan
	$(Q)$(PYTHON) bench/ane_plan/main.py $(LIBRARY) $(EMULATOR) $(BUILD)/bench $(ARGS)

ane-plan-check: $(LIBRARY) $(EMULATOR)  ## The cost model against closed forms, published steps and a short record
	$(Q)$(PYTHON) bench/ane_plan/check.py $(LIBRARY) $(EMULATOR) $(BUILD)/bench

# --- Lint ----------------------------------------------------------------------------------------

TRACKED      := git ls-files '*.c' '*.h' '*.cpp'
# Clang cannot read GCC's omp.h, which this one file includes.
TIDY_SOURCES := $(filter-out src/backend/cpu/onednn.cpp,$(LIB_SOURCES)) $(CLI_SOURCES)
TIDY_STAMPS  := $(TIDY_SOURCES:%.cpp=$(OBJ)/tidy/%.ok)

lint: format-check layering-check tidy  ## Formatting, layering and clang-tidy

format-check:
	$(Q)$(TRACKED) | xargs $(CLANG_FORMAT) --dry-run -Werror

format:  ## Formats every tracked source
	$(Q)$(TRACKED) | xargs $(CLANG_FORMAT) -i

tidy: $(TIDY_STAMPS)

$(OBJ)/tidy/%.ok: %.cpp .clang-tidy
	@mkdir -p $(@D)
	$(call say,TIDY,$<)
	$(Q)$(CLANG_TIDY) --quiet $< -- $(filter-out -MD -MP,$(INCLUDES)) $(PRIVATE) $(CXXSTD) \
	  2> $@.log || { cat $@.log; exit 1; }
	@touch $@

# --- Installation --------------------------------------------------------------------------------

# The installed command finds the library by a path relative to itself, so the tree can be moved.
INSTALL_RPATH := $(if $(filter $(PREFIX)/%,$(LIBDIR)),$(ORIGIN)/../$(LIBDIR:$(PREFIX)/%=%),$(LIBDIR))

$(OBJ)/install/ane-train: $(CLI_OBJECTS) $(LIBRARY) FORCE
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CXX) $(FLAGS_$(MODE)) $(LDFLAGS) $(CLI_OBJECTS) -L$(OBJ) -lane_train $(CLI_LIBS) \
	  '-Wl,-rpath,$(INSTALL_RPATH)' -o $@

$(OBJ)/ane_train.pc: src/ane_train.pc.in FORCE
	@mkdir -p $(@D)
	$(Q)sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR:$(PREFIX)/%=$${prefix}/%)|' \
	  -e 's|@INCLUDEDIR@|$(INCLUDEDIR:$(PREFIX)/%=$${prefix}/%)|' -e 's|@VERSION@|$(VERSION)|' $< > $@

install: $(LIBRARY) $(OBJ)/install/ane-train $(OBJ)/ane_train.pc  ## To PREFIX; DESTDIR is honoured
	install -d '$(DESTDIR)$(LIBDIR)/pkgconfig' '$(DESTDIR)$(INCLUDEDIR)' '$(DESTDIR)$(BINDIR)'
	install -m 755 $(LIBRARY) '$(DESTDIR)$(LIBDIR)/$(LIB_FILE)'
	$(Q)cd '$(DESTDIR)$(LIBDIR)' && for name in $(filter-out $(LIB_FILE),$(LIB_SO) $(LIB_LINK)); do \
	  ln -sf $(LIB_FILE) $$name; done
	install -m 644 $(PUBLIC_HEADERS) '$(DESTDIR)$(INCLUDEDIR)'
	install -m 644 $(OBJ)/ane_train.pc '$(DESTDIR)$(LIBDIR)/pkgconfig/ane_train.pc'
	install -m 755 $(OBJ)/install/ane-train '$(DESTDIR)$(BINDIR)/ane-train'

uninstall:  ## Removes what install put there
	rm -f '$(DESTDIR)$(LIBDIR)/$(LIB_FILE)' '$(DESTDIR)$(LIBDIR)/$(LIB_SO)' \
	  '$(DESTDIR)$(LIBDIR)/$(LIB_LINK)' $(PUBLIC_HEADERS:include/%='$(DESTDIR)$(INCLUDEDIR)/%') \
	  '$(DESTDIR)$(LIBDIR)/pkgconfig/ane_train.pc' '$(DESTDIR)$(BINDIR)/ane-train'

# --- Bindings ------------------------------------------------------------------------------------

# Built and tested against an installed copy, as an application is; the rules are in each folder.
STAGE  := $(abspath $(OBJ))/stage
STAGED := PKG_CONFIG_PATH='$(STAGE)/lib/pkgconfig' LD_LIBRARY_PATH='$(STAGE)/lib' \
          DYLD_LIBRARY_PATH='$(STAGE)/lib'

stage: $(LIBRARY)
	$(Q)$(MAKE) -s PREFIX='$(STAGE)' install > /dev/null

include bindings/python/python.mk rust/rust.mk swift/swift.mk

bindings: python rust swift  ## The Python, Rust and Swift packages, for the toolchains that are here

bindings-check:  ## Every call, option and constant of the header is reachable from each language
	$(Q)$(PYTHON) scripts/check-bindings.py

languages-check: stage python $(CLI) $(OBJ)/examples/07_finetune_jsonl  ## One example in four languages: the same losses
	$(Q)$(RUST_ENV) SWIFT='$(SWIFT)' sh scripts/check-languages.sh $(OBJ) $(VENV_PYTHON) $(PYTHON_PACKAGE)

docs: stage python  ## The references of C, Python, Rust and Swift as HTML, for the tools that are here: build/docs
	$(Q)STAGE='$(STAGE)' PYTHON='$(VENV_PYTHON)' PYTHON_PACKAGE='$(PYTHON_PACKAGE)' CARGO='$(CARGO)' \
	  SWIFT='$(SWIFT)' sh scripts/docs.sh '$(BUILD)/docs'

test-packages: python-package-test rust-package-test swift-package-test  ## Each package, used from outside

# --- Dependencies and housekeeping ---------------------------------------------------------------

deps:  ## Installs what building and running need (apt or Homebrew)
	$(Q)sh scripts/deps.sh build

deps-test:  ## Installs what the tests need besides (PyTorch: about 500 MB)
	$(Q)sh scripts/deps.sh test

deps-fuzz:  ## Installs what fuzzing needs besides
	$(Q)sh scripts/deps.sh fuzz

deps-macos:  ## Installs what the macOS cross build needs besides (500 MB below build/)
	$(Q)sh scripts/deps.sh macos
	$(Q)sh scripts/macos-deps.sh $(MACOS_DEPS)

deps-arm64:  ## Installs what the arm64 tests need besides (150 MB below build/)
	$(Q)sh scripts/deps.sh arm64
	$(Q)sh scripts/arm64-deps.sh $(ARM64_SYSROOT)

clean:  ## Removes build/
	rm -rf $(BUILD)

help:  ## This list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z][a-z0-9-]*:.*## / { printf "  %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  unit-<layer>         One layer's unit tests: "$(UNIT_LAYERS)

FORCE:
.PHONY: all demo test test-programs run-tests capi-test ane-test emulator emulator-test \
  header-check abi-check symbol-check layering-check example-check install-check parity \
  cli-text-check cli-adapters-check cli-ane-check tokenizer-check model-file-check \
  adapter-file-check quantized-base venv stage docs bindings bindings-check languages-check test-packages \
  asan tsan run-sanitized fuzz fuzzers bench bench-check bench-docs bench-lora bench-w8a8 bench-bindings bench-ane bench-tokenizer \
  bench-ane-plan bench-ane-plan-docs ane-plan-check \
  macos test-arm64 run-arm64 lint format-check format tidy \
  install uninstall deps deps-test deps-fuzz deps-macos deps-arm64 clean help

-include $(TOOL_SOURCES:%.cpp=$(OBJ)/%.d) $(LIB_OBJECTS:.o=.d) $(EMULATOR_OBJECTS:.o=.d) $(EMULATOR_CLIENT_OBJECTS:.o=.d) $(UNIT_OBJECTS:.o=.d) $(CAPI_OBJECTS:.o=.d) $(ANE_OBJECTS:.o=.d) \
  $(CLI_OBJECTS:.o=.d) $(EXAMPLE_OBJECTS:.o=.d) $(DEMO_CORPUS).d $(BENCH_SOURCES:%.cpp=$(OBJ)/%.d)
