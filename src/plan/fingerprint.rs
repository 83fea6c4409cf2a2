//! A short, stable hash of a text, for ids that have to be the same tomorrow and in every process.
//!
//! May import nothing of this package.

/// 16 hexadecimal digits of the text (FNV-1a, 64 bits). For ids among a few: it is no defence against anybody.
#[must_use]
pub(crate) fn fingerprint(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn is_the_same_in_every_build() {
        assert_eq!(fingerprint(""), "cbf29ce484222325");
        assert_eq!(fingerprint("a"), "af63dc4c8601ec8c");
    }
}
