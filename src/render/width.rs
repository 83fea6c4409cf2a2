//! How many columns a text takes on a terminal, as far as tables need it.
//!
//! May import nothing of this package.

/// How many columns a text takes: East Asian characters and emoji take two, marks that combine and controls none.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// The text, filled up with spaces to this width.
pub(super) fn padded(text: &str, to: usize) -> String {
    format!("{text}{}", " ".repeat(to.saturating_sub(width(text))))
}

/// The text in one line: what would break a table or a terminal becomes a space.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn columns(c: char) -> usize {
    match u32::from(c) {
        // Controls; combining marks; zero-width joiners; variation selectors.
        0..=0x1f | 0x7f..=0x9f | 0x300..=0x36f | 0x200b..=0x200f | 0x20d0..=0x20ff | 0xfe00..=0xfe0f => 0,
        // Hangul jamo; CJK, kana and their punctuation; Hangul; compatibility forms; full-width forms; emoji; CJK of the
        // second and third plane.
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe4f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f900..=0x1f9ff
        | 0x2_0000..=0x3_fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_columns_and_marks_none() {
        for (text, columns) in [("meta-0", 6), ("元服务", 6), ("e\u{301}", 1), ("…", 1), ("", 0), ("한글", 4)]
        {
            assert_eq!(width(text), columns, "{text}");
        }
        assert_eq!(padded("元", 4), "元  ");
        assert_eq!(padded("long", 2), "long");
        assert_eq!(plain("a\tb\nc\u{1b}[0m"), "a b c [0m");
    }
}
