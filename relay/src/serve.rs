//! `assent-relay serve`: a relay from start to signal.

use tracing::{info, warn};

use crate::{
    cli,
    config::RelayConfig,
    error::RelayError,
    os::{self, ReloadSignals, StopSignals},
    relay::Relay,
    report::Report,
};

/// How long a slow reader of `--json` may take for the last lines.
const LAST_LINES: std::time::Duration = std::time::Duration::from_secs(1);

/// Open files besides connections over TCP: sockets, logs, and those who read metrics.
const OTHER_FILES: u64 = 256;

/// Runs a relay until it is told to stop by signals.
pub(crate) async fn serve(config: RelayConfig, json: bool) -> Result<(), RelayError> {
    let mut signals = StopSignals::listen().map_err(RelayError::System)?;
    let certificate = config.tcp.as_ref().is_some_and(|tcp| tcp.certificate.is_some());
    let mut reloads = ReloadSignals::listen_if(certificate).map_err(RelayError::System)?;
    let (report, writer) = if json {
        let (report, writer) = Report::to(tokio::io::stdout());
        (report, Some(writer))
    } else {
        (Report::off(), None)
    };
    let writer = async {
        if let Some(writer) = writer {
            writer.await;
        }
    };
    if let Some(tcp) = &config.tcp {
        let wanted = tcp.max as u64 + OTHER_FILES;
        let allowed = os::allow_open_files(wanted);
        if allowed < wanted {
            warn!(
                allowed,
                "the system allows fewer open files than max_tcp = {} needs; raise the limit (LimitNOFILE in systemd) or lower max_tcp",
                tcp.max
            );
        }
    }
    let relay = async {
        let relay = Relay::start_reporting(&config, report).await?;
        if !json {
            cli::print(format!("{}\n", relay.link()).as_bytes())?;
        }
        let stopping = async {
            signals.next().await;
            info!("told to stop; sessions have {} s to end", config.drain.as_secs());
            relay.drain();
            signals.next().await;
            warn!("told to stop at once");
            relay.stop_now();
            std::future::pending::<()>().await;
        };
        let reloading = async {
            loop {
                reloads.next().await;
                match relay.renew_certificate().await {
                    Ok(()) => info!("read the certificate for TCP again"),
                    Err(error) => warn!(%error, "the certificate for TCP stays as it was"),
                }
            }
        };
        tokio::select! {
            () = stopping => Ok(()),
            () = reloading => Ok(()),
            result = relay.ended() => result,
        }
    };
    let (mut writer, mut relay) = (std::pin::pin!(writer), std::pin::pin!(relay));
    let result = tokio::select! {
        result = &mut relay => result,
        // Nobody reads any more, or nothing is to be read: the relay goes on without.
        () = &mut writer => return relay.await,
    };
    // The lines that are still queued; whoever does not read them must not keep the relay from ending.
    let _ = tokio::time::timeout(LAST_LINES, writer).await;
    result
}
