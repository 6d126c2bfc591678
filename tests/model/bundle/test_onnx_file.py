"""External data of ONNX: only files of the bundle, all hashed; and onnxruntime's memory."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

from geoseg.errors import SettingsError
from geoseg.model.bundle.bundle import read_bundle
from geoseg.model.inference import Inference
from geoseg.model.load import start_predictor
from geoseg.model.network import load_network
from tests.support.bundles import save_onnx
from tests.support.onnx_models import linear_onnx

CPU = torch.device("cpu")
PIXELS = torch.randn(3, 2, 32, 32, generator=torch.Generator().manual_seed(1))
HOW_TO = "save_as_external_data=False"


def forward(bundle: Path) -> torch.Tensor:
    return load_network(read_bundle(bundle), CPU, 1)(PIXELS)


def move(tensor: TensorProto, folder: Path, name: str) -> None:
    """Append a tensor's values to a data file."""
    content, path = tensor.raw_data, folder / name
    before = path.read_bytes() if path.is_file() else b""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(before + content)
    set_external_data(tensor, name, len(before), len(content))
    tensor.ClearField("raw_data")


def two_kernels(folder: Path) -> tuple[Path, onnx.ModelProto]:
    """A bundle of two layers, and its model."""
    first, second = (
        numpy_helper.from_array(np.array(values, np.float32).reshape(2, 2, 1, 1), name)
        for name, values in (("first", [1, 2, 3, 5]), ("second", [2, 7, 1, 8]))
    )
    make = helper.make_node
    nodes = [make("Conv", ["pixels", "first"], ["middle"]), make("Conv", ["middle", "second"], ["classes"])]
    save_onnx(folder, nodes, [first, second], 2, 2, channels_last=False, batch="n")
    return folder, onnx.load(folder / "model.onnx")


@pytest.mark.parametrize(
    "names",
    [("model.onnx.data",) * 2, ("my_model.onnx.data",) * 2, ("a.bin", "b.bin"), ("weights/b", "weights/a")],
)
def test_data_files_of_the_bundle_are_loaded_and_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, str]
) -> None:
    bundle, model = two_kernels(tmp_path / "bundle")
    expected = forward(bundle)
    for tensor, name in zip(model.graph.initializer, names, strict=True):
        move(tensor, bundle, name)
    onnx.save(model, bundle / "model.onnx")
    digests = {read_bundle(bundle).sha256}
    assert torch.equal(forward(bundle), expected)

    elsewhere = tmp_path / "elsewhere"
    for name in names:  # the current directory has other weights under the same names
        (elsewhere / name).parent.mkdir(parents=True, exist_ok=True)
        (elsewhere / name).write_bytes(bytes(len((bundle / name).read_bytes())))
    monkeypatch.chdir(elsewhere)
    assert torch.equal(forward(bundle), expected)

    for name in dict.fromkeys(names):
        content = (bundle / name).read_bytes()
        (bundle / name).write_bytes(content[::-1])
        digests.add(read_bundle(bundle).sha256)
        (bundle / name).write_bytes(content)
    assert len(digests) == 1 + len(set(names))


