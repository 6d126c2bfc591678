"""The hardware of a machine, as far as it can change the bits of logits."""

import platform
from dataclasses import dataclass
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "asimd", "sve", "bf16")
"""Instruction sets by which torch and its libraries choose kernels with different rounding."""
BF16_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}
BF16_CAPABILITY = (8, 0)
"""Compute capability of the first NVIDIA GPUs (Ampere) that multiply bfloat16."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """A kind of device."""

    device: str
    """``cpu`` or ``cuda``."""
    name: str
    """Machines with the same name give the same bits."""
    bf16: bool
    """Whether it has bfloat16 instructions, which are at least twice as fast."""
    memory_bytes: int = 0
    """Size of the device's memory; 0 for a CPU."""


def find_hardware(device: str) -> Hardware:
    """Describe the first device of this machine.

    Args:
        device: ``cpu`` or ``cuda``; for ``cuda`` torch is loaded.

    Raises:
        SettingsError: If there is no such device.
    """
    if device == "cpu":
        return describe_cpu(platform.machine(), CPU_INFO.read_text() if CPU_INFO.exists() else "")
    import torch  # noqa: PLC0415  only for cuda

    from geoseg.model.device import open_device  # noqa: PLC0415

    properties = torch.cuda.get_device_properties(open_device(device))
    bf16 = (properties.major, properties.minor) >= BF16_CAPABILITY
    return Hardware(device, properties.name, bf16, properties.total_memory)


def describe_cpu(machine: str, cpu_info: str) -> Hardware:
    """Describe a CPU by its vendor and its instruction sets.

    Args:
        machine: Architecture, such as ``x86_64``.
        cpu_info: Content of Linux's ``/proc/cpuinfo``; empty where there is none.
    """
    entries: dict[str, str] = {}
    for line in cpu_info.splitlines():
        key, _, value = line.partition(":")
        entries.setdefault(key.strip(), value.strip())
    vendor = entries.get("vendor_id", entries.get("CPU implementer", ""))
    flags = set(entries.get("flags", entries.get("Features", "")).split())
    instructions = [name for name in INSTRUCTIONS if name in flags]
    name = " ".join(filter(None, (machine, vendor, *instructions)))
    return Hardware("cpu", name, not BF16_INSTRUCTIONS.isdisjoint(instructions))
