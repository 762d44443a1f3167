//! The consent page: plain files, served from memory, built by nobody.

use crate::server::Asset;

/// The files of the page that asks the end user.
pub const PAGE: &[Asset] = &[
    Asset { path: "/", content_type: "text/html; charset=utf-8", body: include_bytes!("consent/index.html") },
    Asset { path: "/page.js", content_type: "text/javascript; charset=utf-8", body: include_bytes!("consent/page.js") },
    Asset { path: "/page.css", content_type: "text/css; charset=utf-8", body: include_bytes!("consent/page.css") },
    Asset { path: "/icon.svg", content_type: "image/svg+xml", body: include_bytes!("consent/icon.svg") },
];

#[cfg(test)]
mod tests {
    #[test]
    fn letters_that_run_the_other_way_do_not_reorder_a_command() {
        let style = include_str!("consent/page.css");
        let (_, rule) = style.split_once("\n.command .part, .facts .part {").unwrap();
        let (rule, _) = rule.split_once('}').unwrap();
        assert!(rule.contains("direction: ltr; unicode-bidi: bidi-override;"), "{rule}");
    }
}
