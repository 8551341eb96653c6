//! `ctctl`.

fn main() -> std::process::ExitCode {
    ctctl::cli::main()
}
