//! A bandwidth model's JSON: any bytes give a model or an error, and what was read is read again alike.
#![no_main]

use formats::bandwidth_model::Document;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = serde_json::from_slice::<Document>(bytes) else { return };
    if let Ok((model, _)) = document.to_model() {
        let (again, warnings) = Document::from_model(&model).to_model().expect("a model that was read");
        assert_eq!((again, warnings.len()), (model, 0));
    }
});
