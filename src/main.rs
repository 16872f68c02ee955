//! The `watermaster` program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    watermaster::cli::main()
}
