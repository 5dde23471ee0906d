"""The local machine's files: whole or not at all, never readable by others on the way, nothing followed or overwritten by accident."""

import errno
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from reconciler.model.errors import AlreadyExists, LostRace, OutcomeUnknown, Rejected, Unreachable
from reconciler.model.secret import Secret
from reconciler.systems.host import LocalHost, LocalShell, RemoteHost, temporary_name

TOKEN = Secret("8a52e1e5-secret")
AS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="gives files away")
NOBODY = 65534


@pytest.fixture(params=["local", "remote"])
def host(request):
    """Both ways to the same machine: by ourselves, and by the scripts that others get."""
    return LocalHost() if request.param == "local" else RemoteHost("local", LocalShell())


@pytest.fixture
def local():
    return LocalHost()


def write(host, path, content=TOKEN, **changed):
    return host.write(str(path), content, **{"owner": None, "group": None, "mode": "0600", **changed})


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_the_identity_is_the_machine_id(tmp_path):
    first, second = tmp_path / "etc", tmp_path / "dbus"
    second.write_text("0123456789abcdef0123456789abcdef\n")
    assert LocalHost(machine_id_files=(str(first), str(second))).identity == "0123456789abcdef0123456789abcdef"
    first.write_text("f" * 32)
    assert LocalHost(machine_id_files=(str(first), str(second))).identity == "f" * 32


@pytest.mark.parametrize("content", [None, "", "uninitialized\n", "0123", "g" * 32])
def test_a_machine_without_an_id_is_an_error_that_says_how_to_get_one(tmp_path, content):
    file = tmp_path / "machine-id"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Unreachable, match="systemd-machine-id-setup"):
        _ = LocalHost(machine_id_files=(str(file),)).identity


def test_what_was_written_is_read_back(host, tmp_path):
    path = tmp_path / "token"
    written = write(host, path, mode="0640")
    [(found, state)] = host.read([str(path), str(tmp_path / "absent"), str(path / "under-a-file")]).items()
    assert found == str(path)
    assert state.content == b"8a52e1e5-secret"
    assert state.mode == written.mode == "0640"
    assert state.witness == written.witness
    assert (state.owner, state.group) == (written.owner, written.group)
    assert os.listdir(tmp_path) == ["token"]


def test_the_mode_does_not_depend_on_the_umask(host, tmp_path):
    old = os.umask(0o077)
    try:
        write(host, tmp_path / "open", mode="0644")
    finally:
        os.umask(old)
    old = os.umask(0)
    try:
        write(host, tmp_path / "closed", mode="0600")
    finally:
        os.umask(old)
    assert (mode(tmp_path / "open"), mode(tmp_path / "closed")) == (0o644, 0o600)


def test_the_witness_changes_with_every_writing_even_of_the_same_content(host, tmp_path):
    assert write(host, tmp_path / "token").witness != write(host, tmp_path / "token").witness


def test_creating_never_overwrites(host, tmp_path):
    path = tmp_path / "token"
    path.write_text("somebody's")
    with pytest.raises(AlreadyExists):
        write(host, path, exclusive=True)
    assert path.read_text() == "somebody's"
    assert os.listdir(tmp_path) == ["token"]


def test_creating_does_not_overwrite_what_came_to_be_there_at_the_last_moment(local, tmp_path, monkeypatch):
    path = tmp_path / "token"
    link = os.link

    def somebody_is_quicker(*arguments, **options):
        path.write_text("somebody's")
        link(*arguments, **options)

    monkeypatch.setattr(os, "link", somebody_is_quicker)
    with pytest.raises(AlreadyExists):
        write(local, path, exclusive=True)
    assert path.read_text() == "somebody's"
    assert os.listdir(tmp_path) == ["token"]


def test_what_was_written_since_it_was_read_is_not_overwritten_nor_removed(host, tmp_path):
    path = tmp_path / "token"
    planned = write(host, path).witness
    path.write_text("somebody's, quite new")
    with pytest.raises(LostRace):
        write(host, path, replacing=planned)
    with pytest.raises(LostRace):
        host.remove(str(path), replacing=planned)
    assert path.read_text() == "somebody's, quite new"
    path.unlink()
    with pytest.raises(LostRace):
        write(host, path, replacing=planned)


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_leftover_of_a_killed_run_is_replaced_and_removed(host, tmp_path, exclusive):
    leftover = tmp_path / ".token.reconciler-new"
    leftover.write_text("half a secr")
    write(host, tmp_path / "token", exclusive=exclusive)
    assert os.listdir(tmp_path) == ["token"]


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL])
def test_a_file_system_without_nameless_files_takes_a_new_file_all_the_same(local, tmp_path, monkeypatch, code):
    real = os.open

    def refuse(path, flags, *arguments, **named):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(code, os.strerror(code))
        return real(path, flags, *arguments, **named)

    monkeypatch.setattr(os, "open", refuse)
    write(local, tmp_path / "token", exclusive=True)
    assert os.listdir(tmp_path) == ["token"]
    with pytest.raises(AlreadyExists):
        write(local, tmp_path / "token", exclusive=True)


