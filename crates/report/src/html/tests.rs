use super::*;
use crate::testing;

#[test]
fn size() {
    let page = html(&testing::report());
    std::fs::create_dir_all("/tmp/rep").unwrap();
    std::fs::write("/tmp/rep/page.html", &page).unwrap();
    let texts = ["<script>alert(1)</script>", "\"onload=x", "a|b`c", "line\nbreak", "\u{1b}[2J", "\u{202e}x"];
    let page2 = html(&testing::filler::Filler::full(&texts, 1).report());
    std::fs::write("/tmp/rep/full.html", &page2).unwrap();
    println!("{} {}", page.len(), page2.len());
}
