//! Texts as long as the schema lets them be.
//!
//! May import nothing of this package.

/// The text, cut off after so many characters, the last of them an ellipsis.
pub(super) fn cut(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    text.chars().take(characters.saturating_sub(1)).chain(['…']).collect()
}

/// Sentences in one text; those that do not fit are counted.
pub(super) fn joined(sentences: &[String], characters: usize) -> String {
    let mut text = String::new();
    for (index, sentence) in sentences.iter().enumerate() {
        let longer = if text.is_empty() { sentence.clone() } else { format!("{text}; {sentence}") };
        let left = sentences.len() - index;
        let more = format!("; and {left} more");
        let room = if left == 1 { characters } else { characters.saturating_sub(more.chars().count()) };
        if longer.chars().count() > room && !text.is_empty() {
            return cut(&format!("{text}{more}"), characters);
        }
        text = longer;
    }
    cut(&text, characters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_off_or_counted() {
        assert_eq!(cut("元元元", 3), "元元元");
        assert_eq!(cut("元元元元", 3), "元元…");
        let three = ["a is wrong", "b is wrong", "c is wrong"].map(str::to_owned);
        assert_eq!(joined(&three, 100), "a is wrong; b is wrong; c is wrong");
        assert_eq!(joined(&three, 28), "a is wrong; and 2 more");
        assert_eq!(joined(&three[..1], 4), "a i…");
        assert_eq!(joined(&[], 4), "");
    }
}
