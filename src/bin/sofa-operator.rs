//! The operator. So far it only prints its version.

fn main() -> std::process::ExitCode {
    sofa_operator::program::run("sofa-operator", sofa_operator::program::ONLY_VERSION)
}
