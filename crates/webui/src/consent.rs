//! The consent page: plain files, served from memory, built by nobody.

use crate::server::Asset;

/// The files of the page that asks the end user.
pub const PAGE: &[Asset] = &[
    Asset { path: "/", content_type: "text/html; charset=utf-8", body: include_bytes!("consent/index.html") },
    Asset { path: "/page.js", content_type: "text/javascript; charset=utf-8", body: include_bytes!("consent/page.js") },
    Asset { path: "/page.css", content_type: "text/css; charset=utf-8", body: include_bytes!("consent/page.css") },
    Asset { path: "/icon.svg", content_type: "image/svg+xml", body: include_bytes!("consent/icon.svg") },
];
