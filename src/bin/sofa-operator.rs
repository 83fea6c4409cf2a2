//! The operator.

use clap::Parser;
use sofa_operator::operator::{Args, run};

/// A look at a cluster takes memory for a moment, and glibc's allocator gives little of it back: with 500 clusters 20 MB were
/// held that nobody used. Its settings are in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(args)),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sofa-operator: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
