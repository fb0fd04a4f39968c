from __future__ import annotations

import os
import sys
import types
import zipfile
from pathlib import Path

import msgspec
import pytest
import xxhash

from gitexp.environment import (
    amd_accelerators,
    apple_accelerators,
    capture_environment,
    encode_environment,
    nvidia_accelerators,
    scan_packages,
    torch_accelerators,
)
from gitexp.records.environment import Accelerator, Environment, Platform
from tests.support import python

H100 = """\
Model: \t\t NVIDIA H100 80GB HBM3
IRQ:   \t\t 130
GPU UUID: \t GPU-00000000-1111-2222-3333-444444444444
Video BIOS: \t 96.00.89.00.01
Bus Type: \t PCIe
DMA Size: \t 52 bits
Bus Location: \t 0000:1b:00.0
Device Minor: \t 0
GPU Excluded:\t No
"""
CLOSED_DRIVER = """\
NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023
GCC version:  gcc version 11.4.0 (Ubuntu 11.4.0-1ubuntu1~22.04)
"""
OPEN_DRIVER = """\
NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build  (buildd@host)
GCC version:  gcc version 12.3.0
"""


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def install(folder: Path, *names: str) -> str:
    for name in names:
        (folder / name).mkdir(parents=True)
    return str(folder)


def gpu(root: Path, bus: str, information: str) -> None:
    write(root / "proc/driver/nvidia/gpus" / bus / "information", information)


def test_equal_surroundings_give_one_document_with_its_digest() -> None:
    environment = capture_environment()
    digest, document = encode_environment(environment)
    assert (digest, document) == encode_environment(capture_environment())
    assert digest == xxhash.xxh3_128_hexdigest(document)
    assert document.endswith(b"}\n")
    assert document.count(b"\n") == 1
    assert msgspec.json.decode(document, type=Environment) == environment


def test_the_interpreter_and_the_platform_are_this_one() -> None:
    environment = capture_environment()
    assert environment.python.version == sys.version.split()[0]
    assert environment.python.implementation == sys.implementation.name
    assert environment.python.build
    assert "3" in environment.python.abi
    assert environment.platform.system == os.uname().sysname
    assert environment.platform.machine == os.uname().machine


def test_the_document_names_neither_user_nor_host_nor_home_nor_variables(
    monkeypatch: pytest.MonkeyPatch, hermetic: Path
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "hush-hush")
    text = encode_environment(capture_environment())[1].decode()
    for secret in ("hush-hush", str(hermetic), sys.prefix, f'"{os.uname().nodename}"'):
        assert secret not in text


def test_installed_packages_are_those_that_the_metadata_knows() -> None:
    found = python(
        "import importlib.metadata, re\n"
        "for d in importlib.metadata.distributions():\n"
        "    print(re.sub(r'[-_.]+', '-', d.name).lower(), d.version)\n"
    )
    expected = dict(line.split() for line in reversed(found.splitlines()))
    assert capture_environment().packages == expected


def test_package_names_are_normalised_and_sorted(tmp_path: Path) -> None:
    folder = install(
        tmp_path, "Zope.Interface-6.1.dist-info", "ruamel.yaml_Clib-0.2.dist-info", "numpy"
    )
    packages = scan_packages([folder])
    assert packages == {"ruamel-yaml-clib": "0.2", "zope-interface": "6.1"}
    assert list(packages) == sorted(packages)


def test_a_distribution_folder_keeps_local_and_legacy_versions(tmp_path: Path) -> None:
    folder = install(tmp_path, "torch-2.3.0+cu121.dist-info", "old-name-1.0.dist-info")
    assert scan_packages([folder]) == {"old-name": "1.0", "torch": "2.3.0+cu121"}


def test_the_first_folder_on_the_path_wins(tmp_path: Path) -> None:
    first = install(tmp_path / "a", "numpy-2.0.dist-info")
    second = install(tmp_path / "b", "NumPy-1.26.dist-info", "scipy-1.14.dist-info")
    assert scan_packages([first, second]) == {"numpy": "2.0", "scipy": "1.14"}


def test_eggs_are_packages_too(tmp_path: Path) -> None:
    write(tmp_path / "installed-1.2-py3.11.egg-info/PKG-INFO", "Version: 1.2\n")
    write(tmp_path / "single_file-3.0.egg-info", "Version: 3.0\n")
    write(tmp_path / "mine.egg-info/PKG-INFO", "Metadata-Version: 2.1\nName: mine\nVersion: 0.4\n")
    write(tmp_path / "bare.egg-info/top_level.txt")
    assert scan_packages([str(tmp_path)]) == {
        "bare": "unknown",
        "installed": "1.2",
        "mine": "0.4",
        "single-file": "3.0",
    }


def test_archives_and_missing_folders_on_the_path_are_passed_over(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "lib.zip", "w") as archive:
        archive.writestr("module.py", "")
    folder = install(tmp_path / "site", "numpy-2.0.dist-info")
    path = [str(tmp_path / "lib.zip"), str(tmp_path / "absent"), folder]
    assert scan_packages(path) == {"numpy": "2.0"}


def test_a_folder_full_of_data_is_not_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitexp.environment._MAX_ENTRIES", 5)
    data = install(tmp_path / "data", "x-1.dist-info", *"abcdefgh")
    site = install(tmp_path / "site", "numpy-2.0.dist-info")
    assert scan_packages([data, site]) == {"numpy": "2.0"}


