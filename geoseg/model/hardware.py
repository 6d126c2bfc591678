"""What a machine computes with, as far as it can change a bit of the logits."""

import platform
from dataclasses import dataclass
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "asimd", "sve", "bf16")
"""Instruction sets by which torch and its libraries choose among kernels that round differently."""
BF16_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}
BF16_CAPABILITY = (8, 0)
"""Compute capability of the first NVIDIA GPUs (Ampere) that multiply bfloat16."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """A kind of device."""

    device: str
    """``cpu`` or ``cuda``."""
    name: str
    """Machines of one name give the same bits."""
    bf16: bool
    """Whether it computes in bfloat16 by itself, which is twice as fast or more."""
    memory_bytes: int = 0
    """Of the device's own memory; 0 for a CPU."""


def find_hardware(device: str) -> Hardware:
    """Look at the first device of this machine.

    Args:
        device: ``cpu`` or ``cuda``; for ``cuda`` torch is loaded.

    Raises:
        SettingsError: If there is no such device.
    """
    if device == "cpu":
        return describe_cpu(platform.machine(), CPU_INFO.read_text() if CPU_INFO.exists() else "")
    import torch  # noqa: PLC0415  not in every process that says what it is

    from geoseg.model.device import open_device  # noqa: PLC0415

    properties = torch.cuda.get_device_properties(open_device(device))
    bf16 = (properties.major, properties.minor) >= BF16_CAPABILITY
    return Hardware(device, properties.name, bf16, properties.total_memory)


def describe_cpu(machine: str, cpu_info: str) -> Hardware:
    """Name a CPU by its maker and the instructions it knows.

    Args:
        machine: Architecture, such as ``x86_64``.
        cpu_info: Content of Linux's ``/proc/cpuinfo``; empty where there is none.
    """
    facts: dict[str, str] = {}
    for line in cpu_info.splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    vendor = facts.get("vendor_id", facts.get("CPU implementer", ""))
    known = set(facts.get("flags", facts.get("Features", "")).split())
    found = [name for name in INSTRUCTIONS if name in known]
    name = " ".join(filter(None, (machine, vendor, *found)))
    return Hardware("cpu", name, not BF16_INSTRUCTIONS.isdisjoint(found))
