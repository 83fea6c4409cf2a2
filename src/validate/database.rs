//! A database: its JDBC URL with the parameters that the servers were measured with.
//!
//! May import `api`, `input`, `problem` and `valid`.

use std::collections::BTreeMap;

use super::input::{SecretFact, login};
use super::parts::ValidDatabase;
use super::problem::Notes;
use super::valid::Product;
use crate::api::v1alpha1::Database;

const PORT: u16 = 3306;
/// As `SOFARegistry` 6.3.0 was measured with MariaDB 10.11 (sofaregistry.md §2).
const REGISTRY: [(&str, &str); 3] =
    [("useUnicode", "true"), ("characterEncoding", "utf8"), ("useSSL", "false")];
/// As PowerJob 4.3.9 was measured with MariaDB 10.11 (powerjob.md §1.2).
const POWERJOB: [(&str, &str); 5] = [
    ("useUnicode", "true"),
    ("characterEncoding", "UTF-8"),
    ("serverTimezone", "UTC"),
    ("useSSL", "false"),
    ("allowPublicKeyRetrieval", "true"),
];

/// A database with everything resolved.
pub(super) fn database(
    spec: &Database,
    product: Product,
    secret: &SecretFact,
    notes: &mut Notes,
) -> ValidDatabase {
    let port = spec.port.unwrap_or(PORT);
    if port == 0 {
        notes.wrong(
            "database.port",
            "database.port must be from 1 to 65535: correct it, or leave it out for 3306",
        );
    }
    let usual = if product == Product::PowerJob { &POWERJOB[..] } else { &REGISTRY[..] };
    let empty = BTreeMap::new();
    let parameters = parameters(usual, spec.parameters.as_ref().unwrap_or(&empty));
    ValidDatabase {
        host: spec.host.clone(),
        port,
        jdbc_url: format!("jdbc:mysql://{}:{port}/{}?{parameters}", spec.host, spec.name),
        secret: login("database.secretRef", &spec.secret_ref, secret, notes),
    }
}

/// The usual parameters in their order, those of the spec in their place or after them.
fn parameters(usual: &[(&str, &str)], own: &BTreeMap<String, String>) -> String {
    let first = usual.iter().map(|(key, value)| (*key, own.get(*key).map_or(*value, String::as_str)));
    let more = own.iter().filter(|(key, _)| usual.iter().all(|(usual, _)| usual != key));
    let more = more.map(|(key, value)| (key.as_str(), value.as_str()));
    first
        .chain(more)
        .map(|(key, value)| format!("{}={}", encode(key), encode(value)))
        .collect::<Vec<_>>()
        .join("&")
}

/// As a URL wants it. `$(` would else also be a variable to Kubernetes.
fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    encoded
}

fn digit(value: u8) -> char {
    char::from_digit(value.into(), 16).unwrap_or('0').to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_spec_win_and_are_encoded() {
        let own = [("useSSL", "true"), ("sessionVariables", "a='$(X)&b'")];
        let own = own.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let expected =
            "useUnicode=true&characterEncoding=utf8&useSSL=true&sessionVariables=a%3D%27%24%28X%29%26b%27";
        assert_eq!(parameters(&REGISTRY, &own), expected);
    }
}
