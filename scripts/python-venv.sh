#!/bin/sh
# A Python with the packages of a requirements file, which are wheels only; does nothing, quickly,
# when it is there. It sees the distribution's packages too (torch).
# usage: python-venv.sh python folder requirements.txt
set -eu

python=$1
folder=$2
requirements=$3

if cmp -s "$requirements" "$folder/requirements.txt"; then exit 0; fi
rm -rf "$folder"
"$python" -m venv --system-site-packages "$folder"
PIP_DISABLE_PIP_VERSION_CHECK=1 "$folder/bin/python" -m pip install -q --only-binary :all: \
  -r "$requirements"
cp "$requirements" "$folder/requirements.txt" # last: it says that all is there
