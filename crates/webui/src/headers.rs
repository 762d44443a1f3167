//! What every answer carries, refusals included.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// Nothing but this server's own files, no inline script or style, no text turned into markup, no frames, no forms.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// Everything that a page could ask a browser for and that no page here needs.
pub const PERMISSIONS_POLICY: &str = "accelerometer=(), autoplay=(), camera=(), clipboard-read=(), clipboard-write=(), \
     display-capture=(), fullscreen=(), gamepad=(), geolocation=(), gyroscope=(), hid=(), idle-detection=(), \
     local-fonts=(), magnetometer=(), microphone=(), midi=(), payment=(), picture-in-picture=(), \
     publickey-credentials-create=(), publickey-credentials-get=(), screen-wake-lock=(), serial=(), \
     storage-access=(), usb=(), xr-spatial-tracking=()";

const ALL: [(HeaderName, &str); 8] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), PERMISSIONS_POLICY),
    // The files change with the program and cost nothing to send; nothing of a session may stay in a cache.
    (header::CACHE_CONTROL, "no-store"),
    // For browsers that do not know `frame-ancestors`.
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// Sets every security header, in place of whatever a handler set.
pub fn apply(headers: &mut HeaderMap) {
    for (name, value) in ALL {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_makes_no_exception() {
        for exception in ["unsafe-inline", "unsafe-eval", "http:", "https:", "data:", "*", "ws:"] {
            assert!(!CONTENT_SECURITY_POLICY.contains(exception), "{exception}");
        }
        assert!(CONTENT_SECURITY_POLICY.starts_with("default-src 'none'; "));
        assert!(!CONTENT_SECURITY_POLICY.contains("  "), "the continued lines join with one space");
    }

    #[test]
    fn a_handler_cannot_weaken_a_header() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src *"));
        headers.append(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        apply(&mut headers);
        assert_eq!(headers.get_all(header::CONTENT_SECURITY_POLICY).iter().count(), 1);
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    }
}
