"""What a regeneration of credentials will do, and what it has done, for a person who is in a hurry."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from reconciler.credentials.regeneration.journal import Step, Way
from reconciler.credentials.regeneration.old_tokens import OldToken
from reconciler.credentials.regeneration.others import Node
from reconciler.credentials.regeneration.place import Place
from reconciler.credentials.regeneration.steps import SET_UP, STEPS
from reconciler.report.characters import visible
from reconciler.report.distribution import nodes_lines

_STEPS: Final[dict[Step, str]] = {
    "reset": "write the reset index{index} to {place.reset_file}, as {place.user}",
    "stop": "systemctl stop {place.unit}: the mesh is down from here on",
    "remove": "remove {place.main}, {place.bind} and {place.home}/*.pem, which keep set-up from starting",
    "set-up": "{set_up}, at {leader}, with the new password on its terminal: the mesh is up again after that",
    "bootstrap": "write the reset index{index} to {place.reset_file}, as {place.user}, for the moment in which a new management token is made, "
    "and write {archive} anew, with the CA and the gossip key that there are",
    "prove": "open {archive}, and see that Consul accepts its token and that it may do everything",
}


def steps_text(
    way: Way, cluster: str, leader: str, index: int | None, archive: Path, place: Place, done: Collection[Step], *, servers: int, revoke: bool,
    nodes: Sequence[Node] = (),
) -> str:  # fmt: skip
    """The steps, numbered, and what they mean for the mesh. ``index``: None where it is not known yet. ``servers``: 0 where that is
    not known. ``nodes`` are the others that are set up again afterwards.
    """
    words = {"index": f" {index}" if index else "", "place": place, "set_up": " ".join(SET_UP), "leader": leader, "archive": archive}
    lines = [f"New credentials for the cluster {cluster}, on its leader, which is this machine ({leader}).", ""]
    for number, step in enumerate(STEPS[way], 1):
        lines.append(f"  {number}. {_STEPS[step].format(**words)}{'  (done)' if step in done else ''}")
    fate = ", and delete them" if revoke else "; none is deleted"
    lines += [f"  {len(STEPS[way]) + 1}. list the older tokens that may do everything{fate}"]
    if nodes:
        first, *more = nodes_lines(archive, nodes)
        lines += [f"  {len(STEPS[way]) + 2}. {first}", *(f"     {line}" for line in more)]
    lines.append("")
    if way == "whole":
        lines += [
            "While this runs the mesh is DOWN. It takes some minutes. Afterwards the CA, the archive's gossip key and the token are new, so every",
            "other node of the mesh must be set up again, and stays cut off until then.",
        ]
        if servers > 1:
            lines += [
                f"The cluster has {servers} servers. With another CA this one cannot reach the others, and alone it is no majority: set-up then",
                "finds no leader, and fails. So this needs --allow-no-majority.",
            ]
        lines += ["If only the password or the token is lost, --acl-only is enough, and the mesh stays up."]
    else:
        lines += ["The mesh stays up. The CA and the gossip key stay what they are, so no other node has to be set up again."]
    lines += ["The tokens of services stay valid. If this is interrupted, run the same again: it goes on.", ""]
    return "\n".join(visible(line) for line in lines)


def old_tokens_text(tokens: Sequence[OldToken], *, revoked: bool) -> str:
    """The older management tokens, a line each, and what became of them."""
    if not tokens:
        return "There is no older token that may do everything.\n"
    lines = ["Older tokens that may do everything:"]
    for token in tokens:
        fate = f"kept, because {token.kept}" if token.kept else "deleted" if revoked else "still valid"
        lines.append(f"  {token.accessor}  {visible(token.description)}  ({fate})")
    if any(token.kept or not revoked for token in tokens):
        lines.append("Delete those that nobody should have any more, with the new token: consul acl token delete -accessor-id ACCESSOR")
    return "\n".join(lines) + "\n"


def end_text(
    way: Way, cluster: str, accessor: str, archive: Path, place: Place, *, servers: int, nodes: Collection[str] = (), left: Collection[str] = ()
) -> str:  # fmt: skip
    """What there is now, and what is to be done next. ``nodes`` are the others that were set up again, ``left`` those that a run before was to do."""
    if way == "whole":
        others = f"the other {servers - 1} servers first, then " if servers > 1 else ""
        kept = place.data / "serf" / "local.keyring"
        lines = [
            f"The credentials of {cluster} are new: token {accessor}, in {archive}.",
            *([f"Set up again: {', '.join(nodes)}."] if nodes else []),
            *([f"NOT set up again yet, as an earlier run was to do: {', '.join(left)}."] if left else []),
            f"This machine is done. Now every other node of the mesh{' that is not set up again yet' if nodes else ''}, one after the other: "
            + others
            + "all that run an agent.",
            "Those that a manifest declares: reconciler credentials distribute --set-up-again --nodes FILE",
            "On each of the others:",
            f"  systemctl stop {place.unit}",
            f"  rm {place.main} {place.bind} {place.home}/*.pem",
            "  service-discover setup-wizard          # asks for the address of that node and the new password",
        ]
        if kept.exists():
            lines += [
                f"Consul keeps the gossip key of before in {kept}, whatever its configuration says. When all nodes are back,",
                "let it take the one in the archive (consul keyring -install, then -use): with that alone new nodes cannot join.",
            ]
    else:
        lines = [
            f"The new management token of {cluster} is {accessor}. Its secret is in {archive}.",
            "LDAP still holds the old archive (carbonioMeshCredentials of cn=config,cn=zimbra). The next service-discover setup on another node",
            "takes that one, and puts it in the place of the new one there. Nothing was written to LDAP: put the new archive there before that.",
        ]
    return "\n".join(visible(line) for line in lines) + "\n"
