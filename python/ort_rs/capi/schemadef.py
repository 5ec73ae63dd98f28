"""The operators that are built in, described as ONNX describes operators."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from ort_rs._core import registered_operators

# How often the last parameter may be given that may be given any number of times.
_MANY = 2**31 - 1


class OpSchema:
    """A version of an operator: what it takes and gives.

    The names and kinds of attributes are those that the operator reads; texts that explain it are ONNX's own and not here.
    """

    class AttrType(IntEnum):
        """The kinds of attributes, with the numbers of ONNX."""

        FLOAT = 1
        INT = 2
        STRING = 3
        TENSOR = 4
        GRAPH = 5
        FLOATS = 6
        INTS = 7
        STRINGS = 8
        TENSORS = 9
        GRAPHS = 10
        SPARSE_TENSOR = 11
        SPARSE_TENSORS = 12

    class FormalParameterOption(IntEnum):
        """How often a parameter is given."""

        Single = 0
        Optional = 1
        Variadic = 2

    class SupportType(IntEnum):
        """Whether an operator is there to stay."""

        COMMON = 0
        EXPERIMENTAL = 1

    @dataclass(frozen=True)
    class Attribute:
        """An attribute of an operator."""

        name: str
        type: "OpSchema.AttrType"
        required: bool
        description: str = ""

    @dataclass(frozen=True)
    class FormalParameter:
        """An input or an output of an operator."""

        name: str
        typeStr: str  # noqa: N815  # ONNX's name.
        option: "OpSchema.FormalParameterOption"
        isHomogeneous: bool  # noqa: N815  # ONNX's name.
        types: frozenset[str] = field(default_factory=frozenset)
        description: str = ""

    @dataclass(frozen=True)
    class TypeConstraintParam:
        """The types that a variable of an operator may be."""

        type_param_str: str
        allowed_type_strs: list[str]
        description: str = ""

    def __init__(self, version: dict[str, Any]) -> None:
        """Describe a version of an operator, as `registered_operators` gives it."""
        self.domain: str = version["domain"]
        self.name: str = version["name"]
        self.since_version: int = version["since"]
        self.deprecated: bool = version["deprecated"]
        self.support_level = OpSchema.SupportType.COMMON
        self.has_type_and_shape_inference_function = True
        self.doc = self.file = ""
        self.line = 0
        self.type_constraints = [OpSchema.TypeConstraintParam(*pair) for pair in version["types"]]
        self.inputs = [self._parameter(p) for p in version["inputs"]]
        self.outputs = [self._parameter(p) for p in version["outputs"]]
        self.attributes = {
            name: OpSchema.Attribute(name, OpSchema.AttrType[kind], required) for name, kind, required in version["attributes"]
        }

    def _parameter(self, parameter: tuple[str, str, int, bool]) -> "OpSchema.FormalParameter":
        name, variable, often, homogeneous = parameter
        allowed = [t.allowed_type_strs for t in self.type_constraints if t.type_param_str == variable]
        types = frozenset(allowed[0] if allowed else [variable])
        return OpSchema.FormalParameter(name, variable, OpSchema.FormalParameterOption(often), homogeneous, types)

    @staticmethod
    def is_infinite(number: int) -> bool:
        """Tell whether a number of parameters stands for any number."""
        return number >= _MANY

    @staticmethod
    def _most(parameters: "list[OpSchema.FormalParameter]") -> int:
        return _MANY if any(p.option == OpSchema.FormalParameterOption.Variadic for p in parameters) else len(parameters)

    @staticmethod
    def _least(parameters: "list[OpSchema.FormalParameter]") -> int:
        return sum(p.option == OpSchema.FormalParameterOption.Single for p in parameters)

    @property
    def min_input(self) -> int:
        """The least number of inputs."""
        return self._least(self.inputs)

    @property
    def max_input(self) -> int:
        """The largest number of inputs."""
        return self._most(self.inputs)

    @property
    def min_output(self) -> int:
        """The least number of outputs."""
        return self._least(self.outputs)

    @property
    def max_output(self) -> int:
        """The largest number of outputs."""
        return self._most(self.outputs)


def get_all_operator_schema() -> list[OpSchema]:
    """Describe every version of every operator that is built in."""
    return [OpSchema(version) for version in registered_operators()]
