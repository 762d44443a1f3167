//! Metrics and health over HTTP, on an address of their own.

use std::{io, net::SocketAddr};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::actor::{Health, RelayHandle};

/// Serves until `stop`.
///
/// Every answer comes from the relay's actor, so a relay that hangs does not pass for a healthy one.
pub(crate) async fn serve(listener: TcpListener, relay: RelayHandle, stop: CancellationToken) -> io::Result<()> {
    let pages = Router::new().route("/metrics", get(metrics)).route("/healthz", get(healthz)).with_state(relay);
    axum::serve(listener, pages).with_graceful_shutdown(stop.cancelled_owned()).await
}

/// Binds the address.
pub(crate) async fn bind(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

async fn metrics(State(relay): State<RelayHandle>) -> impl IntoResponse {
    match relay.metrics().await {
        Some(text) => (StatusCode::OK, [(header::CONTENT_TYPE, TEXT)], text),
        None => (StatusCode::SERVICE_UNAVAILABLE, [(header::CONTENT_TYPE, TEXT)], "stopped\n".to_owned()),
    }
}

async fn healthz(State(relay): State<RelayHandle>) -> (StatusCode, &'static str) {
    match relay.health().await {
        Some(Health::Serving) => (StatusCode::OK, "ok\n"),
        Some(Health::Draining) => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        None => (StatusCode::SERVICE_UNAVAILABLE, "stopped\n"),
    }
}
