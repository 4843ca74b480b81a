#!/usr/bin/env bash
# Install everything and run the main job on the embedded sample: no download of data, no GPU, no display needed.
# Arguments go to `cryodeco demo`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    need_packages "${window_packages[@]}" || say "Going on: the window may not open without them."
fi
install_with all
exec .venv/bin/cryodeco demo "$@"