def test_the_boundaries_of_data_files_are_hashed(tmp_path: Path) -> None:
    bundle, model = two_kernels(tmp_path)
    for tensor, name in zip(model.graph.initializer, ("a", "b"), strict=True):
        move(tensor, bundle, name)
    onnx.save(model, bundle / "model.onnx")
    before, whole = read_bundle(bundle).sha256, (bundle / "a").read_bytes() + (bundle / "b").read_bytes()
    (bundle / "a").write_bytes(whole[:20])
    (bundle / "b").write_bytes(whole[20:])
    assert read_bundle(bundle).sha256 != before


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("other.data", "which is missing"),
        ("{tmp}/ghost.data", "which is not a name in the bundle"),
        ("../ghost.data", "which is not a name in the bundle"),
        ("a/../../ghost.data", "which is not a name in the bundle"),
        ("link.data", "which leads out of the bundle, to {tmp}/ghost.data"),
        ("folder/ghost.data", "which leads out of the bundle, to {tmp}/ghost.data"),
        ("C:\\\\ghost.data", "which is not a name in the bundle"),
        ("", "which is not a name in the bundle"),
        (".", "which is missing"),
    ],
)
def test_data_elsewhere_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, problem: str) -> None:
    bundle = linear_onnx(tmp_path / "bundle", np.eye(2))
    model = onnx.load(bundle / "model.onnx")
    content = model.graph.initializer[0].raw_data
    (tmp_path / "ghost.data").write_bytes(content)
    (tmp_path / "other.data").write_bytes(content)
    (bundle / "link.data").symlink_to(tmp_path / "ghost.data")
    (bundle / "folder").symlink_to(tmp_path)
    set_external_data(model.graph.initializer[0], name.format(tmp=tmp_path), 0, len(content))
    model.graph.initializer[0].ClearField("raw_data")
    (bundle / "model.onnx").write_bytes(model.SerializeToString())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError) as caught:
        read_bundle(bundle)
    for words in (f"{bundle}/model.onnx cannot be loaded: its weights 'kernel'", problem, f"into {bundle}", HOW_TO):
        assert words.format(tmp=tmp_path) in str(caught.value)


def branched(folder: Path) -> tuple[Path, onnx.ModelProto]:
    """A bundle with a constant in a node and one in a branch, and its model."""
    value = numpy_helper.from_array(np.full((1, 2, 1, 1), 5, np.float32), "value")
    added = numpy_helper.from_array(np.full((1, 2, 1, 1), 7, np.float32), "added")
    output = onnx.ValueInfoProto(name="out")
    output.type.tensor_type.elem_type = TensorProto.FLOAT
    branch = helper.make_graph([helper.make_node("Add", ["summed", "added"], ["out"])], "branch", [], [output], [added])
    nodes = [
        helper.make_node("Constant", [], ["five"], value=value),
        helper.make_node("Add", ["pixels", "five"], ["summed"]),
        helper.make_node("If", ["yes"], ["classes"], then_branch=branch, else_branch=branch),
    ]
    save_onnx(folder, nodes, [numpy_helper.from_array(np.array(True), "yes")], 2, 2, channels_last=False, batch="n")
    return folder, onnx.load(folder / "model.onnx")


def test_data_of_nodes_and_branches_come_from_the_bundle_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, model = branched(tmp_path / "bundle")
    expected = PIXELS + 5 + 7
    assert torch.equal(forward(bundle), expected)
    move(model.graph.node[0].attribute[0].t, bundle, "value.data")
    for attribute in model.graph.node[2].attribute:
        move(attribute.g.initializer[0], bundle, "branch.data")
    (bundle / "model.onnx").write_bytes(model.SerializeToString())
    monkeypatch.chdir(tmp_path)
    assert torch.equal(forward(bundle), expected)
    (bundle / "branch.data").replace(tmp_path / "branch.data")
    with pytest.raises(SettingsError, match=r"its weights 'added' lie in the file 'branch\.data', which is missing"):
        forward(bundle)


@pytest.mark.parametrize(("start", "length"), [(0, 17), (1, 16), (-1, 4), (10**30, 4), (0, -1), (4, 8)])
def test_data_beyond_the_file_are_refused(tmp_path: Path, start: int, length: int) -> None:
    bundle = linear_onnx(tmp_path, np.eye(2))
    model = onnx.load(bundle / "model.onnx")
    move(model.graph.initializer[0], bundle, "model.onnx.data")
    for entry in model.graph.initializer[0].external_data:
        entry.value = {"location": "model.onnx.data", "offset": str(start), "length": str(length)}[entry.key]
    (bundle / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(
        SettingsError, match=r"model\.onnx cannot be loaded: its weights 'kernel' are (bytes|not of the)"
    ):
        forward(bundle)


@pytest.mark.parametrize("place", ["inside", "data file", "node"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, place: str, dtype: type, value: float) -> None:
    bundle = linear_onnx(tmp_path, np.eye(2))
    model = onnx.load(bundle / "model.onnx")
    bad = numpy_helper.from_array(np.array([1, 2, value], dtype), "bad")
    if place == "node":
        model.graph.node.append(helper.make_node("Constant", [], ["unused"], value=bad))
    else:
        model.graph.initializer.append(bad)
    if place == "data file":
        move(model.graph.initializer[-1], bundle, "model.onnx.data")
    (bundle / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(
        SettingsError, match=r"the weights bad are not finite: 1 of 3 are NaN or infinite.*earlier checkpoint"
    ):
        forward(bundle)


def test_a_mask_of_infinities_is_accepted(tmp_path: Path) -> None:
    """Attention masks add minus infinity."""
    bundle = linear_onnx(tmp_path, np.eye(2))
    expected, model = forward(bundle), onnx.load(bundle / "model.onnx")
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, -np.inf], np.float32), "mask"))
    onnx.save(model, bundle / "model.onnx")
    assert torch.equal(forward(bundle), expected)


