#!/bin/sh
# Make sure that a Chromium is there, in which the tests look at the plots. On Debian it is installed where it is not.
set -eu

if command -v chromium >/dev/null; then
    exit 0
fi
fail() {
    echo "no chromium on PATH, and $1: install the package chromium" >&2
    exit 1
}
command -v apt-get >/dev/null || fail "no apt-get to install it with"
sudo=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "neither root nor sudo to install it with"
    sudo="sudo -n"
fi
export DEBIAN_FRONTEND=noninteractive
# Standard output belongs to the tests.
{
    $sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core
} >&2 || fail "apt-get could not install it"
command -v chromium >/dev/null || fail "apt-get installed none"
