#!/usr/bin/env bash
# Install what the tests need, system libraries included, and run them all, real windows under Xvfb too.
# Arguments go to pytest: two to four tests run at a time, `-n 0` runs one after another.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

need_packages git xvfb xauth "${window_packages[@]}" ||
    fail "As an administrator, apt-get install them; then run this again."
install_with all,test
exec xvfb-run -a -s "-screen 0 1600x1000x24" .venv/bin/python -m pytest -n auto --maxprocesses 4 "$@"
