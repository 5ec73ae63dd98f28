//! Nodes of a graph.

use crate::attribute::AttributeProto;
use crate::message::message;
use crate::model::StringStringEntryProto;
use crate::sharding::NodeDeviceConfigurationProto;
use crate::text::Text;

message! {
    /// A call of an operator or of a function.
    pub struct NodeProto<'a> {
        /// Names of the values it reads; an empty one is an input left out.
        input: Vec<Text<'a>> = 1,
        /// Names of the values it makes; an empty one is an output nobody wants.
        output: Vec<Text<'a>> = 2,
        name: Text<'a> = 3,
        op_type: Text<'a> = 4,
        attribute: Vec<AttributeProto<'a>> = 5,
        doc_string: Text<'a> = 6,
        domain: Text<'a> = 7,
        /// Tells apart functions of the same domain and name.
        overload: Text<'a> = 8,
        metadata_props: Vec<StringStringEntryProto<'a>> = 9,
        device_configurations: Vec<NodeDeviceConfigurationProto<'a>> = 10,
    }
}
