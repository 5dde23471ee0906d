"""``directory/HOST/PATH``: the folder for a gateway's token file. Folders above it that were made with it go with it, while they are empty."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

from reconciler.kinds.host._gateway import processes
from reconciler.kinds.host._machine import OnMachine, as_written, once, path_of
from reconciler.manifest.loaded import LoadedManifest
from reconciler.model.address import Address
from reconciler.model.field_rules import FieldRules
from reconciler.model.kind import Made, Order, Wanted
from reconciler.model.resource import Desired, Live
from reconciler.model.value import JSON
from reconciler.systems.host import ENTER, Facts, FolderState, Host, Inquiry

_MODE: Final = "0755"
_MISSING: Final = r"""
above=${1%/*}
while [ -n "$above" ] && [ ! -e "$above" ] && [ ! -L "$above" ]; do printf '%s\n' "$above"; above=${above%/*}; done
"""
_CREATE: Final = (
    ENTER
    + r"""
path=$1 mode=$2
if [ -e "$path" ] || [ -L "$path" ]; then fault exists "$path exists already"; fi
there=${path%/*}
while [ -n "$there" ] && [ ! -e "$there" ] && [ ! -L "$there" ]; do there=${there%/*}; done
enter "${there:-/}" "$path"
rest=${path#"$there"/}
undo() {
    while [ "$(pwd -P)" != "$here" ]; do name=$(pwd -P) && cd -P .. && rmdir -- "./${name##*/}" || return; done
}
umask 022
while [ "$rest" != "${rest#*/}" ]; do
    name=${rest%%/*} rest=${rest#*/}
    mkdir -- "./$name" && cd -P -- "./$name" || { undo; exit 1; }
done
mkdir -m "$mode" -- "./$rest" || { undo; exit 1; }
"""
)
_UPDATE: Final = (
    ENTER
    + r"""
parent=${1%/*} name=./${1##*/}
enter "${parent:-/}" "$1"
[ -d "$name" ] && [ ! -L "$name" ] || fault lost "$1 is no folder any more: run again"
chmod -- "$2" "$name"
"""
)
_DELETE: Final = (
    ENTER
    + r"""
path=$1 parent=${1%/*} name=./${1##*/}; shift
if [ ! -e "$path" ] && [ ! -L "$path" ]; then exit 0; fi
enter "${parent:-/}" "$path"
[ -d "$name" ] && [ ! -L "$name" ] || fault lost "$path is no folder any more: run again"
said=$(rmdir -- "$name" 2>&1) || fault exists "$path: ${said##*: }: left where it is; run again to forget it"
for each in "$@"; do
    [ "$each" = "$(pwd -P)" ] && cd -P .. && rmdir -- "./${each##*/}" 2>/dev/null || break
done
"""
)


class Directory(OnMachine):
    """Folders."""

    name: ClassVar[str] = "directory"
    covers: ClassVar[frozenset[str]] = frozenset()
    rules: ClassVar[FieldRules] = FieldRules(keeps=frozenset({"mode"}))

    def declare(self, manifest: LoadedManifest) -> Iterable[Desired]:
        """One for each gateway whose token file has no place of its own; one in another comes after that."""
        folders = {(p.host, p.directory): p.address(self.name) for p in processes(manifest)}
        return once(
            Desired(
                p.address(self.name), p.system, {"mode": _MODE}, p.name, p.place,
                needs=frozenset(a for (host, folder), a in folders.items() if host == p.host and p.directory.startswith(folder + "/")),
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

    def foresee(self, system: Host, address: Address, remembered: Iterable[JSON]) -> JSON:
        """The folders above it that are missing, and those that were made with another one: whichever goes last takes them along."""
        path = path_of(address)
        shared = (each for witness in remembered for each in _made_above(witness) if path.startswith(each + "/"))
        above = sorted({*system.run(_MISSING, path).splitlines(), *shared})
        return {"made_above": above} if above else None

    def create(self, system: Host, order: Order) -> Made:
        """With the folders above it that are missing, which belong to root and everybody may read."""
        system.run(_CREATE, path_of(order.address), str(order.fields["mode"]))
        return Made(None)

    def update(self, system: Host, order: Order) -> Made:
        """Another mode."""
        system.run(_UPDATE, path_of(order.address), str(order.fields["mode"]))
        return Made(None, order.live.witness if order.live else None)

    def delete(self, system: Host, order: Order) -> None:
        """Only when it is empty; then also what was made above it, as far as that is."""
        system.run(_DELETE, path_of(order.address), *sorted(_made_above(order.record.witness if order.record else None), reverse=True))


KIND = Directory()


def _made_above(witness: JSON) -> list[str]:
    return list(witness["made_above"]) if isinstance(witness, dict) else []


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
