//! The `watermaster` program: everything is in the library, but for the allocator of memory, which is a program's choice.

use std::process::ExitCode;

/// A request is some hundred small allocations in one thread and as many releases in another: the system's allocator spends
/// a fifth of the service's time on that (`benches/http.rs`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    watermaster::cli::main()
}
