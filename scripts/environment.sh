# What try.sh and test.sh share: a virtual environment in .venv and the Debian packages it needs. Sourced, not run.

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
fail() { printf '\n%s\n' "$*" >&2; exit 1; }

# What Qt and OpenGL (in software, if need be) load on Debian 12 and Ubuntu.
window_packages=(libgl1 libegl1 libfontconfig1 libdbus-1-3 libglib2.0-0 libxkbcommon-x11-0
    libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0)

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo "$@"
    else return 1
    fi
}

# Install the named Debian packages that are missing; status 1 where that cannot be done.
need_packages() {
    command -v dpkg-query >/dev/null || return 0        # no Debian: the machine has what it has
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return 0
    if ! as_root true; then
        printf 'These system packages are missing: %s\n' "${missing[*]}" >&2
        return 1
    fi
    say "Installing system packages: ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

find_python() {
    local candidate
    for candidate in python3 python3.11 python3.12 python3.13; do
        if command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed and was not found."
}

make_venv() {
    local python
    python=$(find_python)
    if "$python" -c 'import ensurepip' 2>/dev/null || need_packages python3-venv; then
        "$python" -m venv .venv
    else                                                 # no ensurepip, no root: fetch pip's own wheel
        "$python" -m venv --without-pip .venv
        .venv/bin/python scripts/fetch_pip.py ||
            fail "As an administrator, apt-get install python3-venv; then run this again."
    fi
}

# Make .venv and install the package with the named extras, unless that was done for this very pyproject.toml.
install_with() {
    local extras=$1 project
    project=$(sha256sum <pyproject.toml)
    [ -f .venv/installed ] && grep -q "^$extras[a-z,]* $project" .venv/installed && return
    [ -x .venv/bin/python ] && .venv/bin/python -m pip --version >/dev/null 2>&1 || make_venv
    say "Installing napari-cryodeco and what it needs into .venv (torch brings some 5 GB; minutes, once)"
    .venv/bin/python -m pip install --disable-pip-version-check --editable ".[$extras]"
    echo "$extras $project" >>.venv/installed
}
