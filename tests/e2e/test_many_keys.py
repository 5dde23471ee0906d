"""More keys than one transaction takes."""

from __future__ import annotations

import base64
import json


def test_keys_are_read_as_they_are_however_they_are_grouped(command, consul, tmp_path):
    """Folders are read whole, and a neighbour of ours is neither shown nor touched."""
    keys = {f"many/{i // 3}/key-{i}": f"value {i}" for i in range(400)}
    consul.put("/v1/kv/many/0/neighbour", b"theirs")
    path = tmp_path / "keys.yaml"
    path.write_text(json.dumps({"version": 1, "name": "keys", "kv": keys}), "utf-8")
    command("apply", "--auto-approve", str(path), expect=0)
    assert "neighbour" not in command("plan", "--detailed-exitcode", str(path), expect=0).out
    command("destroy", "--auto-approve", str(path), expect=0)
    (left,) = consul.get("/v1/kv/many/?recurse=true")
    assert (left["Key"], base64.b64decode(left["Value"])) == ("many/0/neighbour", b"theirs")
