"""Devices, descriptions of memory, and allocators."""

from types import ModuleType
from typing import Any

import pytest

import ort_rs
from paired import assert_same

NAMES = ["cpu", "cuda", "dml", "webgpu", "gpu", "cann", "npu", "foo", "CPU"]
KINDS = ("cpu", "cuda", "cann", "dml", "fpga", "gpu", "npu", "webgpu", "default_memory")


def fields(device: Any) -> list[Any]:
    return [device.device_id(), device.device_type(), int(device.device_vendor_id()), device.device_mem_type()]


@pytest.mark.parametrize("name", NAMES)
def test_named_devices(name: str) -> None:
    assert_same(lambda ort: fields(ort.OrtDevice.make(name, 1)))


def test_devices_of_vendors() -> None:
    assert_same(lambda ort: fields(ort.OrtDevice.make("gpu", 0, ort.OrtDeviceVendorId.AMD)))
    assert ort_rs.OrtDevice.make("cuda", 0).device_vendor_id() is ort_rs.OrtDeviceVendorId.NVIDIA


def test_devices_of_numbers() -> None:
    def call(ort: ModuleType) -> Any:
        device = ort.OrtDevice.make("cpu", 0)._get_c_device()
        kinds = [getattr(type(device), name)() for name in KINDS]
        made = type(device)(1, 0, 3)
        return [kinds, [made.device_id(), made.device_type(), made.mem_type(), made.vendor_id()]]

    assert_same(call)
    assert_same(lambda ort: ort.OrtDevice(3), text=False)


def test_devices_are_values() -> None:
    device = ort_rs.OrtDevice.make("cuda", 1)
    assert ort_rs.OrtDevice(device) == device != ort_rs.OrtDevice.make("cuda", 2)
    assert len({device, ort_rs.OrtDevice(device)}) == 1
    with pytest.raises(ValueError, match="memory type"):
        ort_rs.OrtDevice(0, 3, 0)


def memory(info: Any) -> list[Any]:
    named = [int(info.mem_type), int(info.allocator_type), int(info.device_mem_type)]
    return [info.name, info.device_id, info.device_vendor_id, *named]


@pytest.mark.parametrize("name", ["Cpu", "Cuda", "CudaPinned", "DML", "QnnHtpShared", "WebGPU_Buffer", "Gpu", "cpu"])
def test_memory_by_name(name: str) -> None:
    assert_same(lambda ort: memory(ort.OrtMemoryInfo(name, ort.OrtAllocatorType.ORT_DEVICE_ALLOCATOR, 1, ort.OrtMemType.CPU_INPUT)))


def test_memory_of_any_device() -> None:
    def call(ort: ModuleType) -> Any:
        kind, place = ort.OrtMemoryInfoDeviceType.GPU, ort.OrtDeviceMemoryType.HOST_ACCESSIBLE
        return memory(ort.OrtMemoryInfo.create_v2("Test", kind, 0x10DE, 2, place, 64, ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR))

    assert_same(call)
    assert_same(lambda ort: ort.OrtMemoryInfo("Cpu", 1, 0, 0), text=False)


ENUMS = ["OrtAllocatorType", "OrtMemType", "OrtDeviceMemoryType", "OrtMemoryInfoDeviceType", "OrtSparseFormat", "OrtDeviceVendorId"]


@pytest.mark.parametrize("name", ENUMS)
def test_enumerations(name: str) -> None:
    assert_same(lambda ort: [[m, v.value] for m, v in getattr(ort, name).__members__.items()])


ARENA = (
    "max_mem",
    "arena_extend_strategy",
    "initial_chunk_size_bytes",
    "max_dead_bytes_per_chunk",
    "initial_growth_chunk_size_bytes",
    "max_power_of_two_extend_bytes",
)


@pytest.mark.parametrize(
    "arguments", [(1, 2, 3, 4), ({},), ({"max_mem": 5, "initial_growth_chunk_size_bytes": 7},), ({"x": 1},), ({"max_mem": "a"},), ()]
)
def test_arenas(arguments: tuple[Any, ...]) -> None:
    assert_same(lambda ort: [getattr(ort.OrtArenaCfg(*arguments), name) for name in ARENA], text=False)


def test_allocators() -> None:
    def info(ort: ModuleType, name: str) -> Any:
        return ort.OrtMemoryInfo(name, ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)

    def value(ort: ModuleType, name: str) -> Any:
        return ort.OrtValue.ortvalue_from_shape_and_type([2], 1, memory_info=info(ort, name)).data_type()

    assert_same(lambda ort: value(ort, "Cpu"))
    assert_same(lambda ort: [ort.create_and_register_allocator(info(ort, "Cpu"), None) for _ in range(2)])
    assert_same(lambda ort: value(ort, "Cpu"))
    assert_same(lambda ort: value(ort, "Cuda"))
    assert_same(lambda ort: ort.create_and_register_allocator(info(ort, "Cuda"), None))
    assert_same(lambda ort: ort.create_and_register_allocator_v2("CPUExecutionProvider", info(ort, "Cpu"), {}, None))
    assert_same(lambda ort: ort.create_and_register_allocator_v2("Nobody", info(ort, "Cpu"), {}, None))
    assert_same(lambda ort: ort.create_and_register_allocator(3, None), text=False)
