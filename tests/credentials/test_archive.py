"""An archive without its encryption: what is taken, what is refused before it is unpacked, and that what is written is what others read."""

import gzip
import io
import tarfile

import pytest

from reconciler.credentials.archive import ACL_TOKEN, LARGEST_BYTES, LARGEST_MEMBER_BYTES, MEMBERS, MOST_MEMBERS, Archive, pack, unpack
from reconciler.model.errors import ReconcilerError
from tests.credentials.archives import contents, tar


def entry(name, type_=tarfile.REGTYPE, size=0, **fields):
    made = tarfile.TarInfo(name)
    made.type, made.size = type_, size
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def test_the_members_are_as_they_were_packed():
    members = contents()
    found = unpack(tar(members))
    assert {m.name: m.bytes for m in found.members.values()} == members
    assert found.missing() == ()
    assert found.members[ACL_TOKEN].size_bytes == len(members[ACL_TOKEN])


def test_what_is_written_is_what_service_discover_writes():
    packed = pack(Archive.of(contents()))
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as archive:
        entries = archive.getmembers()
    assert [e.name for e in entries] == list(MEMBERS)
    assert {(e.mode, e.uid, e.gid, e.uname, e.gname, e.type) for e in entries} == {(0o600, 0, 0, "", "", tarfile.REGTYPE)}
    assert packed[257:263] == b"ustar\0", "ustar, and neither GNU's nor pax's tar"


def test_bytes_that_are_no_text_come_back_as_they_were():
    assert unpack(pack(Archive.of({"unknown": b"\xff\0\r\n"}))).members["unknown"].bytes == b"\xff\0\r\n"


def test_nothing_of_it_shows():
    archive = unpack(tar(contents("hunter2-hunter2")))
    assert "hunter2" not in repr(archive)
    assert "PRIVATE" not in repr(archive)


def test_a_member_that_nobody_knows_is_kept():
    assert "later" in unpack(tar({**contents(), "later": b"x"})).members


def test_the_token_is_enough_for_the_token():
    assert unpack(tar({ACL_TOKEN: b'{"SecretID": "s"}'})).secret_id().reveal() == "s"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "is empty inside"),
        ({"/etc/passwd": b"x"}, "holds '/etc/passwd', a name that leads out of the archive"),
        ({"../../etc/passwd": b"x"}, r"holds '\.\./\.\./etc/passwd', a name that leads out"),
        ({"a/../../b": b"x"}, "a name that leads out"),
        ({"d": entry("d", tarfile.DIRTYPE)}, "holds 'd', which is a directory and no plain file"),
        ({"d/": entry("d/", tarfile.AREGTYPE, size=512)}, "holds 'd', which is a directory and no plain file"),
        ({"l": entry("l", tarfile.SYMTYPE, linkname="/etc/passwd")}, "holds 'l', which is a link and no plain file"),
        ({"l": entry("l", tarfile.LNKTYPE, linkname="gossip-key")}, "holds 'l', which is a link and no plain file"),
        ({"p": entry("p", tarfile.FIFOTYPE)}, "holds 'p', which is a device or a pipe"),
        ({"c": entry("c", tarfile.CHRTYPE)}, "holds 'c', which is a device or a pipe"),
        ({"big": b"x" * (LARGEST_MEMBER_BYTES + 1)}, "holds 'big' with 262,145 bytes, which is too large"),
        ({str(n): b"" for n in range(MOST_MEMBERS + 1)}, f"holds more than {MOST_MEMBERS} files"),
        ({"a": entry("gossip-key"), "b": entry("gossip-key")}, "holds 'gossip-key' twice"),
        ({"a\x1b[31m": entry("a\x1b[31m", tarfile.DIRTYPE)}, r"holds 'a\\x1b\[31m'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_has_no_place_in_an_archive_is_refused(members, message):
    with pytest.raises(ReconcilerError, match=message):
        unpack(tar(members))


def test_a_file_with_holes_is_refused():
    sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "holes", "GNU.sparse.realsize": str(1 << 40)}
    map_ = b"1\n0\n1\n".ljust(512, b"\0") + b"x"
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        made = entry("holes", size=len(map_))
        made.pax_headers = sparse
        archive.addfile(made, io.BytesIO(map_))
    with pytest.raises(ReconcilerError, match="which is an extended header or a sparse file and no plain file"):
        unpack(target.getvalue())


