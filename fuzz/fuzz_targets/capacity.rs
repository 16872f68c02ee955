//! Any text is a rate within bounds or none.
#![no_main]

use formats::capacity;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Some(rate) = capacity::parse(text) {
        assert!(!rate.bandwidth.is_zero());
        // Blanks around a text change nothing, as long as the text is short enough to be seen whole.
        if text.len() < 100 {
            assert_eq!(capacity::parse(&format!(" {text} ")), Some(rate));
        }
    }
});
