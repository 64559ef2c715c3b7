# The Python binding. Tests end with "<n> passed, <n> failed", or "skipped: <why>".

PYTHON_BINDING := $(abspath bindings/python)
PYTHON_PACKAGE := $(abspath $(OBJ))/python
VENV_PYTHON    := $(abspath $(VENV))/bin/python
PYTHON_MISSING  = $(shell sh $(PYTHON_BINDING)/missing.sh $(PYTHON))
PYTHON_FLAGS   := $(if $(filter asan,$(MODE)),CFLAGS='$(FLAGS_asan)' LDFLAGS='$(FLAGS_asan)')

# setup.py makes pip's wheel and this tree. Inner: `stage` is the outer make's, which may run others
# that use it at the same time.
python-package: venv
	$(Q)cd $(PYTHON_BINDING) && ANE_TRAIN_STAGE='$(STAGE)' PATH="$(abspath $(VENV))/bin:$$PATH" \
	  CC='$(CC)' $(PYTHON_FLAGS) $(VENV_PYTHON) -W ignore setup.py -q build \
	  --build-lib '$(PYTHON_PACKAGE)' --build-temp '$(abspath $(OBJ))/python-objects'

python: stage  ## The Python package, importable from build/release/python
	$(Q)missing="$(PYTHON_MISSING)"; if [ -n "$$missing" ]; then \
	  echo "the Python binding is not built: it needs $$missing"; else $(MAKE) python-package; fi

python-test: all stage $(if $(EMULATOR_TEST),$(EMULATOR))  ## Tests, types and stubs of the Python package
	$(Q)missing="$(PYTHON_MISSING)"; if [ -n "$$missing" ]; then \
	  echo "skipped: needs $$missing"; else $(MAKE) python-package && \
	  sh $(PYTHON_BINDING)/tests/run.sh $(VENV_PYTHON) '$(PYTHON_PACKAGE)' $(ARGS); fi

# MODE=asan: the library and the module are instrumented, the interpreter is not. What leaked is asked
# for while the interpreter lives, so what it never frees itself does not count.
PYTHON_SANITIZER := $(if $(filter asan,$(MODE)),PYTHONMALLOC=malloc $(SANITIZER_ENV) \
  ASAN_OPTIONS=detect_stack_use_after_return=0:leak_check_at_exit=0 \
  LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libstdc++.so)")
STRESS_CYCLES ?= 10000

python-stress: python  ## Objects of every class 10000 times each; MODE=asan with leak check
	$(Q)PYTHONPATH='$(PYTHON_PACKAGE)' PYTHONDONTWRITEBYTECODE=1 $(PYTHON_SANITIZER) \
	  $(VENV_PYTHON) $(PYTHON_BINDING)/tests/stress.py $(STRESS_CYCLES) $(ARGS)

python-package-test: venv  ## The wheel, in clean environments with NumPy alone
	$(Q)missing="$(PYTHON_MISSING)"; if [ -n "$$missing" ]; then \
	  echo "skipped: needs $$missing"; else \
	  $(VENV_PYTHON) $(PYTHON_BINDING)/tests/package/check.py '$(abspath $(BUILD))/python-package'; fi

.PHONY: python python-package python-test python-stress python-package-test
