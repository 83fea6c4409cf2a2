//! A stand-in for the closed servers drmdata, `DSRConsole` and `AntScheduler`, for tests of the operator.

fn main() -> std::process::ExitCode {
    sofa_operator::contract_servers::main(std::env::args_os())
}
