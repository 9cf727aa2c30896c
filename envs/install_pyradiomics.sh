#!/usr/bin/env bash
# Install pyradiomics beside Organome, for the engine `pyradiomics` and the tests that compare with it.
#
#   envs/install_pyradiomics.sh .venv/bin/python
#
# Not part of pyproject.toml, because a resolver cannot do it: 3.1.0 on PyPI cannot be built, 3.0.1
# needs numpy in sight while it is built and a C compiler. Exit code 3: it is not installed.
set -euo pipefail

python=${1:?the Python to install for}
here=$(cd "$(dirname "$0")" && pwd)

install() {
  # --no-deps: what it asks for is there, and a second resolver run might replace torch.
  "$python" -m pip install --disable-pip-version-check --quiet --no-deps \
    --constraint "$here/constraints.txt" "$@"
}

without() {
  echo "pyradiomics is not installed: $1." >&2
  echo "All works without it but 'radiomics: {engine: pyradiomics}', and its tests are skipped." >&2
  exit 3
}

command -v "${CC:-cc}" >/dev/null || command -v gcc >/dev/null || without "there is no C compiler"
install setuptools wheel six python-dateutil pykwalify ruamel.yaml docopt || without "what it needs cannot be installed"
install --no-build-isolation pyradiomics || without "it cannot be built (are the headers of Python there?)"
"$python" -c 'import radiomics' || without "it cannot be imported"
