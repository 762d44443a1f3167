//! What a request must carry, checked in this order; the first thing that is missing names the status.
//!
//! | status | missing |
//! |---|---|
//! | 421 | exactly one `Host`, equal to `127.0.0.1:PORT`, and no other authority in the request line |
//! | 405 | `GET` or `HEAD`, or `POST` on something that is not a file |
//! | 403 | a request from the page itself: `Sec-Fetch-Site: same-origin`, or else an equal `Origin` |
//! | 415 | `Content-Type: application/json` on a `POST` |
//! | 413 | a `Content-Length` of at most [`BODY_BYTES`] |
//! | 401 | cookie and bearer of one tab, except for `POST /session` |

use std::net::SocketAddr;

use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header, request::Parts};

use crate::access::{Access, Tab};

/// Largest body of a request. An answer to a consent question with every ability in it is under 2 KiB.
pub const BODY_BYTES: usize = 16 * 1024;

/// Where a ticket is swapped for a session.
pub const SESSION_PATH: &str = "/session";

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What a request that passed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// A read of one of the site's files: anybody may, there is nothing secret in them.
    File,
    /// A ticket to be swapped.
    Session,
    /// A call by a tab that was let in.
    Api(Tab),
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Host,
    Method,
    CrossSite,
    ContentType,
    TooLarge,
    TooSlow,
    Stranger,
    Ticket,
    Malformed,
}

impl Refusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::CrossSite => StatusCode::FORBIDDEN,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Stranger | Self::Ticket => StatusCode::UNAUTHORIZED,
            Self::Malformed => StatusCode::BAD_REQUEST,
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Host => "this address does not belong to this server\n",
            Self::Method => "this method is not used here\n",
            Self::CrossSite => "requests from other pages are refused\n",
            Self::ContentType => "only application/json is taken\n",
            Self::TooLarge => "the request is too large\n",
            Self::TooSlow => "the request took too long\n",
            Self::Stranger => "open the page with the address that the program gave\n",
            Self::Ticket => "this address was used before or is too old; ask the program for a new one\n",
            Self::Malformed => "the request is malformed\n",
        }
    }
}

/// Decides about a request by its head alone. `is_file` tells which paths are files of the site.
pub(crate) fn judge(parts: &Parts, is_file: impl Fn(&str) -> bool, access: &Access) -> Result<Pass, Refusal> {
    check_host(parts, access.address())?;
    let path = parts.uri.path();
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    if is_file(path) {
        return if reads { Ok(Pass::File) } else { Err(Refusal::Method) };
    }
    if !(parts.method == Method::POST || reads && path != SESSION_PATH) {
        return Err(Refusal::Method);
    }
    check_site(&parts.headers, access.address(), reads)?;
    if !reads {
        check_body(&parts.headers)?;
        if path == SESSION_PATH {
            return Ok(Pass::Session);
        }
    }
    tab(&parts.headers, access).map(Pass::Api).ok_or(Refusal::Stranger)
}

fn check_host(parts: &Parts, address: SocketAddr) -> Result<(), Refusal> {
    let ours = address.to_string();
    let host = only(&parts.headers, &header::HOST) == Some(ours.as_str());
    let line = parts.uri.authority().is_none_or(|authority| authority.as_str() == ours);
    if host && line { Ok(()) } else { Err(Refusal::Host) }
}

/// A read is let through without either header (a typed address has none that matter), anything else is not.
fn check_site(headers: &HeaderMap, address: SocketAddr, reads: bool) -> Result<(), Refusal> {
    let origin_is_ours = |origin: &str| origin.strip_prefix("http://") == Some(address.to_string().as_str());
    let site = headers.contains_key(SEC_FETCH_SITE).then(|| only(headers, &SEC_FETCH_SITE) == Some("same-origin"));
    let origin =
        headers.contains_key(header::ORIGIN).then(|| only(headers, &header::ORIGIN).is_some_and(origin_is_ours));
    match (site, origin) {
        (Some(false), _) | (_, Some(false)) => Err(Refusal::CrossSite),
        (None, None) if !reads => Err(Refusal::CrossSite),
        (Some(true), _) | (None, _) => Ok(()),
    }
}

fn check_body(headers: &HeaderMap) -> Result<(), Refusal> {
    let is_json = only(headers, &header::CONTENT_TYPE).is_some_and(|value| {
        let (kind, parameter) = value.split_once(';').unwrap_or((value, "charset=utf-8"));
        kind.trim().eq_ignore_ascii_case("application/json") && parameter.trim().eq_ignore_ascii_case("charset=utf-8")
    });
    if !is_json {
        return Err(Refusal::ContentType);
    }
    let length = only(headers, &header::CONTENT_LENGTH).map(str::parse::<usize>);
    match length {
        None => Ok(()),
        Some(Ok(bytes)) if bytes <= BODY_BYTES => Ok(()),
        Some(Ok(_) | Err(_)) => Err(Refusal::TooLarge),
    }
}

fn tab(headers: &HeaderMap, access: &Access) -> Option<Tab> {
    let name = access.cookie_name();
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let cookies = pairs
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter_map(|(found, value)| (found == name).then_some(value))
        .collect::<Vec<_>>();
    let bearer = only(headers, &header::AUTHORIZATION)?.strip_prefix("Bearer ")?;
    access.tab(&cookies, bearer)
}

/// The value of a header that must stand there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok()).flatten()
}
