//! What a server of `AntScheduler` is asked for by the path that `taskGate` names.
//!
//! May import the answers of `admin`.

use serde::Deserialize;

use crate::admin::answer::{Answer, Unreadable};

/// Tasks that were triggered and not reported yet: the number `unreported` of a JSON object.
///
/// # Errors
/// [`Unreadable`] for any other answer: it is never a pass.
pub fn unreported(answer: &Answer) -> Result<u64, Unreadable> {
    #[derive(Deserialize)]
    struct Tasks {
        unreported: u64,
    }
    answer.json::<Tasks>().map(|tasks| tasks.unreported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_is_a_number() {
        let told = |body: &str| unreported(&Answer::new(200, body));
        assert_eq!(told(r#"{"triggered": 3, "unreported": 1}"#), Ok(1));
        for wrong in ["", "{}", r#"{"unreported": "1"}"#, r#"{"unreported": -1}"#, "<html>", "0"] {
            assert!(told(wrong).is_err(), "{wrong}");
        }
        assert!(unreported(&Answer::new(500, r#"{"unreported": 0}"#)).is_err());
    }
}
