//! A bandwidth model's JSON: any bytes give a model or an error, and what was read is read again alike.
#![no_main]

use api::bandwidth_model::BandwidthModelDocument;
use formats::bandwidth_model::{document_of, model_of};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = serde_json::from_slice::<BandwidthModelDocument>(bytes) else { return };
    if let Ok((model, _)) = model_of(&document) {
        let (again, warnings) = model_of(&document_of(&model)).expect("a model that was read");
        assert_eq!((again, warnings.len()), (model, 0));
    }
});
