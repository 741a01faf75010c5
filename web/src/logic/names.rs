//! Class names in sentences.

/// The name with its article: "a ship", "an airplane", "an 8".
pub fn with_article(name: &str) -> String {
    let first = name.chars().next().map(|c| c.to_ascii_lowercase());
    // Of the digits only the eight begins with a vowel when it is spoken.
    let vowel = matches!(first, Some('a' | 'e' | 'i' | 'o' | 'u' | '8'));
    format!("{} {name}", if vowel { "an" } else { "a" })
}

/// Whether a name needs more room than a digit or two do.
pub fn is_word(name: &str) -> bool {
    name.chars().count() > 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_follow_the_sound() {
        let all = ["ship", "airplane", "Automobile", "8", "7"].map(with_article);
        assert_eq!(
            all,
            ["a ship", "an airplane", "an Automobile", "an 8", "a 7"]
        );
        assert_eq!(with_article(""), "a ");
    }

    #[test]
    fn words_are_longer_than_numbers() {
        assert!(is_word("cat") && !is_word("42") && !is_word("7"));
    }
}
