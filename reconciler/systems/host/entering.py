"""How a script goes into the folder that it is to write in, so that nobody can put another in its place, before or meanwhile.

The folder is entered first, and everything in it named relative to it. Then it must be where the path says: symbolic links on the way are followed
where root or we made them, in folders of root or our own, and nowhere else. Whoever may write to a folder on the way could lead us elsewhere.
"""

from __future__ import annotations

from typing import Final

NOT_FILES: Final = ("/proc", "/sys", "/dev")
"""Where files are no files."""

LINKS: Final = 40
"""How many symbolic links are followed, as in the kernel."""

ENTER: Final = r"""
ours() { owner=$(stat -c %u -- "$1") && { [ "$owner" = 0 ] || [ "$owner" = "$(id -u)" ]; }; }
enter() {  # enter FOLDER FOR-WHAT: there is a folder, it is the one that is meant, and nobody else may write to what is above it
    cd -P -- "$1" 2>/dev/null || fault denied "$2: the folder $1 cannot be entered: permission denied, or it is none"
    here=$(pwd -P) rest=${1#/}/ real= links=0
    while [ -n "$rest" ]; do
        first=${rest%%/*} rest=${rest#*/}
        case $first in '' | .) continue ;; ..) real=${real%/*}; continue ;; esac
        if [ -L "$real/$first" ]; then
            links=$((links + 1))
            if [ "$links" -gt LINKS ] || ! ours "$real/$first" || ! ours "${real:-/}"; then
                fault rejected "$2: $real/$first is a symbolic link that others may change: name the folder itself"
            fi
            target=$(readlink -- "$real/$first") || exit 1
            case $target in /*) real= ;; esac
            rest=$target/$rest
        else real=$real/$first; fi
    done
    [ "$here" = "${real:-/}" ] || fault lost "$2: the folder $1 was moved meanwhile: run again"
    case $here/ in
        NOT_FILES) fault rejected "$2 lies in $here, which holds no files of its own" ;;
    esac
    above=$here
    while :; do
        mode=0$(stat -c %a -- "$above") || exit 1
        if [ $((mode & 02)) -ne 0 ] && [ $((mode & 01000)) -eq 0 ]; then
            fault rejected "$2: anybody may write to $above, so nothing in it is safe: chmod o-w $above"
        fi
        [ "$above" != / ] || break
        above=${above%/*} above=${above:-/}
    done
}
""".replace("NOT_FILES", " | ".join(f"{top}/*" for top in NOT_FILES)).replace("LINKS", str(LINKS))
"""Defines ``enter FOLDER FOR-WHAT``; ``$here`` is then where we are."""
