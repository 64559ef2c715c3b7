#!/bin/sh
# Builds a program of each language whose toolchain is here, and has bench/binding_overhead.py run
# them side by side. A language that is left out is named.
# Environment: CC's program in C_STEP, PYTHONPATH's package in PYTHON_PACKAGE, and what the packages
# need to find the library.
# usage: run.sh python venv-python work-folder [argument of binding_overhead.py...]
set -eu

python=$1
venv_python=$2
work=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$work"

set -- "$@" "C=$C_STEP"
if [ -d "$PYTHON_PACKAGE/ane_train" ]; then
  set -- "$@" "Python=env PYTHONPATH=$PYTHON_PACKAGE $venv_python $here/step.py"
else
  echo "left out: Python, whose package is not built"
fi
if command -v "${CARGO:-cargo}" > /dev/null; then
  CARGO_TARGET_DIR=$work/rust "${CARGO:-cargo}" build -q --release --offline \
    --manifest-path "$here/step_rust/Cargo.toml"
  set -- "$@" "Rust=$work/rust/release/overhead_step"
else
  echo "left out: Rust, because there is no cargo here"
fi
if command -v "${SWIFT:-swift}" > /dev/null; then
  "${SWIFT:-swift}" build -q -c release --package-path "$here/step_swift" --scratch-path "$work/swift"
  set -- "$@" "Swift=$work/swift/release/OverheadStep"
else
  echo "left out: Swift, because there is no swift here"
fi
exec "$python" "$here/../binding_overhead.py" "$@"