def test_removing_takes_the_leftover_along(host, tmp_path):
    (tmp_path / ".token.reconciler-new").write_text("half a secr")
    host.remove(str(tmp_path / "token"))
    assert os.listdir(tmp_path) == []
    write(host, tmp_path / "token")
    (tmp_path / ".token.reconciler-new").write_text("half a secr")
    host.remove(str(tmp_path / "token"))
    assert os.listdir(tmp_path) == []


def test_removing_what_is_gone_or_was_never_there_is_no_error(host, tmp_path):
    host.remove(str(tmp_path / "token"))
    host.remove(str(tmp_path / "no" / "folder" / "token"))


def test_a_leftover_that_is_a_trap_is_not_written_through(host, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".token.reconciler-new").symlink_to(victim)
    write(host, tmp_path / "token")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "token").is_symlink()


def test_a_symbolic_link_in_place_of_the_file_is_neither_read_nor_replaced_nor_removed(host, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    link = tmp_path / "token"
    link.symlink_to(victim)
    assert host.read([str(link)])[str(link)].special == "a symbolic link"
    assert host.read([str(link)])[str(link)].content is None
    for act in (lambda: write(host, link), lambda: host.remove(str(link))):
        with pytest.raises(Rejected, match="symbolic link"):
            act()
    assert link.is_symlink()
    assert victim.read_text() == "precious"


def test_a_symbolic_link_in_the_folders_path_is_followed(host, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "var-run").symlink_to("run")
    write(host, tmp_path / "var-run" / "token", exclusive=True)
    assert (tmp_path / "run" / "token").read_text() == "8a52e1e5-secret"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_seen_without_opening_it(host, tmp_path, make):
    make(tmp_path / "token")
    state = host.read([str(tmp_path / "token")])[str(tmp_path / "token")]
    assert state.special in ("a pipe", "a folder")
    with pytest.raises(Rejected, match="name the file itself"):
        write(host, tmp_path / "token")


def test_a_missing_folder_is_named(host, tmp_path):
    with pytest.raises(Rejected, match=f"the folder {tmp_path}/etc does not exist: create it first"):
        write(host, tmp_path / "etc" / "token")


@pytest.mark.parametrize("path", ["/proc/1/token", "/sys/token", "/dev/shm/token", "/dev/token"])
def test_nothing_is_written_where_files_are_no_files(host, path):
    with pytest.raises(Rejected, match="holds no files of its own"):
        write(host, path)


def test_nothing_is_written_there_by_way_of_a_link_either(host, tmp_path):
    (tmp_path / "devices").symlink_to("/dev")
    with pytest.raises(Rejected, match="lies in /dev"):
        write(host, tmp_path / "devices" / "token")


def test_a_folder_that_anybody_may_write_to_is_refused_and_a_sticky_one_is_not(host, tmp_path):
    folder = tmp_path / "drop"
    folder.mkdir()
    inner = folder / "inner"
    inner.mkdir()
    folder.chmod(0o777)
    with pytest.raises(Rejected, match=f"chmod o-w {folder}"):
        write(host, inner / "token")
    folder.chmod(0o1777)
    write(host, inner / "token")


@pytest.mark.parametrize("changed", [{"owner": "no-such-user"}, {"group": "no-such-group"}])
def test_an_unknown_owner_or_group_is_an_error_before_anything_is_written(host, tmp_path, changed):
    with pytest.raises(Rejected, match="create it first, or correct the name"):
        write(host, tmp_path / "token", **changed)
    assert os.listdir(tmp_path) == []


@needs_root
def test_owner_and_group_are_set_and_told_by_name(host, tmp_path):
    state = write(host, tmp_path / "token", owner="nobody", group="daemon")
    assert (state.owner, state.group) == ("nobody", "daemon")
    os.chown(tmp_path / "token", 54321, 54322)
    state = host.read([str(tmp_path / "token")])[str(tmp_path / "token")]
    assert (state.owner, state.group) == ("54321", "54322")
    # a number without a name is kept when the file is written anew
    assert write(host, tmp_path / "token", owner="54321", group="54322").owner == "54321"


@needs_root
def test_the_secret_is_at_no_moment_in_a_file_of_another_owner_or_mode(local, tmp_path, monkeypatch):
    """At each system call that could show it, the new file is empty, or has its final owner and mode already."""
    seen = []
    temporary = tmp_path / ".token.reconciler-new"

    def watched(call):
        def wrapper(*arguments, **options):
            if temporary.exists():
                found = temporary.lstat()
                seen.append((found.st_size, found.st_uid, stat.S_IMODE(found.st_mode)))
            result = call(*arguments, **options)
            if temporary.exists():
                found = temporary.lstat()
                seen.append((found.st_size, found.st_uid, stat.S_IMODE(found.st_mode)))
            return result

        return wrapper

    for name in ("open", "fchown", "fchmod", "fsync", "rename"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    old = os.umask(0)
    try:
        write(local, tmp_path / "token", owner="nobody", mode="0640")
    finally:
        os.umask(old)
    assert (0, 0, 0o600) in seen
    assert all(entry == (len(TOKEN.reveal()), NOBODY, 0o640) for entry in seen if entry[0])
    assert all(not entry[2] & 0o077 for entry in seen if entry[1] != NOBODY)


def test_file_and_folder_are_synced_before_it_counts_as_written(local, tmp_path, monkeypatch):
    order = []
    fsync, rename = os.fsync, os.rename

    def synced(descriptor):
        order.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        fsync(descriptor)

    def renamed(*arguments, **options):
        order.append("rename")
        rename(*arguments, **options)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    write(local, tmp_path / "token")
    assert order == ["sync file", "rename", "sync folder"]


def test_a_failure_in_the_middle_leaves_the_old_file_and_no_other(local, tmp_path, monkeypatch):
    path = tmp_path / "token"
    write(local, path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Rejected, match="no space left on device"):
        write(local, path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["token"]


def test_a_very_long_name_has_a_leftover_of_a_name_that_fits(host, tmp_path):
    name = "ä" * 127
    assert len(temporary_name(name).encode()) <= 255
    write(host, tmp_path / name)
    assert os.listdir(tmp_path) == [name]
    with pytest.raises(Rejected, match="longer than 255 bytes"):
        write(host, tmp_path / ("x" * 256))


def test_a_huge_file_is_not_read(host, tmp_path):
    with (tmp_path / "token").open("wb") as file:
        file.truncate(2 << 20)
    state = host.read([str(tmp_path / "token")])[str(tmp_path / "token")]
    assert state.content is None
    assert "2097152 bytes" in state.why


_AS_NOBODY = """
import os, sys
from reconciler.model.errors import ReconcilerError
from reconciler.systems.host import LocalHost
os.setgroups([]); os.setgid(65534); os.setuid(65534)
host = LocalHost()
for path in sys.argv[1:]:
    try:
        for state in host.read([path]).values():
            print(state.content, state.why or "read")
    except ReconcilerError as error:
        print(type(error).__name__, error)
for act in (lambda: host.write(sys.argv[1], b"x", owner="root", group=None, mode="0600"), lambda: host.remove(sys.argv[1])):
    try:
        act()
    except ReconcilerError as error:
        print(type(error).__name__, error)
"""


@pytest.fixture
def open_folder():
    """A folder that everybody can pass through, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@needs_root
def test_what_may_not_be_read_is_told_apart_from_what_is_absent(open_folder):
    (open_folder / "token").write_text("secret")
    (open_folder / "token").chmod(0o600)
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    said = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY, open_folder / "token", closed / "token"],
        capture_output=True, text=True, check=True, cwd="/", env={"PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
    ).stdout.splitlines()  # fmt: skip
    assert said[0] == f"None {open_folder}/token may not be read: permission denied"
    assert said[1] == f"AccessDenied local: {closed}/token: permission denied"
    assert [line.split(":")[0] for line in said[2:]] == ["AccessDenied local", "AccessDenied local"]
    assert (open_folder / "token").read_text() == "secret"


def test_faults_show_nothing_of_the_content(host, tmp_path):
    with pytest.raises(Rejected) as caught:
        write(host, tmp_path / "no" / "token")
    assert "8a52e1e5" not in str(caught.value)


def test_content_that_came_only_in_part_is_not_written(tmp_path):
    """As when the connection is cut: the old file stays, nothing lies beside it, and what became of it is said to be unknown."""

    class Cut(LocalShell):
        def run(self, script, arguments=(), stdin=b"", **options):
            return super().run(script, arguments, stdin[:5], **options)

    path = tmp_path / "token"
    path.write_text("old")
    with pytest.raises(OutcomeUnknown, match="cut"):
        write(RemoteHost("gateway", Cut()), path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["token"]
