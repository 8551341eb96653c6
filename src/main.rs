//! The program `ctctl`: all of it is in the library.

fn main() -> std::process::ExitCode {
    ctctl::cli::main()
}
