#!/bin/sh
# Run a command with a display that OpenGL can draw on: the one there is, else a virtual one.
# Debian and Ubuntu packages that are missing are installed where that is allowed, and named where it is not.
set -eu

PACKAGES="xvfb xauth libgl1 libegl1 libopengl0 libgl1-mesa-dri libxkbcommon0 libxkbcommon-x11-0 libxcb-cursor0 \
libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-sync1 libxcb-util1 \
libxcb-xfixes0 libxcb-xinerama0 libxcb-xkb1 libx11-xcb1 libdbus-1-3 libfontconfig1 fonts-dejavu-core"

missing=""
if command -v dpkg-query >/dev/null; then
    for package in $PACKAGES; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
    done
elif ! command -v xvfb-run >/dev/null; then
    missing=" xvfb"
fi

if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ]; then as_root=""; else as_root="sudo -n"; fi
    echo "installing for the display:$missing"
    # shellcheck disable=SC2086  # lists of words are meant
    if ! { command -v apt-get >/dev/null && $as_root apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null; }; then
        echo "These system packages are needed for a window and could not be installed:$missing" >&2
        echo "Install them (on Debian or Ubuntu: sudo apt-get install$missing), then run this again." >&2
        exit 1
    fi
fi

export QT_QPA_PLATFORM=xcb QT_API=pyqt6
exec xvfb-run -a -s "-screen 0 1600x1000x24" "$@"
