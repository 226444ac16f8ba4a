//! `n2s` as the tests kill it: the same commands, with `n2s_failpoints` armed.

fn main() -> std::process::ExitCode {
    n2s_cli::main()
}
