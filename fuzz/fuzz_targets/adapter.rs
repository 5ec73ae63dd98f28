//! Any bytes are an adapter or an error; an adapter that was read can be written, or the reason said, and is read again as the same one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::Adapter;

fuzz_target!(|bytes: &[u8]| {
    let Ok(adapter) = Adapter::decode(bytes) else { return };
    if let Ok(written) = adapter.encode() {
        let again = Adapter::decode(&written).expect("what was written reads again");
        assert_eq!(again, adapter);
    }
});
