//! Functions local to a model.

use crate::attribute::AttributeProto;
use crate::graph::ValueInfoProto;
use crate::message::message;
use crate::model::{OperatorSetIdProto, StringStringEntryProto};
use crate::node::NodeProto;
use crate::text::Text;

message! {
    /// A function: nodes that stand for a call of `domain.name`.
    pub struct FunctionProto<'a> {
        name: Text<'a> = 1,
        input: Vec<Text<'a>> = 4,
        output: Vec<Text<'a>> = 5,
        /// Names of the attributes that have no default.
        attribute: Vec<Text<'a>> = 6,
        node: Vec<NodeProto<'a>> = 7,
        doc_string: Text<'a> = 8,
        opset_import: Vec<OperatorSetIdProto<'a>> = 9,
        domain: Text<'a> = 10,
        /// Attributes with their defaults.
        attribute_proto: Vec<AttributeProto<'a>> = 11,
        value_info: Vec<ValueInfoProto<'a>> = 12,
        /// Tells apart functions of the same domain and name.
        overload: Text<'a> = 13,
        metadata_props: Vec<StringStringEntryProto<'a>> = 14,
    }
}
