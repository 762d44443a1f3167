use proptest::prelude::*;
use wire::{
    diagnostics::{
        report::{Content, Report, SectionId},
        sections::processes::{ProcessRow, Processes},
    },
    text::{Label, shown},
};

use super::*;
use crate::testing::{self, HOSTILE, filler::Filler};

/// Elements that have no end.
const VOID: [&str; 1] = ["meta"];

/// Reads a page as a browser would that knows nothing but this page's own elements.
///
/// Gives the text outside of tags, or says what is wrong: an element that does not end or is not one of ours, an attribute that is not
/// quoted or is one that runs something, a heading that skips a level.
fn read(page: &str) -> Result<String, String> {
    const OURS: &[&str] = &[
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "a",
        "header",
        "main",
        "footer",
        "nav",
        "section",
        "article",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "p",
        "div",
        "span",
        "strong",
        "code",
        "ul",
        "ol",
        "li",
        "dl",
        "dt",
        "dd",
        "details",
        "summary",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "figure",
        "figcaption",
        "svg",
        "desc",
        "path",
        "text",
    ];
    const ATTRIBUTES: &[&str] = &[
        "lang",
        "charset",
        "http-equiv",
        "content",
        "name",
        "class",
        "href",
        "id",
        "aria-labelledby",
        "aria-label",
        "aria-hidden",
        "scope",
        "tabindex",
        "role",
        "viewBox",
        "d",
        "x",
        "y",
    ];
    let mut open: Vec<&str> = Vec::new();
    let (mut text, mut level) = (String::new(), 0_u32);
    let mut rest = page.strip_prefix("<!doctype html>").ok_or("no doctype")?;
    while let Some((before, tag)) = rest.split_once('<') {
        if before.contains('>') && open.last() != Some(&"style") {
            return Err(format!("a raw > in {before:?}"));
        }
        text.push_str(before);
        let (tag, after) = tag.split_once('>').ok_or("a tag does not end")?;
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            let last = open.pop();
            if last != Some(name) {
                return Err(format!("</{name}> ends {last:?}"));
            }
            continue;
        }
        let (tag, closed) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, mut attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        if !OURS.contains(&name) {
            return Err(format!("<{name}>"));
        }
        while !attributes.is_empty() {
            let (attribute, value) = attributes.split_once("=\"").ok_or(format!("{attributes:?} is not quoted"))?;
            if !ATTRIBUTES.contains(&attribute) {
                return Err(format!("attribute {attribute:?}"));
            }
            let (value, more) = value.split_once('"').ok_or("an attribute does not end")?;
            if attribute == "href" && !value.starts_with('#') {
                return Err(format!("a link to {value}"));
            }
            attributes = more.trim_start();
        }
        if let Some(heading) = name.strip_prefix('h').and_then(|level| level.parse::<u32>().ok()) {
            if heading > level + 1 {
                return Err(format!("h{heading} after h{level}"));
            }
            level = heading;
        }
        if !closed && !VOID.contains(&name) {
            open.push(name);
        }
    }
    if open.is_empty() { Ok(text) } else { Err(format!("{open:?} do not end")) }
}

fn decoded(text: &str) -> String {
    let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character))
}

#[test]
fn a_machine_in_trouble_as_a_page() {
    let page = html(&testing::report());
    read(&page).unwrap();
    insta::assert_snapshot!(page.replace(STYLE, "(the style)").replace("><", ">\n<"));
}

#[test]
fn nothing_that_a_machine_names_is_markup_in_any_field_of_any_section() {
    for seed in 0..20 {
        let page = html(&Filler::full(HOSTILE, seed).report());
        let text = decoded(&read(&page).unwrap());
        for hostile in HOSTILE {
            assert!(text.contains(&shown(hostile)), "{hostile:?} is not told");
        }
        assert!(!page.contains(['\u{1b}', '\u{202e}', '\u{2066}', '\r', '\u{7}']));
    }
}

#[test]
fn a_long_table_is_folded() {
    let mut report = testing::report();
    let row = |pid| ProcessRow { pid, ..ProcessRow::default() };
    let all = Processes { seen: 101, left_out: 0, processes: (0..101).map(row).collect() };
    for section in &mut report.sections {
        if section.section == SectionId::Processes {
            section.content = Some(Content::Processes(Box::new(all.clone())));
        }
    }
    let page = html(&report);
    read(&page).unwrap();
    assert!(page.contains("<details><summary>Processes: 101</summary>"));
}

