"""Encrypted archives: those of Carbonio and of gpg open, ours open with gpg and tar, and what is hostile or broken is one clear line."""

import base64
import os
import re
import subprocess
import tarfile

import pytest

from reconciler.credentials.archive import ACL_TOKEN, CA, CA_KEY, GOSSIP_KEY, Archive
from reconciler.credentials.opening import bootstrap_token, open_archive, seal
from reconciler.model.errors import ReconcilerError
from reconciler.model.secret import Secret
from reconciler.systems import openpgp
from tests.credentials.archives import AS_SERVICE_DISCOVER, MADE_ELSEWHERE, PASSWORD, contents, gpg, needs_gpg, needs_the_case, sealed, tar, write


@needs_the_case
def test_an_archive_that_carbonio_wrote_opens():
    password = Secret((MADE_ELSEWHERE / "password").read_text().strip())
    expected = (MADE_ELSEWHERE / "expected-secret-id").read_text().strip()
    archive = open_archive(MADE_ELSEWHERE / "cluster-credentials.tar.gpg", password)
    assert set(archive.members) == {GOSSIP_KEY, ACL_TOKEN, CA, CA_KEY}
    assert archive.secret_id().reveal() == expected


@needs_gpg
@pytest.mark.parametrize("options", [AS_SERVICE_DISCOVER, ("--armor", "--symmetric", "--s2k-count", "16777216")], ids=["plain", "compressed"])
def test_an_archive_that_gpg_wrote_opens(tmp_path, options):
    members = contents()
    path = tmp_path / "archive"
    path.write_bytes(gpg(*options, content=tar(members)))
    assert {m.name: m.bytes for m in open_archive(path, Secret(PASSWORD)).members.values()} == members


@needs_gpg
def test_an_archive_that_we_write_opens_with_gpg_and_tar():
    members = contents()
    ours = seal(Archive.of(members), Secret(PASSWORD))
    opened = gpg("-qdo", "-", content=ours)
    for name, content in members.items():
        found = subprocess.run(["tar", "xOf", "-", name], input=opened, capture_output=True, check=True).stdout
        assert found == content
    listed = subprocess.run(["tar", "tvf", "-"], input=opened, capture_output=True, check=True).stdout.decode()
    assert [line.split()[:2] for line in listed.splitlines()] == [["-rw-------", "0/0"]] * 4


@needs_gpg
def test_what_we_write_is_encrypted_as_service_discover_does_it():
    packets = gpg("--list-packets", content=sealed(tar(contents()))).decode()
    assert re.search(r":symkey enc packet: version 4, cipher 9, aead 0,\s*s2k 3, hash 8", packets), packets
    assert ":encrypted data packet:" in packets and "mdc_method: 2" in packets
    assert "compressed packet" not in packets


def test_what_we_write_is_armored_and_opens():
    members = contents()
    ours = seal(Archive.of(members), Secret(PASSWORD))
    assert ours.startswith(b"-----BEGIN PGP MESSAGE-----\n\n")
    assert ours.rstrip().endswith(b"-----END PGP MESSAGE-----")
    assert openpgp.decrypt(ours, Secret(PASSWORD), 1 << 20) == tar(members)


def test_each_has_salt_and_key_of_its_own():
    assert sealed(b"x") != sealed(b"x")


def lines(content):
    return content.split(b"\n")


def damaged(content):
    broken = lines(content)
    broken[20], broken[21] = broken[21], broken[20]
    return b"\n".join(broken)


def binary(content):
    return base64.b64decode(b"".join(line for line in lines(content)[2:-2] if not line.startswith((b"=", b"-"))))


