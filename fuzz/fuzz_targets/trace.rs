//! A line of a trace: any text gives a request, nothing, or an error.
#![no_main]

use formats::trace::read_line;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = read_line(text, 1);
});