def header(type_=tarfile.REGTYPE, size=0):
    return entry("gossip-key", type_, size).tobuf(tarfile.USTAR_FORMAT)


def with_size(field):
    """A header with this in its field for the size, and a right sum."""
    made = bytearray(header())
    made[124:136] = field
    made[148:156] = b" " * 8
    made[148:156] = b"%06o\0 " % sum(made)
    return bytes(made)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header(tarfile.GNUTYPE_LONGNAME) * 400 + header(), "holds 'gossip-key', which is an extended header"),
        (header(tarfile.XGLTYPE) * 400 + header(), "holds 'gossip-key', which is an extended header"),
        (header(tarfile.XHDTYPE, size=1_000_000) + b"1" * 1_000_448, "holds 'gossip-key', which is an extended header"),
        (header() + header(tarfile.GNUTYPE_SPARSE), "holds 'gossip-key', which is an extended header or a sparse file"),
        (with_size(b"-0000000001\0"), "holds no tar"),
        (with_size(b"\xff" * 12), "holds no tar"),
        (with_size(b"\x80" + b"\0" * 10 + b"\1"), "holds no tar"),
    ],
    ids=["GNU in a row", "pax in a row", "pax of digits", "sparse", "negative", "negative in bytes", "in bytes"],
)
def test_headers_that_the_library_must_not_see_are_refused_before_it_does(monkeypatch, content, message):
    monkeypatch.setattr(tarfile, "open", lambda *_, **__: pytest.fail("the library has seen it"))
    with pytest.raises(ReconcilerError, match=message):
        unpack(content + bytes(1024))


def test_all_that_is_written_as_plain_files_is_taken():
    for format_ in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        assert unpack(tar(contents(), format=format_)).missing() == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty inside|holds no tar"),
        (b"hello", "holds no tar"),
        (b"x" * 5000, "holds no tar"),
        (b"\0" * (LARGEST_BYTES + 1), "holds more than 1,048,576 bytes"),
        (gzip.compress(b"\0" * 50_000_000), "holds a tar compressed with gzip, .*: it was not expanded"),
        (tar({"gossip-key": b"x" * 2000})[:1500], "cut off|holds no tar"),
    ],
    ids=["nothing", "short", "long", "too large", "gzip bomb", "cut off"],
)
def test_what_is_no_tar_is_refused(content, message):
    with pytest.raises(ReconcilerError, match=message):
        unpack(content)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"./consul-acl-secret.json": b"{}"}, r"lacks consul-acl-secret.json, it has './consul-acl-secret.json'"),
        ({"gossip-key": b"x"}, "lacks consul-acl-secret.json, it has 'gossip-key'"),
        ({ACL_TOKEN: b"hunter2"}, "holds no JSON in consul-acl-secret.json"),
        ({ACL_TOKEN: b'["hunter2"]'}, "holds no SecretID"),
        ({ACL_TOKEN: b"[" * 250_000}, "holds no JSON in consul-acl-secret.json"),
        ({ACL_TOKEN: b'{"SecretID": ""}'}, "holds no SecretID"),
        ({ACL_TOKEN: b'{"SecretID": 7, "x": "hunter2"}'}, "holds no SecretID"),
    ],
)
def test_an_archive_without_a_token_is_told(members, message):
    with pytest.raises(ReconcilerError, match=message) as refused:
        unpack(tar(members)).secret_id()
    assert "hunter2" not in str(refused.value)
