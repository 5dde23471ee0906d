"""Token files on this machine, driven as the engine drives them: read, compare, merge, write, read again."""

from __future__ import annotations

import grp
import os
import pwd
import stat

import pytest

from reconciler.engine.diff import compare, merged
from reconciler.kinds.host.file import KIND
from reconciler.model.address import Address
from reconciler.model.errors import AlreadyExists, LostRace, Rejected
from reconciler.model.kind import Made, Order, Wanted
from reconciler.model.resource import Desired, Place, System
from reconciler.model.secret import Hidden, Secret
from reconciler.systems.host import LocalHost

OWNER = "test"
HOST = LocalHost()
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "token"


def address(path):
    return KIND.address("local", str(path).removeprefix("/"))


def desired(path, **fields):
    return Desired(address(path), System("host", "local"), {"token": Secret("s3cret"), "mode": "0600", **fields}, "gateway", Place("test.yaml", 1, 1))


def read(path, want=None):
    return next(iter(KIND.read(HOST, [Wanted(address(path), OWNER, want)])), None)


def apply(path, **fields):
    """Make it so, and insist that nothing is left to do; what is live then."""
    want = desired(path, **fields)
    live = read(path, want)
    made: Made | None
    if live is None:
        made = KIND.create(HOST, Order(want.address, want.fields, OWNER, desired=want))
    else:
        changed = compare(want.fields, None, live, KIND.rules).fields
        order = Order(want.address, merged(want.fields, changed, live, KIND.rules), OWNER, tuple(c.path for c in changed), want, live)
        made = KIND.update(HOST, order) if changed else None
    after = read(path, want)
    assert after is not None
    assert compare(want.fields, None, after, KIND.rules).fields == ()
    assert made is None or (made.incarnation, made.witness) == (after.incarnation, after.witness)
    return after


def test_the_content_is_the_secret_and_a_newline(path):
    apply(path)
    assert path.read_bytes() == b"s3cret\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_several_files_are_read_at_once_and_absent_ones_are_not_answered(tmp_path):
    paths = [tmp_path / "a", tmp_path / "b"]
    for one in paths:
        apply(one)
    found = KIND.read(HOST, [Wanted(address(p), OWNER) for p in (*paths, tmp_path / "c")])
    assert {live.address for live in found} == {address(p) for p in paths}


@pytest.mark.parametrize("content", [b"s3cret", b"s3cret\n"])
def test_one_newline_at_the_end_makes_no_difference(path, content):
    path.write_bytes(content)
    live = read(path)
    assert live is not None
    assert compare(desired(path, mode=live.fields["mode"]).fields, None, live, KIND.rules).fields == ()


@pytest.mark.parametrize("content", [b"", b"other\n", b"s3cret\n\n", b" s3cret", b"s3cret\xff"])
def test_any_other_content_is_a_difference_and_is_replaced(path, content):
    path.write_bytes(content)
    path.chmod(0o600)
    live = read(path)
    assert live is not None
    assert [c.path for c in compare(desired(path).fields, None, live, KIND.rules).fields] == [("token",)]
    apply(path)
    assert path.read_bytes() == b"s3cret\n"


def test_another_mode_is_put_right(path):
    apply(path)
    path.chmod(0o644)
    apply(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    apply(path, mode="0640")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@needs_root
def test_owner_and_group_are_set_and_kept_when_the_manifest_does_not_set_them(path):
    apply(path, owner="nobody", group="daemon")
    live = apply(path, mode="0640")
    assert (live.fields["owner"], live.fields["group"]) == ("nobody", "daemon")
    assert KIND.rules.keeps == {"owner", "group", "mode"}


@needs_root
def test_an_owner_and_a_group_by_number_are_the_same_as_by_name(path):
    account, group = pwd.getpwuid(65534), grp.getgrgid(65534)
    apply(path, owner="65534", group="65534")
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)
    for owner, its_group in (("65534", group.gr_name), (account.pw_name, "65534"), (account.pw_name, group.gr_name)):
        want = desired(path, owner=owner, group=its_group)
        (live,) = KIND.read(HOST, [Wanted(want.address, OWNER, want)])
        assert compare(want.fields, None, live, KIND.rules).fields == ()
    other = desired(path, owner="1", group="65534")
    (live,) = KIND.read(HOST, [Wanted(other.address, OWNER, other)])
    assert [".".join(c.path) for c in compare(other.fields, None, live, KIND.rules).fields] == ["owner"]


def test_the_witness_tells_that_somebody_wrote_the_same_again(path):
    before = apply(path)
    path.write_bytes(b"s3cret\n")
    after = read(path)
    assert after is not None
    assert after.witness != before.witness
    assert apply(path).witness == after.witness, "and nothing is written for that"


def test_a_file_that_exists_is_not_overwritten_by_creating(path):
    path.write_text("theirs")
    with pytest.raises(AlreadyExists):
        KIND.create(HOST, Order(address(path), desired(path).fields, OWNER))
    assert path.read_text() == "theirs"


def test_a_file_that_was_written_since_the_plan_is_not_overwritten_nor_removed(path):
    live = apply(path)
    path.write_text("theirs, meanwhile")
    with pytest.raises(LostRace):
        KIND.update(HOST, Order(address(path), desired(path).fields, OWNER, live=live))
    with pytest.raises(LostRace):
        KIND.delete(HOST, Order(address(path), {}, OWNER, live=live))
    assert path.read_text() == "theirs, meanwhile"


def test_a_removed_file_leaves_nothing_and_one_that_is_gone_is_no_error(path):
    live = apply(path)
    path.with_name(".token.reconciler-new").write_text("of a killed run")
    KIND.delete(HOST, Order(address(path), {}, OWNER, live=live))
    assert os.listdir(path.parent) == []
    KIND.delete(HOST, Order(address(path), {}, OWNER, live=live))


def test_what_is_no_file_can_never_be_managed(path):
    path.symlink_to("elsewhere")
    live = read(path)
    assert live is not None
    assert live.foreign == "is a symbolic link, not a file"


def test_a_file_that_may_not_be_read_cannot_be_compared_nor_written_anew(path):
    with path.open("wb") as file:
        file.truncate(2 << 20)
    live = read(path)
    assert live is not None
    assert isinstance(live.fields["token"], Hidden)
    differences = compare(desired(path).fields, None, live, KIND.rules)
    assert [p for p, _ in differences.unreadable] == [("token",)]
    order = Order(address(path), {**live.fields, "mode": "0640"}, OWNER, (("mode",),), live=live)
    with pytest.raises(Rejected, match="its content may not be read"):
        KIND.update(HOST, order)


def test_an_unknown_owner_is_an_error_before_anything_is_written(path):
    with pytest.raises(Rejected, match="there is no user 'no-such-user'"):
        KIND.create(HOST, Order(address(path), desired(path, owner="no-such-user").fields, OWNER))
    assert not path.exists()


def test_nothing_shows_the_secret(path):
    live = apply(path)
    assert "s3cret" not in repr(live)
    assert address(path) == Address.of("file", "local", str(path)[1:])
