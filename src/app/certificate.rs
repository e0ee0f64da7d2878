//! Where the HTTPS certificate comes from, and when it is fetched or read again.
//!
//! Owns: [`Source`], and the loops that keep a [`Tls`] supplied: two files that are read when they change, or the node, which
//! gets certificates for its own name and renews them. In: arguments. Out: certificates and failures, told to [`Tls`].
//! Must not know: connections, handshakes.

use crate::{
    cli::RunArgs,
    metrics::Metrics,
    record::Timestamp,
    server::{Tls, Validity},
};
use anyhow::Context as _;
use std::{
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::Notify, time::sleep};

/// How often files are looked at.
const POLL: Duration = Duration::from_secs(1);

/// How often the node is asked at least: it may have got another name, or a certificate that its issuer wants renewed early.
#[cfg(feature = "tailnet")]
const NODE_POLL: Duration = Duration::from_hours(1);

/// Waits after failures in a row grow from the first to the last by this factor. Issuers count failures: the first hour
/// has six.
#[cfg(feature = "tailnet")]
const BACKOFF: (Duration, u32, Duration) = (Duration::from_secs(5), 4, Duration::from_hours(1));

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// Two PEM files.
    Files {
        /// The chain.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// The node.
    Node,
}

impl Source {
    /// What the arguments ask for; none = no HTTPS.
    pub(super) fn of(args: &RunArgs) -> anyhow::Result<Option<Self>> {
        let on_loopback = args.dev_listen.is_some();
        match (&args.tls_cert, &args.tls_key) {
            (Some(_), Some(_)) if on_loopback && args.dev_tls_listen.is_none() => {
                anyhow::bail!("--tls-cert with --dev-listen needs --dev-tls-listen ADDR")
            }
            (Some(certificate), Some(key)) => Ok(Some(Self::Files {
                certificate: certificate.clone(),
                key: key.clone(),
            })),
            _ if args.tls && on_loopback => anyhow::bail!(
                "--tls takes the node's certificate, and with --dev-listen there is no node: give --tls-cert, --tls-key and --dev-tls-listen"
            ),
            _ => Ok(args.tls.then_some(Self::Node)),
        }
    }

    /// The certificate to serve; files must be good at the start.
    pub(super) fn open(&self, metrics: Metrics) -> anyhow::Result<Tls> {
        match self {
            Self::Files { certificate, key } => {
                let tls = Tls::new(certificate.display().to_string(), metrics);
                let validity = read(&tls, certificate, key).context("--tls-cert, --tls-key")?;
                tell(&tls, validity);
                Ok(tls)
            }
            Self::Node => Ok(Tls::new("the node".to_owned(), metrics)),
        }
    }
}

/// Reads the files when they change or when told to, for ever.
pub(super) async fn follow_files(
    tls: Tls,
    certificate: PathBuf,
    key: PathBuf,
    reread: Arc<Notify>,
) {
    // Of what was read at the start nothing is known: a change since then must not be missed.
    let mut seen = None;
    loop {
        let told = tokio::select! {
            () = reread.notified() => true,
            () = sleep(POLL) => false,
        };
        let (tls, files) = (tls.clone(), (certificate.clone(), key.clone()));
        let known = seen;
        let looked = tokio::task::spawn_blocking(move || {
            let stamps = [&files.0, &files.1].map(|file| stamp(file));
            let changed = known.as_ref() != Some(&stamps);
            if told || changed {
                match read(&tls, &files.0, &files.1) {
                    Ok((validity, is_new)) if is_new => tell(&tls, (validity, is_new)),
                    Ok(_) => {}
                    Err(error) => {
                        let why = format!("{error:#}");
                        tracing::error!(error = %why, "https: the last good certificate stays in force");
                        tls.failed(why);
                    }
                }
            }
            stamps
        });
        match looked.await {
            Ok(stamps) => seen = Some(stamps),
            Err(error) => tracing::error!(%error, "https: looking at the certificate failed"),
        }
    }
}

/// Which version of a file this is.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

