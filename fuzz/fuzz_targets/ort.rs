//! Any bytes are a model in the ORT format or an error; a model that was read can be written, or the reason said.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::{OrtOperator, OrtParameter};

fuzz_target!(|bytes: &[u8]| {
    let Ok(model) = proto::decode_ort(bytes) else { return };
    let any = || vec![OrtParameter { kernel_type: "T".into(), variadic: true }];
    let written = proto::encode_ort(&model, &|node| {
        Ok(OrtOperator { since: node.since_version()?.unwrap_or(1), inputs: any(), outputs: any() })
    });
    if let Ok(written) = written {
        proto::decode_ort(&written).expect("what was written reads again");
    }
});
