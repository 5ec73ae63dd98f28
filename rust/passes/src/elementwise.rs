//! Operators that work on each element by itself.

use ir::Node;

/// How many leading inputs of `node` are operands, element by element (with broadcasting); the others are settings of one element.
/// `None` for operators that are not element-wise.
pub(crate) fn operands(node: &Node) -> Option<usize> {
    // Before opset 7 operands were broadcast by other rules.
    if !node.key.domain.is_empty() || node.attributes.contains_key("broadcast") || (node.is("PRelu") && node.key.since < 7) {
        return None;
    }
    Some(match &*node.key.name {
        "Abs" | "Acos" | "Acosh" | "Asin" | "Asinh" | "Atan" | "Atanh" | "BitwiseNot" | "Cast" | "Ceil" | "Celu" | "Clip" | "Cos"
        | "Cosh" | "Elu" | "Erf" | "Exp" | "Floor" | "Gelu" | "HardSigmoid" | "HardSwish" | "Identity" | "IsInf" | "IsNaN"
        | "LeakyRelu" | "Log" | "Mish" | "Neg" | "Not" | "Reciprocal" | "Relu" | "Round" | "Selu" | "Shrink" | "Sigmoid" | "Sign"
        | "Sin" | "Sinh" | "Softplus" | "Softsign" | "Sqrt" | "Swish" | "Tan" | "Tanh" | "ThresholdedRelu" => 1,
        "Add" | "And" | "BitShift" | "BitwiseAnd" | "BitwiseOr" | "BitwiseXor" | "Div" | "Equal" | "Greater" | "GreaterOrEqual"
        | "Less" | "LessOrEqual" | "Mod" | "Mul" | "Or" | "Pow" | "PRelu" | "Sub" | "Xor" => 2,
        "Where" => 3,
        "Max" | "Mean" | "Min" | "Sum" => node.inputs.len(),
        _ => return None,
    })
}
