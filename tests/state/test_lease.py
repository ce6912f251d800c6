"""The lease, between processes: the second is told who holds it, waits when asked to, and a killed holder frees it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.errors import BusyError, StateError
from headwater.state import Lease, find_holder
from tests.sources.unprivileged import open_folder, unprivileged

HOLDER = """
import sys
from pathlib import Path
from headwater.state import Lease, find_holder
with Lease(Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


class Holder:
    """Another process that holds the lease until it is told to let go, or killed."""

    def __init__(self, folder: Path, environment: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(folder), environment],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout
        assert self.process.stdout.readline() == "held\n"

    def let_go(self) -> None:
        self.process.communicate()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Holder]:
    holder = Holder(tmp_path / ".headwater")
    yield holder
    holder.kill()


def test_the_second_process_is_told_who_holds_it(tmp_path: Path, holder: Holder) -> None:
    with pytest.raises(BusyError, match=rf"another run holds the project \(process {holder.process.pid}\)") as caught:
        Lease(tmp_path / ".headwater").__enter__()
    assert caught.value.process_id == holder.process.pid
    assert caught.value.exit_code == 3
    assert "--wait" in caught.value.fix


def test_it_is_free_again_when_the_holder_lets_go_or_is_killed(tmp_path: Path) -> None:
    for end in (Holder.let_go, Holder.kill):
        holder = Holder(tmp_path / ".headwater")
        end(holder)
        with Lease(tmp_path / ".headwater") as lease:
            assert str(os.getpid()) in lease.file.read_text(encoding="utf-8")


def test_who_waits_gets_it_afterwards(tmp_path: Path, holder: Holder) -> None:
    order: list[str] = []

    def wait() -> None:
        with Lease(tmp_path / ".headwater", wait=True):
            order.append("got it")

    thread = threading.Thread(target=wait)
    thread.start()
    order.append("let go")
    holder.let_go()
    thread.join(timeout=30)
    assert order == ["let go", "got it"]


def test_environments_have_leases_of_their_own(tmp_path: Path, holder: Holder) -> None:
    with Lease(tmp_path / ".headwater", "prod"), Lease(tmp_path / ".headwater", "test"):
        assert sorted(file.name for file in (tmp_path / ".headwater").iterdir()) == [
            "lease",
            "lease-prod",
            "lease-test",
        ]


def test_a_holder_that_has_not_said_who_it_is_is_process_0(tmp_path: Path) -> None:
    with Lease(tmp_path) as lease:
        for text in ("", "{", '{"process_id": 7}'):
            lease.file.write_text(text, encoding="utf-8")
            with pytest.raises(BusyError) as caught:
                Lease(tmp_path).__enter__()
            assert caught.value.process_id == (7 if "7" in text else 0)


def test_the_file_is_empty_after_use(tmp_path: Path) -> None:
    with Lease(tmp_path) as lease:
        assert lease.file.stat().st_size > 0
    assert lease.file.stat().st_size == 0


@pytest.mark.parametrize(
    "text", ["[" * 4096, '{"process_id": "x", "folder": 5}', "[1]", "\0", "{", '{"process_id": null}']
)
def test_a_lease_that_holds_nonsense_names_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "lease").write_text(text, encoding="utf-8")
    assert find_holder(tmp_path)[0] == 0
    with Lease(tmp_path):
        assert find_holder(tmp_path) == (os.getpid(), "")


def test_a_link_in_the_place_of_a_lease_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("all of it", encoding="utf-8")
    (tmp_path / "lease").symlink_to("precious")
    assert find_holder(tmp_path) == (0, "")
    with pytest.raises(StateError, match="symbolic"):
        Lease(tmp_path).__enter__()
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "all of it"


def test_a_pipe_in_the_place_of_a_lease_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lease")
    assert find_holder(tmp_path) == (0, "")


def test_a_lease_of_another_user_is_not_to_be_removed() -> None:
    with open_folder() as folder:
        folder.chmod(0o777)
        with Lease(folder), unprivileged(), pytest.raises(StateError, match="Permission denied") as caught:
            Lease(folder).__enter__()
    assert "remove" not in caught.value.fix
    assert "another user" in caught.value.fix


@pytest.mark.parametrize("what", ["folder", "pipe"])
def test_what_is_no_file_in_the_place_of_a_lease_is_told(tmp_path: Path, what: str) -> None:
    (tmp_path / "lease").mkdir() if what == "folder" else os.mkfifo(tmp_path / "lease")
    with pytest.raises(StateError, match="cannot be used") as caught, Lease(tmp_path):
        pass
    assert "remove it" in caught.value.fix
