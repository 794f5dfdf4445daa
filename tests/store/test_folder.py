"""A folder of targets: what is damaged is named and repaired; one search at a time."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from folders import contents, spoil, unfinish

import repsearch as rs
from repsearch.presets import Preset
from repsearch.store.folder import Store, verify


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_a_damaged_shard_is_named_and_repaired(
    folder: Path, stored: Path, damage: str, network: rs.Network, data: rs.Dataset, preset: Preset
) -> None:
    shard = folder / "shard-00002.safetensors"
    spoil(shard, damage, 5000)
    opened = rs.Targets.open(folder)
    opened.read("block0", 0, 8)  # the shards before it are whole
    what = r"shard-00002\.safetensors: damaged.*repair it with: python -m repsearch targets verify .* --repair"
    with pytest.raises(rs.InputError, match=what):
        opened.read("block0")
    with pytest.raises(rs.InputError, match=what):
        rs.search(network, data.train, preset.search, store=folder, progress=False)
    assert list(verify(folder)) == [shard.name]

    before, kept = contents(folder), (folder / "shard-00001.safetensors").stat().st_mtime_ns
    again = Store(folder, again=frozenset([shard.name]))
    with pytest.raises(rs.InputError, match="another network"):  # which could not make it again, and so leaves it there
        rs.search(rs.search_network(data, preset, seed=1), data.train, preset.search, store=again, progress=False)  # type: ignore[arg-type]
    assert contents(folder) == before
    rs.search(network, data.train, preset.search, store=again, progress=False)  # type: ignore[arg-type]
    assert contents(folder) == contents(stored) and verify(folder) == {}
    assert (folder / "shard-00001.safetensors").stat().st_mtime_ns == kept


def test_a_vanished_shard_is_made_again(
    folder: Path, stored: Path, network: rs.Network, data: rs.Dataset, preset: Preset
) -> None:
    (folder / "shard-00002.safetensors").unlink()
    with pytest.raises(rs.InputError, match=r"shard-00002\.safetensors: missing; repair it with"):
        rs.Targets.open(folder).read("block0")
    assert verify(folder) == {"shard-00002.safetensors": "missing"}
    with pytest.warns(match=r"shard-00002\.safetensors: missing; making it again"):
        rs.search(network, data.train, preset.search, store=folder, progress=False)
    assert contents(folder) == contents(stored) and verify(folder) == {}


def test_every_region_of_a_shard_is_guarded(folder: Path) -> None:
    shard = folder / "shard-00003.safetensors"
    whole = shard.read_bytes()
    for where in np.linspace(0, len(whole) - 1, 60).astype(int):
        for damage in ("flip", "truncate"):
            spoil(shard, damage, where)
            assert list(verify(folder)) == [shard.name], (damage, where)
            shard.write_bytes(whole)
    assert verify(folder) == {}


def test_every_byte_of_the_manifest_is_guarded(folder: Path) -> None:
    manifest = folder / "manifest.json"
    whole = manifest.read_bytes()
    for where in range(len(whole)):
        spoil(manifest, "flip", where)
        with pytest.raises(rs.InputError, match=r"manifest\.json: (damaged|lacks|format)"):
            rs.Targets.open(folder)
        manifest.write_bytes(whole)
    for where in range(0, len(whole), 50):
        spoil(manifest, "truncate", where)
        with pytest.raises(rs.InputError, match=r"manifest\.json: damaged"):
            verify(folder)
        manifest.write_bytes(whole)


def test_shards_swapped_within_and_between_folders(
    folder: Path, stored: Path, tmp_path: Path, network: rs.Network, data: rs.Dataset, preset: Preset
) -> None:
    other = tmp_path / "other"
    rs.search(network, data.train, preset.search, seed=1, store=other, progress=False)
    one, two = folder / "shard-00000.safetensors", folder / "shard-00001.safetensors"
    first = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(first)
    shutil.copy(other / "shard-00003.safetensors", folder)
    swapped = [f"shard-0000{i}.safetensors" for i in (0, 1, 3)]
    assert sorted(verify(folder)) == swapped
    again = Store(folder, again=frozenset(swapped))
    rs.search(network, data.train, preset.search, store=again, progress=False)  # type: ignore[arg-type]
    assert contents(folder) == contents(stored)


def test_two_searches_in_one_folder(folder: Path, network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    before = contents(folder)
    unfinish(folder, [4])
    code = (
        "import sys; from pathlib import Path; from repsearch.store.folder import sole_writer\n"
        "with sole_writer(Path(sys.argv[1])): print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"locked\n"
        with pytest.raises(rs.InputError, match="another process is searching there; wait for it, or name another folder"):
            rs.search(network, data.train, preset.search, store=folder, progress=False)
        other.kill()
    rs.search(network, data.train, preset.search, store=folder, progress=False)  # its lock went with it
    assert contents(folder) == before


def test_a_search_leaves_the_file_of_its_lock(folder: Path, network: rs.Network, data: rs.Dataset, preset: Preset) -> None:
    """Taken away, it would give two processes that wait for it a lock each."""
    before = {name: (folder / name).stat().st_ino for name in (".search.lock", ".manifest.lock")}
    unfinish(folder, [4])
    rs.search(network, data.train, preset.search, store=folder, progress=False)
    assert before == {name: (folder / name).stat().st_ino for name in before}
