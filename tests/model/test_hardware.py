"""The description of a CPU, and the precision chosen for it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from geoseg.errors import SettingsError
from geoseg.model.bundle.bundle import read_bundle
from geoseg.model.hardware import Hardware, describe_cpu, find_hardware
from geoseg.model.inference import Precision, choose_precision
from tests.support.bundles import unet_bundle
from tests.support.onnx_models import linear_onnx

OLD = "processor: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu sse2 avx avx2 fma\n\nprocessor: 1\nvendor_id: other"
NEW = "vendor_id : GenuineIntel\nflags : avx2 avx512f avx512_bf16 amx_tile amx_bf16 amx_int8"
ARM = "CPU implementer\t: 0x41\nFeatures\t: fp asimd sve bf16 i8mm"


@pytest.mark.parametrize(
    ("machine", "text", "name", "bf16"),
    [
        ("x86_64", OLD, "x86_64 AuthenticAMD avx2", False),
        ("x86_64", NEW, "x86_64 GenuineIntel avx2 avx512f avx512_bf16 amx_bf16", True),
        ("aarch64", ARM, "aarch64 0x41 asimd sve bf16", True),
        ("arm64", "", "arm64", False),
    ],
)
def test_a_cpu_is_named_by_its_vendor_and_instructions(machine: str, text: str, name: str, bf16: bool) -> None:
    assert describe_cpu(machine, text) == Hardware("cpu", name, bf16)


def test_the_description_of_this_cpu_agrees_with_torch() -> None:
    assert find_hardware("cpu").bf16 == torch.backends.mkldnn.is_available() * torch.cpu._is_avx512_bf16_supported()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_device_is_named_with_the_remedy() -> None:
    with pytest.raises(SettingsError, match=r"torch sees no CUDA device here\. Set run\.device=cpu"):
        find_hardware("cuda")


@pytest.mark.parametrize(
    ("wanted", "bf16", "expected"),
    [("auto", True, "bf16"), ("auto", False, "fp32"), ("fp32", True, "fp32"), ("bf16", False, "bf16")],
)
def test_precision_is_the_setting_or_from_the_hardware(
    tmp_path: Path, wanted: Precision, bf16: bool, expected: str
) -> None:
    assert choose_precision(wanted, read_bundle(unet_bundle(tmp_path)), Hardware("cpu", "", bf16)) == expected


def test_onnx_computes_as_it_was_exported(tmp_path: Path) -> None:
    bundle = read_bundle(linear_onnx(tmp_path, np.eye(2)))
    assert choose_precision("auto", bundle, Hardware("cpu", "", bf16=True)) == "fp32"
    with pytest.raises(SettingsError, match=r"model\.onnx computes in what it was exported in. Set run.precision=auto"):
        choose_precision("bf16", bundle, Hardware("cpu", "", bf16=True))
