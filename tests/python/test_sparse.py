"""Sparse tensors: made, viewed, held and fed."""

import gc
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import ort_rs
from ort_rs.capi import onnxruntime_pybind11_state as native
from paired import assert_same

V = np.array([1, 2, 3], np.float32)
READERS = ("dense_shape", "data_type", "device_name")


def describe(sparse: Any) -> list[Any]:
    values = sparse.values()
    return [*(getattr(sparse, name)() for name in READERS), int(sparse.format()), values, values.flags.writeable]


COO: dict[str, tuple[Any, ...]] = {
    "flat": ([3, 4], V, np.array([0, 5, 11])),
    "coordinates": ([3, 4], V, np.array([[0, 0], [1, 1], [2, 3]])),
    "a list": (np.array([3, 4]), V, [0, 5, 11]),
    "int32": ([3, 4], V, np.array([0, 5, 11], np.int32)),
    "too few": ([3, 4], V, np.array([0, 5])),
    "a matrix of values": ([3, 4], V.reshape(1, 3), np.array([0, 5, 11])),
    "no device": ([3, 4], V, np.array([0, 5, 11]), 3),
}


def coo(ort: ModuleType, case: str) -> Any:
    arguments = COO[case]
    device = arguments[3] if len(arguments) > 3 else ort.OrtDevice.make("cpu", 0)
    return ort.SparseTensor.sparse_coo_from_numpy(*arguments[:3], device)


@pytest.mark.parametrize("case", COO)
def test_coordinates(case: str) -> None:
    if case == "no device":  # The class of the exception comes from the language of the binding.
        with pytest.raises(TypeError):
            coo(ort_rs, case)
        return
    assert_same(lambda ort: [describe(coo(ort, case)), coo(ort, case).as_coo_view().indices()], text=False)


CSR: dict[str, tuple[Any, ...]] = {
    "rows": ([3, 4], V, np.array([0, 1, 3]), np.array([0, 1, 2, 3])),
    "too few rows": ([3, 4], V, np.array([0, 1, 3]), np.array([0, 1, 2])),
    "too few columns": ([3, 4], V, np.array([0, 1]), np.array([0, 1, 2, 3])),
    "no matrix": ([12], V, np.array([0, 1, 3]), np.array([0, 1, 2, 3])),
}


@pytest.mark.parametrize("case", CSR)
def test_rows(case: str) -> None:
    def call(ort: ModuleType) -> Any:
        sparse = ort.SparseTensor.sparse_csr_from_numpy(*CSR[case], ort.OrtDevice.make("cpu", 0))
        view = sparse.as_csrc_view()
        return [describe(sparse), view.inner(), view.outer()]

    assert_same(call, text=False)


def test_blocks() -> None:
    values = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    indices = np.array([[0, 0], [0, 1]], np.int32)
    sparse = native.SparseTensor.blocksparse_from_numpy([4, 4], values, indices, native.OrtDevice(0, 0, 0))
    assert sparse.format() is ort_rs.OrtSparseFormat.ORT_SPARSE_BLOCK_SPARSE
    np.testing.assert_array_equal(sparse.values(), values)
    np.testing.assert_array_equal(sparse.as_blocksparse_view().indices(), indices)
    theirs = onnxruntime.capi.onnxruntime_pybind11_state
    for module in (native, theirs):
        for bad in ((values.ravel(), indices), (values, indices.ravel())):
            with pytest.raises(RuntimeError):
                module.SparseTensor.blocksparse_from_numpy([4, 4], *bad, module.OrtDevice(0, 0, 0))


@pytest.mark.parametrize("view", ["as_csrc_view", "as_blocksparse_view", "as_coo_view"])
def test_views_of_another_format(view: str) -> None:
    def call(ort: ModuleType) -> Any:
        return type(getattr(coo(ort, "flat"), view)()).__name__

    assert_same(call, text=False)


def test_strings() -> None:
    words = np.array(["a", "", "ö"])

    def call(ort: ModuleType) -> Any:
        sparse = ort.SparseTensor.sparse_coo_from_numpy([3, 4], words, np.array([0, 5, 7]), ort.OrtDevice.make("cpu", 0))
        return [sparse.data_type(), sparse.values()]

    assert_same(call)


def test_views_outlive_their_tensor() -> None:
    sparse = coo(ort_rs, "flat")
    values, indices = sparse.values(), sparse.as_coo_view().indices()
    del sparse
    gc.collect()
    np.testing.assert_array_equal(values, V)
    np.testing.assert_array_equal(indices, [0, 5, 11])
    assert not indices.flags.writeable


def test_no_gpu() -> None:
    assert_same(lambda ort: coo(ort, "flat").to_cuda(ort.OrtDevice.make("cuda", 0)), text=False)
    assert_same(lambda ort: ort.SparseTensor.sparse_coo_from_numpy([3], V, np.arange(3), ort.OrtDevice.make("cuda", 0)), text=False)


def test_held_in_a_value() -> None:
    def call(ort: ModuleType) -> Any:
        value = ort.OrtValue.ort_value_from_sparse_tensor(coo(ort, "flat"))
        seen = [value.is_sparse_tensor(), value.is_tensor(), value.data_type(), value.shape(), value.element_type(), value.device_name()]
        return [*seen, describe(value.as_sparse_tensor())]

    assert_same(call)


