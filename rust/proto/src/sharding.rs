//! How the tensors of a node are spread over devices.

use crate::message::{message, oneof};
use crate::text::Text;

message! {
    /// What one device configuration of the model means for a node.
    pub struct NodeDeviceConfigurationProto<'a> {
        configuration_id: Text<'a> = 1,
        sharding_spec: Vec<ShardingSpecProto<'a>> = 2,
        pipeline_stage: Option<i32> = 3,
    }
}

message! {
    /// How one input or output of a node is spread.
    pub struct ShardingSpecProto<'a> {
        tensor_name: Text<'a> = 1,
        device: Vec<i64> = 2,
        index_to_device_group_map: Vec<IntIntListEntryProto> = 3,
        sharded_dim: Vec<ShardedDimProto<'a>> = 4,
    }
}

message! {
    /// A device group: its number and its devices.
    pub struct IntIntListEntryProto {
        key: Option<i64> = 1,
        value: Vec<i64> = 2,
    }
}

message! {
    /// How one axis is spread.
    pub struct ShardedDimProto<'a> {
        axis: Option<i64> = 1,
        simple_sharding: Vec<SimpleShardedDimProto<'a>> = 2,
    }
}

message! {
    /// A dimension divided into `num_shards`.
    pub struct SimpleShardedDimProto<'a> {
        num_shards: Option<i64> = 3,
    } oneof dim: ShardedDimValue<'a>
}

oneof! {
    /// The dimension that is divided: a number or a symbol.
    pub enum ShardedDimValue<'a> {
        /// A known size.
        Value(dim_value: i64) = 1,
        /// The name of a size known later.
        Param(dim_param: Text<'a>) = 2,
    }
}
