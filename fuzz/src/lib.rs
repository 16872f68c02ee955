//! What the fuzz targets have in common.

use formats::{Format, ReadOptions, read, write};

/// Reads `bytes` as `format`. A topology that comes of it must be written and read again without a change; an error must
/// have a place.
pub fn round_trip(bytes: &[u8], format: Format) {
    let options = ReadOptions { format: Some(format), ..ReadOptions::default() };
    match read(bytes, &options) {
        Ok(imported) => {
            let text = write(&imported.topology, Format::Native).expect("the native format is written");
            let again = read(text.as_bytes(), &ReadOptions::default()).expect("what is written reads back");
            assert_eq!(again.topology, imported.topology);
        }
        Err(error) => {
            let place = error.place();
            assert!(place.line.is_some() || place.element.is_some(), "{error:?}");
        }
    }
}
