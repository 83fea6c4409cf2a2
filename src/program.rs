//! What a program of this package answers before it does anything else: its version.
//!
//! The plugin does nothing else yet, and says so.

use std::process::ExitCode;

/// The version of this package, as every program prints it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a call of a program comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// `--version` or `-V`: one line for standard output, exit 0.
    Version(String),
    /// Anything else: one sentence for standard error, exit 2.
    Usage(String),
}

/// What a program that can only print its version says to anything else.
pub const ONLY_VERSION: &str = "it can only print its version so far";

/// Decides what the program `name` answers to `args` (without the program's own name); `usage` is a clause that says what
/// else it can do.
///
/// ```
/// use sofa_operator::program::{Answer, ONLY_VERSION, VERSION, answer};
/// let said = answer("sofa-operator", ONLY_VERSION, &["--version"]);
/// assert_eq!(said, Answer::Version(format!("sofa-operator {VERSION}")));
/// ```
#[must_use]
pub fn answer(name: &str, usage: &str, args: &[&str]) -> Answer {
    match args {
        ["--version" | "-V"] => Answer::Version(format!("{name} {VERSION}")),
        _ => Answer::Usage(format!("{name} {VERSION}: {usage}; {name} --version prints its version")),
    }
}

/// Prints the answer of the program `name` to the process's own arguments.
#[must_use]
pub fn run(name: &str, usage: &str) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match answer(name, usage, &args) {
        Answer::Version(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Answer::Usage(sentence) => {
            eprintln!("{sentence}");
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_its_version() {
        assert_eq!(
            answer("kubectl-sofa", ONLY_VERSION, &["-V"]),
            Answer::Version(format!("kubectl-sofa {VERSION}"))
        );
    }

    #[test]
    fn refuses_everything_else() {
        for args in [&[][..], &["run"], &["--version", "extra"]] {
            assert!(
                matches!(answer("crdgen", ONLY_VERSION, args), Answer::Usage(s) if s.contains("crdgen --version"))
            );
        }
    }
}
