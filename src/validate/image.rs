//! Whether an image is of the version that the spec names.
//!
//! May import `types` and `problem`.

use super::problem::Notes;
use crate::types::{ImageName, Version};

/// Notes an image whose tag begins with another version number. A digest or any other tag says nothing of a version.
pub(super) fn check(field: &str, image: &ImageName, version: &Version, notes: &mut Notes) {
    let Some(tagged) = tag(image.as_str()).and_then(numbers) else { return };
    if tagged != [version.major, version.minor, version.patch] {
        let [major, minor, patch] = tagged;
        notes.wrong(
            field,
            format!(
                "{field} is of {major}.{minor}.{patch} by its tag, version is {version}: make them the same"
            ),
        );
    }
}

/// The tag of an image; `None` where it has none.
fn tag(image: &str) -> Option<&str> {
    let named = image.split_once('@').map_or(image, |(named, _)| named);
    let last = named.rsplit('/').next().unwrap_or(named);
    last.split_once(':').map(|(_, tag)| tag)
}

/// The three numbers that a tag begins with, after a `v` or not: `v5.4.3-jre17`.
fn numbers(tag: &str) -> Option<[u32; 3]> {
    let plain = tag.strip_prefix('v').unwrap_or(tag);
    let end = plain.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(plain.len());
    let mut parts = plain[..end].split('.').map(|part| part.parse().ok());
    Some([parts.next()??, parts.next()??, parts.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_of_another_version_is_told() {
        for (image, version, wrong) in [
            ("localhost/sofa-registry:5.4.3", "5.4.3", false),
            ("localhost/sofa-registry:5.4.3", "6.3.0", true),
            ("localhost:5000/sofa-registry:v6.3.0-jre17", "6.3.0", false),
            ("localhost:5000/sofa-registry:v6.3.0-jre17", "6.3.1", true),
            ("localhost:5000/sofa-registry", "6.3.0", false),
            ("localhost:5000/5.4.3/sofa-registry", "6.3.0", false),
            ("sofa-registry:5.4.3@sha256:00ff", "6.3.0", true),
            ("sofa-registry@sha256:00ff", "6.3.0", false),
            ("sofa-registry:stable", "6.3.0", false),
            ("sofa-registry:2026.11", "6.3.0", false),
            ("sofa-registry:6.3.0", "6.3.0-rc.1", false),
        ] {
            let mut notes = Notes::default();
            check("image", &image.parse().unwrap(), &version.parse().unwrap(), &mut notes);
            assert_eq!(!notes.problems.is_empty(), wrong, "{image} {version}: {:?}", notes.problems);
        }
    }
}