fn stamp(file: &Path) -> Stamp {
    let metadata = std::fs::metadata(file).ok()?;
    Some((
        metadata.dev(),
        metadata.ino(),
        metadata.len(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    ))
}

/// Reads both files. Blocks.
fn read(tls: &Tls, certificate: &Path, key: &Path) -> anyhow::Result<(Validity, bool)> {
    /// A chain is a few kilobytes.
    const LIMIT: u64 = 1 << 20;
    let bytes = |file: &Path| {
        let read = || {
            let mut bytes = Vec::new();
            io::Read::read_to_end(
                &mut io::Read::take(std::fs::File::open(file)?, LIMIT),
                &mut bytes,
            )?;
            Ok::<_, io::Error>(bytes)
        };
        read().with_context(|| format!("reading {}", file.display()))
    };
    tls.install(&bytes(certificate)?, &bytes(key)?)
        .with_context(|| format!("{}, {}", certificate.display(), key.display()))
}

/// Says which certificate is in force.
fn tell(tls: &Tls, (validity, is_new): (Validity, bool)) {
    if !is_new {
        return;
    }
    let state = tls.state();
    if validity.until <= Timestamp::now() {
        tracing::error!(
            source = %state.source,
            until = %validity.until,
            "https: the certificate has expired; clients will refuse it"
        );
    } else {
        tracing::info!(
            source = %state.source,
            name = %state.name,
            until = %validity.until,
            "https: a certificate is in force"
        );
    }
}

/// When two thirds of a certificate's time are over, which is when issuers recommend to renew, and the third that is left.
#[cfg(feature = "tailnet")]
fn renewal(validity: Validity) -> (Timestamp, Duration) {
    let third = validity.until.0.saturating_sub(validity.from.0) / 3;
    (
        Timestamp(validity.until.0.saturating_sub(third)),
        Duration::from_millis(third),
    )
}

/// Gets the node's certificate and renews it, for ever.
#[cfg(feature = "tailnet")]
pub(super) async fn follow_node(tls: Tls, node: crate::tailnet::Node) {
    use crate::tailnet::NodeState;
    let mut state = node.state();
    let mut failures = 0;
    loop {
        if state
            .wait_for(|now| matches!(now, NodeState::Running | NodeState::Closed))
            .await
            .is_ok_and(|now| *now == NodeState::Closed)
        {
            return;
        }
        let due = tls
            .state()
            .validity
            .map(renewal)
            .is_some_and(|(at, _)| at <= Timestamp::now());
        let pause = match fetch(&tls, &node).await {
            Ok((validity, is_new)) => {
                tell(&tls, (validity, is_new));
                let (at, _) = renewal(validity);
                let left = at.0.saturating_sub(Timestamp::now().0);
                match left {
                    // The node had an old one: renew it now. One that was just renewed and is due again is a failure.
                    0 if !due => Duration::ZERO,
                    0 => {
                        failures += 1;
                        backoff(failures)
                    }
                    _ => {
                        failures = 0;
                        Duration::from_millis(left).min(NODE_POLL)
                    }
                }
            }
            Err(why) => {
                failures += 1;
                let pause = backoff(failures);
                tracing::error!(error = %why, again_in_s = pause.as_secs(), "https: no certificate from the node");
                tls.failed(why);
                pause
            }
        };
        sleep(pause).await;
    }
}

/// Asks the node for the certificate of its own name, and for a new one when it is time.
#[cfg(feature = "tailnet")]
async fn fetch(tls: &Tls, node: &crate::tailnet::Node) -> Result<(Validity, bool), String> {
    let status = node.status().await.map_err(|error| error.to_string())?;
    let domains = status.cert_domains.unwrap_or_default();
    let own = status
        .own
        .map(|own| own.dns_name.trim_end_matches('.').to_owned())
        .unwrap_or_default();
    let domain = domains
        .iter()
        .find(|domain| **domain == own)
        .or_else(|| domains.first())
        .ok_or(
            "the tailnet gives no certificates: turn on HTTPS in the admin console (DNS page)",
        )?;
    let known = tls.state();
    // Nothing is known of another name's certificate, nor at the start: whatever the node has will do for now.
    let third = known
        .validity
        .filter(|_| known.name == *domain)
        .map(|validity| renewal(validity).1);
    let pair = node
        .certificate(domain, third)
        .await
        .map_err(|error| error.to_string())?;
    tls.describe(format!("the node, for {domain}"), domain);
    tls.install(pair.chain.as_bytes(), pair.key.expose().as_bytes())
        .map_err(|error| error.to_string())
}

#[cfg(feature = "tailnet")]
fn backoff(failures: u32) -> Duration {
    let (first, factor, last) = BACKOFF;
    first
        .saturating_mul(factor.saturating_pow(failures.saturating_sub(1)))
        .min(last)
}

#[cfg(all(test, feature = "tailnet"))]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_an_hour() {
        let waits: Vec<_> = (1..=7).map(|n| backoff(n).as_secs()).collect();
        assert_eq!(waits, [5, 20, 80, 320, 1280, 3600, 3600]);
        assert_eq!(backoff(u32::MAX).as_secs(), 3600);
    }

    #[test]
    fn a_third_before_the_end_it_is_time() {
        let validity = Validity {
            from: Timestamp(0),
            until: Timestamp(90_000),
        };
        let (at, third) = renewal(validity);
        assert_eq!((at.0, third.as_secs()), (60_000, 30));
    }
}