def test_fused_layers_of_onnxruntime_keep_nan_like_torch(tmp_path: Path) -> None:
    """onnxruntime fuses a convolution and its ReLU."""
    kernel = torch.randn(8, 2, 3, 3, generator=torch.Generator().manual_seed(2))
    make = helper.make_node
    nodes = [make("Conv", ["pixels", "kernel"], ["sums"], pads=[1, 1, 1, 1]), make("Relu", ["sums"], ["classes"])]
    weights = [numpy_helper.from_array(kernel.numpy(), "kernel")]
    save_onnx(tmp_path, nodes, weights, 2, 8, channels_last=False, batch="n")
    pixels = PIXELS.clone()
    pixels[0, 0, 5, 6], pixels[1, 1, 9, 9], pixels[2, 0, 20, 3] = torch.nan, torch.inf, -torch.inf
    expected = torch.relu(torch.nn.functional.conv2d(pixels, kernel, padding=1))
    found = load_network(read_bundle(tmp_path), CPU, 1)(pixels)
    torch.testing.assert_close(found, expected, equal_nan=True, rtol=1e-4, atol=1e-5)


def test_a_batch_is_not_copied(tmp_path: Path) -> None:
    """The output is a buffer of onnxruntime that no later batch overwrites."""
    network = load_network(read_bundle(linear_onnx(tmp_path, np.array([[1, 2], [3, 4]]))), CPU, 1)
    first = network(PIXELS)
    kept = first.clone()
    network(-PIXELS)
    del network
    assert torch.equal(first, kept)
    torch.testing.assert_close(first[:, 0], PIXELS[:, 0] + 2 * PIXELS[:, 1])


def hungry(folder: Path) -> Path:
    """A model that allocates 128 TiB in its forward pass."""
    make = helper.make_node
    shape = numpy_helper.from_array(np.array([2**20, 2**25], np.int64), "shape")
    nodes = [
        make("ConstantOfShape", ["shape"], ["big"]),
        make("ReduceSum", ["big"], ["sum"], keepdims=0),
        make("Add", ["pixels", "sum"], ["classes"]),
    ]
    return save_onnx(folder, nodes, [shape], 2, 2, channels_last=False, batch="n")


def test_onnxruntime_out_of_memory_raises_torchs_error(tmp_path: Path) -> None:
    """The search for a batch size and the retries of units depend on this type."""
    network = load_network(read_bundle(hungry(tmp_path)), CPU, 1)
    with pytest.raises(torch.OutOfMemoryError, match="Failed to allocate memory for requested buffer of size 1407374"):
        network(PIXELS)
    with pytest.raises(SettingsError, match=r"model\.onnx needs more memory than there is for 1 patches of 32 px"):
        start_predictor(read_bundle(tmp_path), Inference("cpu", 32))


def test_a_model_that_does_not_take_float32_is_refused(tmp_path: Path) -> None:
    bundle = linear_onnx(tmp_path, np.eye(2))
    model = onnx.load(bundle / "model.onnx")
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    model.graph.node.insert(0, helper.make_node("Cast", ["pixels"], ["cast"], to=TensorProto.FLOAT))
    model.graph.node[1].input[0] = "cast"
    onnx.save(model, bundle / "model.onnx")
    with pytest.raises(SettingsError, match=r"its input is a tensor\(float16\), geoseg feeds tensor\(float\)"):
        forward(bundle)
