//! Whether a text can be shown to a person, told by another rule than the one that `wire::text` follows.

/// Fails if something in `text` would act on a screen instead of being read.
pub(super) fn assert_readable(text: &str) {
    if let Some(found) = text.chars().find(|character| acts(*character)) {
        panic!("a person would be shown {found:?} in {text:?}");
    }
}

/// The same for a text of several lines.
pub(super) fn assert_readable_lines(text: &str) {
    text.split('\n').for_each(assert_readable);
}

/// Control characters; Unicode's `Bidi_Control`; zero-width characters; line and paragraph separators; tags.
fn acts(character: char) -> bool {
    let bidi = matches!(character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let hidden = matches!(character, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
    character.is_control() || bidi || hidden || matches!(character, '\u{2028}' | '\u{2029}')
}