def test_a_package_installed_later_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = install(tmp_path, "early-1.0.dist-info")
    os.utime(tmp_path, ns=(0, 0))
    monkeypatch.setattr(sys, "path", [folder])
    assert capture_environment().packages == {"early": "1.0"}
    install(tmp_path, "late-1.0.dist-info")
    assert capture_environment().packages == {"early": "1.0", "late": "1.0"}


def test_unchanged_folders_are_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = install(tmp_path, "early-1.0.dist-info")
    monkeypatch.setattr(sys, "path", [folder])
    os.utime(tmp_path, ns=(7, 7))
    capture_environment()
    install(tmp_path, "late-1.0.dist-info")
    os.utime(tmp_path, ns=(7, 7))  # as if nothing had happened
    assert capture_environment().packages == {"early": "1.0"}


@pytest.mark.parametrize(
    ("version", "driver"), [(CLOSED_DRIVER, "535.104.05"), (OPEN_DRIVER, "550.54.15")]
)
def test_nvidia_devices_are_counted_by_model(tmp_path: Path, version: str, driver: str) -> None:
    gpu(tmp_path, "0000:1b:00.0", H100)
    gpu(tmp_path, "0000:43:00.0", H100)
    gpu(tmp_path, "0000:61:00.0", H100.replace("H100 80GB HBM3", "A10"))
    write(tmp_path / "proc/driver/nvidia/version", version)
    assert nvidia_accelerators(tmp_path) == (
        Accelerator(vendor="nvidia", model="NVIDIA A10", count=1, driver=driver),
        Accelerator(vendor="nvidia", model="NVIDIA H100 80GB HBM3", count=2, driver=driver),
    )


def test_a_driver_without_devices_is_no_accelerator(tmp_path: Path) -> None:
    write(tmp_path / "proc/driver/nvidia/version", CLOSED_DRIVER)
    (tmp_path / "proc/driver/nvidia/gpus").mkdir()
    assert nvidia_accelerators(tmp_path) == ()


def test_amd_devices_are_told_from_processors(tmp_path: Path) -> None:
    nodes = tmp_path / "sys/class/kfd/kfd/topology/nodes"
    write(nodes / "0/properties", "cpu_cores_count 64\nsimd_count 0\ngfx_target_version 0\n")
    write(nodes / "1/properties", "simd_count 416\nvendor_id 4098\ngfx_target_version 90010\n")
    write(nodes / "2/properties", "simd_count 416\nvendor_id 4098\ngfx_target_version 90010\n")
    write(nodes / "3/properties", "simd_count 192\nvendor_id 4098\ngfx_target_version 110000\n")
    write(tmp_path / "sys/module/amdgpu/version", "6.7.0\n")
    assert amd_accelerators(tmp_path) == (
        Accelerator(vendor="amd", model="gfx1100", count=1, driver="6.7.0"),
        Accelerator(vendor="amd", model="gfx90a", count=2, driver="6.7.0"),
    )


def test_amd_nodes_that_cannot_be_understood_are_no_devices(tmp_path: Path) -> None:
    nodes = tmp_path / "sys/class/kfd/kfd/topology/nodes"
    write(nodes / "0/properties", "")
    write(nodes / "1/properties", "gfx_target_version what\nnonsense\n")
    (nodes / "2").mkdir()
    assert amd_accelerators(tmp_path) == ()


def test_a_machine_without_accelerators_has_none(tmp_path: Path) -> None:
    assert nvidia_accelerators(tmp_path) == amd_accelerators(tmp_path) == ()


def test_apple_silicon_has_its_own_accelerator() -> None:
    mac = Platform(system="Darwin", release="23.1.0", machine="arm64", libc=None)
    assert [found.vendor for found in apple_accelerators(mac)] == ["apple"]
    intel = Platform(system="Darwin", release="23.1.0", machine="x86_64", libc=None)
    arm = Platform(system="Linux", release="6.1", machine="arm64", libc=None)
    assert apple_accelerators(intel) == apple_accelerators(arm) == ()


def fake_torch(*names: str, initialised: bool = True, hip: str | None = None) -> object:
    cuda = types.SimpleNamespace(
        is_initialized=lambda: initialised,
        device_count=lambda: len(names),
        get_device_name=lambda index: names[index],
    )
    return types.SimpleNamespace(cuda=cuda, version=types.SimpleNamespace(hip=hip))


def test_devices_that_torch_uses_are_taken_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", fake_torch("NVIDIA L4", "NVIDIA L4"))
    assert torch_accelerators() == (Accelerator(vendor="nvidia", model="NVIDIA L4", count=2),)
    monkeypatch.setitem(sys.modules, "torch", fake_torch("AMD Instinct MI300X", hip="6.0"))
    assert torch_accelerators() == (Accelerator(vendor="amd", model="AMD Instinct MI300X"),)


def test_torch_is_never_imported_nor_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert torch_accelerators() == ()
    assert "torch" not in sys.modules
    monkeypatch.setitem(sys.modules, "torch", fake_torch("NVIDIA L4", initialised=False))
    assert torch_accelerators() == ()
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))  # half imported
    assert torch_accelerators() == ()
