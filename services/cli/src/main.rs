//! `n2s`.

fn main() -> std::process::ExitCode {
    n2s_cli::main()
}
