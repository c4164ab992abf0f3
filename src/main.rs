//! The `breakwater` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    breakwater::cli::run(std::env::args_os())
}