BROKEN = {
    "cut off": (lambda good: good[: len(good) // 2], "is cut off, it has no END line"),
    "cut off with an end": (lambda good: b"\n".join(lines(good)[:30] + lines(good)[-3:]), "is damaged or cut off"),
    "damaged": (damaged, "is damaged or cut off"),
    "empty": (lambda _: b"", "is empty"),
    "blank": (lambda _: b"\n\n", "is empty"),
    "binary": (binary, "is binary OpenPGP, which service-discover does not take either: armor it with gpg --enarmor"),
    "text": (lambda _: b"hello\n" * 100, "is no OpenPGP message"),
    "a tar": (lambda _: tar(contents()), "is no OpenPGP message"),
    "a key": (
        lambda _: b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n-----END PGP PUBLIC KEY BLOCK-----\n",
        "is armored OpenPGP, but no encrypted message",
    ),
    "armor around nothing": (lambda _: b"-----BEGIN PGP MESSAGE-----\n\n-----END PGP MESSAGE-----\n", "cannot be opened: it is damaged"),
    "large": (lambda good: good + b"\n" * (1 << 20), "has more than 1,048,576 bytes"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_is_broken_is_one_clear_line(tmp_path, how):
    breaks, message = BROKEN[how]
    path = write(tmp_path, contents())
    path.write_bytes(breaks(path.read_bytes()))
    with pytest.raises(ReconcilerError, match=f"{path} {message}") as refused:
        bootstrap_token(path, Secret(PASSWORD))
    assert "\n" not in str(refused.value)


def test_a_wrong_password_is_told_and_not_shown(tmp_path):
    with pytest.raises(ReconcilerError, match=r"cluster-credentials.tar.gpg cannot be opened with this password: give the right one") as refused:
        bootstrap_token(write(tmp_path, contents()), Secret("hunter2"))
    assert "hunter2" not in str(refused.value)


@needs_gpg
def test_the_advice_for_a_binary_one_helps(tmp_path):
    path = write(tmp_path, contents("the-secret-id"))
    armored = gpg("--enarmor", content=binary(path.read_bytes()))
    path.write_bytes(subprocess.run(["sed", "s/ARMORED FILE/MESSAGE/"], input=armored, capture_output=True, check=True).stdout)
    assert bootstrap_token(path, Secret(PASSWORD)).reveal() == "the-secret-id"
    assert b"SecretID" in gpg("-qdo", "-", content=path.read_bytes())


def test_paths_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, message in {
        tmp_path: "cannot be read: it is a directory",
        tmp_path / "pipe": "is no plain file",
        tmp_path / "nothing": "cannot be read: no such file or directory",
    }.items():
        with pytest.raises(ReconcilerError, match=f"the cluster archive {path} {message}"):
            bootstrap_token(path, Secret(PASSWORD))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"../../etc/cron.d/x": b"x"}, "a name that leads out of the archive"),
        ({"gossip-key": b"x"}, "lacks consul-acl-secret.json"),
        ({ACL_TOKEN: tarfile.TarInfo("d")}, "lacks consul-acl-secret.json, it has 'd'"),
    ],
)
def test_what_is_wrong_inside_is_told_with_the_file(tmp_path, members, message):
    path = tmp_path / "archive"
    path.write_bytes(sealed(tar(members)))
    with pytest.raises(ReconcilerError, match=f"{path} .*{message}"):
        bootstrap_token(path, Secret(PASSWORD))


@needs_gpg
def test_a_message_that_expands_is_not_expanded():
    bomb = gpg("--armor", "--symmetric", "--s2k-count", "1024", "--compress-algo", "zlib", content=bytes(8_000_000))
    assert len(bomb) < 50_000
    with pytest.raises(ReconcilerError, match="holds more than 1,048,576 bytes when it is opened"):
        openpgp.decrypt(bomb, Secret(PASSWORD), 1 << 20)


def test_nothing_is_written_to_disk(tmp_path, monkeypatch):
    path = write(tmp_path, contents())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    open_archive(path, Secret(PASSWORD))
    assert os.listdir(tmp_path) == [path.name]


def test_the_child_gets_the_password_in_neither_arguments_nor_environment(tmp_path, monkeypatch):
    seen: dict[str, object] = {}
    run = subprocess.run

    def watch(arguments, **options):
        seen.update(arguments=arguments, environment=options["env"])
        return run(arguments, **options)

    path = write(tmp_path, contents())
    monkeypatch.setattr(subprocess, "run", watch)
    monkeypatch.setenv("SOMEBODYS_SECRET", PASSWORD)
    open_archive(path, Secret(PASSWORD))
    assert PASSWORD not in str(seen)
    assert "SOMEBODYS_SECRET" not in str(seen["environment"])
