//! Writes the CRDs: `crdgen --dir crds` (see `make crds`).

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use sofa_operator::{api, program};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--dir", dir] => match write(Path::new(dir)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("crdgen: {error:#}");
                ExitCode::FAILURE
            }
        },
        _ => program::run("crdgen", "crdgen --dir FOLDER writes the CRDs into the folder"),
    }
}

fn write(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    for crd in api::crd::all()? {
        let path = dir.join(&crd.file);
        fs::write(&path, crd.to_yaml()?).with_context(|| format!("{} cannot be written", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