#[test]
fn a_machine_of_which_nothing_is_known_has_a_page() {
    let empty = Filler::empty();
    for report in [empty.report(), Report::new(empty.make(), wire::time::WallTime(0))] {
        read(&html(&report)).unwrap();
    }
}

/// The reader above would be of no use if it took everything.
#[test]
fn a_page_with_something_foreign_in_it_is_noticed() {
    for foreign in [
        "<script>",
        "<p onclick=\"x\"></p>",
        "<p",
        "a > b",
        "</p>",
        "<a href=\"https://x\"></a>",
        "<h3></h3>",
        "<p class=x></p>",
    ] {
        assert!(read(&format!("<!doctype html><html>{foreign}</html>")).is_err(), "{foreign}");
    }
    assert_eq!(read("<!doctype html><html><h1>a &lt; b</h1></html>").as_deref(), Ok("a &lt; b"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_page_is_balanced_whatever_the_names(names in proptest::collection::vec(".{0,30}", 1..8), seed: u32) {
        let names = names.iter().map(|name| Label::cut(name).raw().to_owned()).collect::<Vec<_>>();
        let texts = names.iter().map(String::as_str).collect::<Vec<_>>();
        let text = read(&html(&Filler::full(&texts, seed).report()));
        prop_assert!(text.is_ok(), "{:?}", text);
    }
}

/// A browser applies no style whose digest is another one, so a changed style needs a changed policy.
#[test]
fn the_policy_names_the_digest_of_the_style() {
    let digest = base64(&sha256(STYLE.as_bytes()));
    assert!(HEAD.contains(&format!("style-src 'sha256-{digest}'")), "{digest}");
    for loads in ["<", "url(", "@import"] {
        assert!(!STYLE.contains(loads), "{loads}");
    }
    assert!(!html(&testing::report()).contains(" style="));
}

/// SHA-256 as FIPS 180-4 has it: too little of it is needed here to depend on cryptography.
fn sha256(message: &[u8]) -> Vec<u8> {
    let primes = (2_u64..).filter(|number| {
        (2..*number).take_while(|divisor| divisor * divisor <= *number).all(|divisor| number % divisor != 0)
    });
    let primes = primes.take(64).collect::<Vec<_>>();
    // The first 32 bits of the fractional part: of a square root, of a cube root.
    let root = |number: u64, power: u32| {
        let wanted = u128::from(number) << (32 * power);
        let (mut low, mut high) = (0_u128, 1 << 40);
        while high - low > 1 {
            let middle = u128::midpoint(low, high);
            if middle.pow(power) <= wanted { low = middle } else { high = middle }
        }
        u32::try_from(low & 0xffff_ffff).unwrap()
    };
    let mut state = primes[..8].iter().map(|prime| root(*prime, 2)).collect::<Vec<_>>();
    let constants = primes.iter().map(|prime| root(*prime, 3)).collect::<Vec<_>>();
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64) - if padded.len() % 64 > 56 { 0 } else { 8 }, 0);
    padded.resize((padded.len() + 8).next_multiple_of(64) - 8, 0);
    padded.extend((message.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks(64) {
        let mut words = block.chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect::<Vec<_>>();
        for at in 16..64 {
            let (x, y) = (words[at - 15], words[at - 2]);
            let small = x.rotate_right(7) ^ x.rotate_right(18) ^ x >> 3;
            let large = y.rotate_right(17) ^ y.rotate_right(19) ^ y >> 10;
            words.push(words[at - 16].wrapping_add(small).wrapping_add(words[at - 7]).wrapping_add(large));
        }
        let mut round = state.clone();
        for (word, constant) in words.iter().zip(&constants) {
            let [a, b, c, d, e, f, g, h] = round[..] else { unreachable!() };
            let sum = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let first = [sum, e & f ^ !e & g, *constant, *word].into_iter().fold(h, u32::wrapping_add);
            let second =
                (a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22)).wrapping_add(a & b ^ a & c ^ b & c);
            round = vec![first.wrapping_add(second), a, b, c, d.wrapping_add(first), e, f, g];
        }
        state = state.iter().zip(round).map(|(before, after)| before.wrapping_add(after)).collect();
    }
    state.into_iter().flat_map(u32::to_be_bytes).collect()
}

/// Base64 as RFC 4648 has it.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| {
        let bits = chunk.iter().chain([&0, &0]).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        let digits = [18, 12, 6, 0].map(|shift| char::from(ALPHABET[bits >> shift & 63]));
        digits.into_iter().take(chunk.len() + 1).chain(['='; 2].into_iter().take(3 - chunk.len())).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}
