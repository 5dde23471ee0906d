"""``directory/HOST/PATH``: the folder for a gateway's token file. Folders above it that were made with it go with it, while they are empty."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

from reconciler.kinds.host._gateway import processes
from reconciler.kinds.host._machine import OnMachine, as_written, once, path_of
from reconciler.manifest.loaded import LoadedManifest
from reconciler.model.address import Address
from reconciler.model.kind import FieldRules, Made, Order, Wanted
from reconciler.model.resource import Desired, Live
from reconciler.model.value import Value
from reconciler.systems.host import Facts, FolderState, Host, Inquiry

_MODE: Final = "0755"
_CREATE: Final = r"""
path=$1 mode=$2
case $path/ in /proc/* | /sys/* | /dev/*) fault rejected "$path lies where no folders are made" ;; esac
if [ -e "$path" ] || [ -L "$path" ]; then fault exists "$path exists already"; fi
missing= above=${path%/*}
while [ -n "$above" ] && [ ! -e "$above" ] && [ ! -L "$above" ]; do missing="$above
$missing" above=${above%/*}; done
real=$(cd -P -- "${above:-/}" 2>/dev/null && pwd -P) || fault rejected "$path: $above cannot be entered"
while :; do
    bits=0$(stat -c %a -- "$real") || exit 1
    if [ $((bits & 02)) -ne 0 ] && [ $((bits & 01000)) -eq 0 ]; then
        fault rejected "$path: anybody may write to $real, so nothing in it is safe: chmod o-w $real"
    fi
    [ "$real" != / ] || break
    real=${real%/*} real=${real:-/}
done
umask 022
printf '%s' "$missing" | while IFS= read -r each; do mkdir -- "$each" || exit 1; done || exit 1
mkdir -m "$mode" -- "$path" || exit 1
printf '%s' "$missing"
"""
_UPDATE: Final = r"""
[ -d "$1" ] && [ ! -L "$1" ] || fault lost "$1 is no folder any more: run again"
chmod -- "$2" "$1"
"""
_DELETE: Final = r"""
path=$1; shift
if [ -e "$path" ] || [ -L "$path" ]; then
    [ -d "$path" ] && [ ! -L "$path" ] || fault lost "$path is no folder any more: run again"
    said=$(rmdir -- "$path" 2>&1) || fault exists "$path: ${said##*: }: left where it is; run again to forget it"
fi
for each in "$@"; do rmdir -- "$each" 2>/dev/null || break; done
"""


class Directory(OnMachine):
    """Folders."""

    name: ClassVar[str] = "directory"
    covers: ClassVar[frozenset[str]] = frozenset()
    rules: ClassVar[FieldRules] = FieldRules(keeps=frozenset({"mode"}))

    def declare(self, manifest: LoadedManifest) -> Iterable[Desired]:
        """One for each gateway whose token file has no place of its own."""
        return once(
            Desired(
                p.address(self.name), p.system, {"mode": _MODE}, p.name, p.place,
                on_removal=p.gateway.on_removal, protect=p.gateway.protect, adopt=p.gateway.adopt,
            )
            for p in processes(manifest)
            if not p.has_own_token_file or p.token_file.rpartition("/")[0] == p.directory
        )  # fmt: skip

    def asks(self, wanted: Sequence[Wanted]) -> Inquiry:
        """With what is in them: only an empty one is removed."""
        return Inquiry(folders=frozenset(path_of(w.address) for w in wanted))

    def told(self, wanted: Sequence[Wanted], facts: Facts) -> Iterable[Live]:
        """Its mode, and what is in it."""
        return [_live(want, facts.folders[path_of(want.address)]) for want in wanted if path_of(want.address) in facts.folders]

    def create(self, system: Host, order: Order) -> Made:
        """With the folders above it that are missing, which belong to root and everybody may read; they are remembered."""
        made = system.run(_CREATE, path_of(order.address), str(order.fields["mode"]))
        return Made(None, _above(made.splitlines()))

    def update(self, system: Host, order: Order) -> Made:
        """Another mode."""
        system.run(_UPDATE, path_of(order.address), str(order.fields["mode"]))
        return Made(None, order.live.witness if order.live else None)

    def delete(self, system: Host, order: Order) -> None:
        """Only when it is empty; then also what was made above it, as far as that is."""
        above = order.record.witness if order.record else None
        system.run(_DELETE, path_of(order.address), *sorted(above["made_above"] if isinstance(above, dict) else (), reverse=True))


KIND = Directory()


def _above(paths: Sequence[str]) -> dict[str, Value] | None:
    return {"made_above": list(paths)} if paths else None


def _live(want: Wanted, state: FolderState) -> Live:
    path = want.address.segments[1]
    occupants = frozenset(Address.of("file", want.address.segments[0], f"{path}/{name}") for name in state.entries)
    return Live(
        want.address,
        {"owner": as_written(want, "owner", state.owner, state.uid), "mode": state.mode},
        witness=want.record.witness if want.record else None,
        occupants=occupants,
        foreign=f"is {state.special}, not a folder" if state.special else "",
    )
