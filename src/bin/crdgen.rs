//! The CRD generator. So far it only prints its version.

fn main() -> std::process::ExitCode {
    sofa_operator::program::run("crdgen")
}