@pytest.mark.parametrize("method", ["numpy", "data_ptr", "tensor_size_in_bytes", "__dlpack__"])
def test_no_dense_tensor(method: str) -> None:
    assert_same(lambda ort: getattr(ort.OrtValue.ort_value_from_sparse_tensor(coo(ort, "flat")), method)(), text=False)


def test_a_dense_value_is_not_sparse() -> None:
    assert_same(lambda ort: ort.OrtValue.ortvalue_from_numpy(V).as_sparse_tensor(), text=False)
    assert_same(lambda ort: ort.SparseTensor(3), text=False)


def sparse_output(by_node: bool) -> bytes:
    values = onnx.helper.make_tensor("y", onnx.TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    indices = onnx.helper.make_tensor("i", onnx.TensorProto.INT64, [3], [0, 5, 11])
    sparse = onnx.helper.make_sparse_tensor(values, indices, [3, 4])
    ty = onnx.helper.make_sparse_tensor_type_proto(onnx.TensorProto.FLOAT, [3, 4])
    nodes = [onnx.helper.make_node("Constant", [], ["y"], sparse_value=sparse)] if by_node else []
    initializers = [] if by_node else [sparse]
    output = onnx.helper.make_value_info("y", ty)
    graph = onnx.helper.make_graph(nodes, "g", [], [output], sparse_initializer=initializers)
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 15)], ir_version=8)
    encoded: bytes = made.SerializeToString()
    return encoded


@pytest.mark.parametrize("by_node", [False, True])
def test_sparse_constants_as_outputs(by_node: bool) -> None:
    def call(ort: ModuleType) -> Any:
        session = ort.InferenceSession(sparse_output(by_node))
        (value,) = session.run_with_ort_values(["y"], {})
        sparse = value.as_sparse_tensor()
        (fetched,) = session.run(None, {})
        return [value.data_type(), sparse.values(), sparse.as_coo_view().indices(), fetched.values()]

    assert_same(call)


def product(**attributes: Any) -> bytes:
    ty = onnx.helper.make_sparse_tensor_type_proto(onnx.TensorProto.FLOAT, [3, 4])
    a = onnx.helper.make_value_info("a", ty)
    b = onnx.helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, ["k", "n"])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    node = onnx.helper.make_node("SparseToDenseMatMul", ["a", "b"], ["y"], domain="com.microsoft", **attributes)
    graph = onnx.helper.make_graph([node], "g", [a, b], [y])
    imports = [onnx.helper.make_opsetid("", 15), onnx.helper.make_opsetid("com.microsoft", 1)]
    encoded: bytes = onnx.helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()
    return encoded


@pytest.mark.parametrize("columns", [0, 1, 5, 600])
@pytest.mark.parametrize("attributes", [{}, {"transA": 1}, {"transB": 1}, {"alpha": 0.5}])
@pytest.mark.parametrize("form", ["flat", "coordinates", "rows"])
def test_products(form: str, attributes: dict[str, Any], columns: int) -> None:
    rows = 3 if attributes.get("transA") else 4
    b = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    b = b.T.copy() if attributes.get("transB") else b

    def call(ort: ModuleType) -> Any:
        cpu = ort.OrtDevice.make("cpu", 0)
        a = ort.SparseTensor.sparse_csr_from_numpy(*CSR["rows"], cpu) if form == "rows" else coo(ort, form)
        feeds = {"a": ort.OrtValue.ort_value_from_sparse_tensor(a), "b": ort.OrtValue.ortvalue_from_numpy(b)}
        return ort.InferenceSession(product(**attributes)).run_with_ort_values(["y"], feeds)[0].numpy()

    dense = np.zeros((3, 4), np.float32)
    dense.ravel()[[0, 5, 11]] = V
    dense = dense.T if attributes.get("transA") else dense
    expected = attributes.get("alpha", 1.0) * (dense @ (b.T if attributes.get("transB") else b))
    np.testing.assert_array_equal(call(ort_rs), expected.astype(np.float32))
    if form == "coordinates" and columns == 5:  # ONNX Runtime takes no flat indices here.
        assert_same(call)


def test_products_that_do_not_fit() -> None:
    session = ort_rs.InferenceSession(product())
    a = ort_rs.OrtValue.ort_value_from_sparse_tensor(coo(ort_rs, "flat"))
    with pytest.raises(native.InvalidArgument, match="do not go together"):
        session.run(None, {"a": a, "b": np.ones((3, 2), np.float32)})
    with pytest.raises(native.InvalidArgument, match="Unexpected input data type"):
        session.run(None, {"a": V, "b": np.ones((4, 2), np.float32)})
    wild = ort_rs.SparseTensor.sparse_coo_from_numpy([3, 4], V, np.array([0, 5, 99]), ort_rs.OrtDevice.make("cpu", 0))
    with pytest.raises(native.InvalidGraph, match="index 99 lies outside"):
        session.run(None, {"a": wild, "b": np.ones((4, 2), np.float32)})
