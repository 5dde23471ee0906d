"""A manifest as one JSON value that can be read again elsewhere: what a saved plan holds (docs/design.md §8).

It is the merged tree with its places, not the text: a comment may hold what nobody should see, and what an overlay has replaced is gone. ACL rules
and sources of files are in it; secrets are references still, and relative to the folder of the manifest.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from reconciler.manifest.acl_rules import is_file
from reconciler.manifest.loaded import LoadedManifest
from reconciler.manifest.models import Manifest
from reconciler.manifest.secret_walk import secrets
from reconciler.manifest.tree import Node, Spot, plain
from reconciler.manifest.wording import diagnostic
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.errors import ReconcilerError
from reconciler.model.resource import Place
from reconciler.model.secret import Secret
from reconciler.model.value import JSON


def literal_secrets(loaded: LoadedManifest) -> list[Diagnostic]:
    """Where the manifest itself holds secrets, so that it must not be stored; in the order of its lines."""
    or_say_so = ", or sensitive: false when it is none"
    found = [
        diagnostic(
            loaded.document, path, "holds a secret in plain text, which a saved plan must not hold",
            f"write a reference such as {{env: NAME}} or {{file: PATH}}{or_say_so if path[0] in ('kv', 'files') else ''}",
        )
        for path, _, secret in secrets(loaded.manifest)
        if isinstance(secret, Secret | str)
    ]  # fmt: skip
    return sorted(found, key=lambda d: (d.place is not None, d.place or Place("", 0, 0)))


def stored(loaded: LoadedManifest) -> JSON:
    """The manifest, without anything that it refers to but rules and sources. Raises ReconcilerError for a source that cannot be read."""
    files: dict[str, int] = {}
    return {
        "directory": str(loaded.directory.resolve()),
        "tree": _out(_with_rules(loaded), files),
        "files": list(files),
        "sources": {
            path: _source(loaded, path) for file in loaded.manifest.files.values() if (path := file.source or file.template) and not file.is_masked
        },
    }


def restored(body: JSON, beside: Path) -> LoadedManifest:
    """The manifest again. Where its folder is no more, the same one as seen from the file that it was stored in: ``beside``, what it is today.

    Raises ReconcilerError when it is none that this version takes.
    """
    try:
        root = _in(body["tree"], body["files"])
        directory = Path(body["directory"])
        if not directory.is_dir() and body.get("relative"):
            directory = beside / body["relative"]
        manifest = Manifest.model_validate(plain(root), context={"directory": directory})
        sources = {path: base64.b64decode(content) for path, content in body["sources"].items()}
    except (ValidationError, KeyError, TypeError, ValueError, IndexError) as error:
        raise ReconcilerError(f"it holds no manifest that this version understands ({type(error).__name__})") from None
    return LoadedManifest(manifest, directory, root, sources=sources)


def relative_to(body: JSON, folder: Path) -> JSON:
    """The same with the way from ``folder``, in which it will lie, to the manifest's."""
    return {**body, "relative": os.path.relpath(body["directory"], folder.resolve())}


def _source(loaded: LoadedManifest, path: str) -> str:
    try:
        return base64.b64encode(loaded.source(path)).decode("ascii")
    except OSError as error:
        raise ReconcilerError(f"the file {loaded.directory / path} cannot be read: {error.strerror}: create it, or correct the path") from None


def _with_rules(loaded: LoadedManifest) -> Node:
    """The tree with the text of rules where it names their file."""
    path = ("mesh_credentials", "policies")
    policies = loaded.document.at(*path)
    if policies is None or not isinstance(policies.value, dict):
        return loaded.document
    found = dict(policies.value)
    for label, policy in policies.value.items():
        rules = policy.child("rules")
        if rules is not None and isinstance(rules.value, dict) and is_file(rules.value):
            text = Node(str(loaded.manifest.mesh_credentials.policies[label].rules), rules.spot)
            found[label] = _replaced(policy, "rules", text)
    section = loaded.document.value[path[0]]
    return _replaced(loaded.document, path[0], _replaced(section, path[1], Node(found, policies.spot, None, policies.keys)))


def _replaced(node: Node, key: str, child: Node) -> Node:
    return Node({**node.value, key: child}, node.spot, node.written, node.keys)


def _out(node: Node, files: dict[str, int]) -> dict[str, Any]:
    at = _spot_out(node.spot, files)
    if isinstance(node.value, dict):
        keys = node.keys or {}
        return {"at": at, "map": [[key, _spot_out(keys.get(key, node.spot), files), _out(child, files)] for key, child in node.value.items()]}
    if isinstance(node.value, list):
        return {"at": at, "list": [_out(child, files) for child in node.value]}
    return {"at": at, "is": node.value}


def _in(body: dict[str, Any], files: list[str]) -> Node:
    spot = _spot_in(body["at"], files)
    if "map" in body:
        values = {key: _in(child, files) for key, _, child in body["map"]}
        return Node(values, spot, None, {key: _spot_in(place, files) for key, place, _ in body["map"]})
    if "list" in body:
        return Node([_in(child, files) for child in body["list"]], spot)
    return Node(body["is"], spot)


def _spot_out(spot: Spot, files: dict[str, int]) -> list[int]:
    file, line, column = spot
    return [files.setdefault(file, len(files)), line, column]


def _spot_in(spot: list[int], files: list[str]) -> Spot:
    file, line, column = spot
    return files[file], line, column
