#!/bin/sh
# Make sure that GPAW is in .venv: PyPI's, built against Debian's libraries. What is there is left as it is.
set -eu
cd "$(dirname "$0")/../.."

python=.venv/bin/python
if "$python" -c 'import gpaw, phonopy' 2>/dev/null; then
    exit 0
fi
fail() {
    echo "GPAW is not installed, and $1" >&2
    exit 1
}
packages="build-essential python3-dev libxc-dev libopenblas-dev libopenmpi-dev"
lacking=$(for package in $packages; do
    dpkg-query --show --showformat='${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || echo "$package"
done)
# Standard output belongs to the tests.
if [ -n "$lacking" ]; then
    command -v apt-get >/dev/null || fail "there is no apt-get to install with what it is built on: libxc, BLAS and MPI with headers"
    sudo=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "there is neither root nor sudo to install $lacking"
        sudo="sudo -n"
    fi
    export DEBIAN_FRONTEND=noninteractive
    {
        # shellcheck disable=SC2086  # a list of packages
        $sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends $lacking
    } >&2 || fail "apt-get could not install $lacking"
fi
"$python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dft]' >&2 ||
    fail "pip could not build it"
"$python" -c 'import gpaw, phonopy' || fail "what pip installed cannot be imported"
