//! The kubectl plugin. So far it only prints its version.

fn main() -> std::process::ExitCode {
    sofa_operator::program::run("kubectl-sofa", sofa_operator::program::ONLY_VERSION)
}
