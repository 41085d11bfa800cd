//! The program: arguments in, exit code out. Everything else is the library's.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    portolan::cli::main(std::env::args_os()).into()
}
