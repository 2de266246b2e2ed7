//! The program `abs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    abs::run()
}
