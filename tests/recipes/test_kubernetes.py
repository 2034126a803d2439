from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from logwell_otel.devserver import DevServer
from logwell_otel.devserver.server import new_key
from support.process import EXAMPLES, running, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

yaml = pytest.importorskip("yaml")
OLD, NEW = new_key(), new_key()


@pytest.fixture
def rotate(tmp_path: Path) -> Callable[[str], Path]:
    """Write a secret's volume as the kubelet does: `..data` is swapped in one step."""
    volume = tmp_path / "etc-logwell"
    volume.mkdir()

    def write(key: str) -> Path:
        version = volume / f"..{len(list(volume.iterdir()))}"
        version.mkdir()
        (version / "api-key").write_text(key)
        link = volume / "..data_tmp"
        link.symlink_to(version.name)
        link.rename(volume / "..data")
        if not (volume / "api-key").is_symlink():
            (volume / "api-key").symlink_to("..data/api-key")
        return volume / "api-key"

    return write


def test_a_key_that_is_rotated_while_it_runs(rotate: Callable[[str], Path], tmp_path: Path) -> None:
    database = tmp_path / "logs.db"
    key_file = rotate(OLD)
    with DevServer(api_key=OLD, db=database) as before:
        variables = {
            "LOGWELL_API_KEY": "",
            "LOGWELL_API_KEY_FILE": str(key_file),
            "OTEL_BLRP_SCHEDULE_DELAY": "100",
        }
        with running("python container.py", before, tmp_path / "out", variables) as container:
            wait_until(lambda: before.count() > 0, container.said)
            assert before.counts.by_status.keys() == {200}
            rotate(NEW)
            # Only now does the old key end.
            before.close()
            with DevServer(port=before.port, api_key=NEW, db=database) as after:
                stored = after.count()
                wait_until(lambda: after.count() > stored, container.said)
                assert container.stop() == 0
                answers = [request.status for request in after.requests]
                entries = after.entries()
                said = container.said()
    # Refused once with the old key, then accepted with the one from the file; nothing lost.
    assert answers[0] == 401
    assert set(answers[1:]) == {200}
    *jobs, last = [entry.message for entry in entries]
    assert jobs == [f"job {number} done" for number in range(1, len(jobs) + 1)]
    assert last == "stopped"
    assert OLD not in said
    assert NEW not in said


def test_the_manifest_says_what_the_exporter_reads() -> None:
    manifest = yaml.safe_load((EXAMPLES / "kubernetes.yaml").read_text())
    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    assert variables.keys() == {"LOGWELL_ENDPOINT", "LOGWELL_API_KEY_FILE", "LOGWELL_SERVICE"}
    (mount,) = container["volumeMounts"]
    assert PurePosixPath(variables["LOGWELL_API_KEY_FILE"]).parent == PurePosixPath(
        mount["mountPath"]
    )
    # A file mounted by subPath stays as it was when the container started.
    assert "subPath" not in mount
    assert [volume["name"] for volume in pod["volumes"]] == [mount["name"]]
    assert (EXAMPLES / container["command"][1]).is_file()
    assert pod["terminationGracePeriodSeconds"] > 30
