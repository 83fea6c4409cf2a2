//! Leadership by a Lease: one operator acts at a time.
//!
//! Election is for order, not for safety: every write of a status carries the resourceVersion that was read. Admin commands
//! know no such fence, so one is sent only while the lease cannot have run out before the command has: the holder's last
//! renewal, counted from before it was sent by the holder's own clock, is compared with the lease's length. Others take the
//! lease over only when it has not changed for its whole length by their own clock: no two clocks are ever compared.
//!
//! Of our own, and not `kube-lease-manager`: that tells only whether one leads, not since when the lease was last renewed.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Which lease, and whose.
#[derive(Debug, Clone)]
pub struct LeaseConfig {
    /// The namespace of the operator.
    pub namespace: String,
    /// The name of the lease.
    pub name: String,
    /// Who we are: another one for each process.
    pub identity: String,
    /// How long a lease lasts that is not renewed.
    pub length: Duration,
    /// How often it is renewed, or looked at.
    pub period: Duration,
}

impl LeaseConfig {
    /// The usual lengths of Kubernetes' own controllers.
    #[must_use]
    pub fn new(namespace: &str, name: &str, identity: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity: identity.to_owned(),
            length: Duration::from_secs(15),
            period: Duration::from_secs(2),
        }
    }
}

/// Where a lease stands for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is ours: renew it.
    Ours,
    /// Nobody's, or one that was not renewed for its whole length: take it.
    Free,
    /// Somebody else's.
    Theirs,
}

/// Where a lease stands. `unchanged_for`: how long it has been seen as it is, by our clock.
#[must_use]
pub fn evaluate(lease: Option<&LeaseSpec>, me: &str, unchanged_for: Duration) -> Standing {
    let Some(lease) = lease else { return Standing::Free };
    match lease.holder_identity.as_deref() {
        None | Some("") => Standing::Free,
        Some(holder) if holder == me => Standing::Ours,
        Some(_) => {
            let seconds = u64::try_from(lease.lease_duration_seconds.unwrap_or_default()).unwrap_or_default();
            let length = Duration::from_secs(seconds);
            if unchanged_for > length { Standing::Free } else { Standing::Theirs }
        }
    }
}

/// Whether we lead, and since when that was last made sure.
#[derive(Debug, Clone)]
pub struct Leadership {
    known: watch::Receiver<bool>,
    renewed: watch::Receiver<Option<Instant>>,
    length: Duration,
}

impl Leadership {
    /// Whether we lead.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.may_take(Duration::ZERO)
    }

    /// Whether what takes at most so long is over before anybody else can lead.
    #[must_use]
    pub fn may_take(&self, span: Duration) -> bool {
        let renewed = *self.renewed.borrow();
        renewed.is_some_and(|at| at.elapsed() + span < self.length)
    }

    /// Whether it is known who leads.
    #[must_use]
    pub fn is_known(&self) -> bool {
        *self.known.borrow()
    }

    /// Waits until we lead.
    pub async fn gained(&mut self) {
        // The sender lives as long as the program.
        let _gained = self.renewed.wait_for(Option::is_some).await;
    }

    /// Waits until we no longer lead.
    pub async fn lost(&mut self) {
        let _lost = self.renewed.wait_for(Option::is_none).await;
    }
}

/// What was seen of a lease, and since when it is as it is.
struct Seen {
    version: Option<String>,
    since: Instant,
}

/// Contends for the lease for ever. The future that comes with the leadership has to be run.
pub fn lead(client: Client, config: LeaseConfig) -> (Leadership, impl Future<Output = ()>) {
    let (sender, renewed) = watch::channel(None);
    let (tell, known) = watch::channel(false);
    let leadership = Leadership { known, renewed, length: config.length };
    (leadership, contend(client, config, sender, tell))
}

async fn contend(
    client: Client,
    config: LeaseConfig,
    sender: watch::Sender<Option<Instant>>,
    known: watch::Sender<bool>,
) {
    let leases: Api<Lease> = Api::namespaced(client, &config.namespace);
    let mut ticks = interval(config.period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = Seen { version: None, since: Instant::now() };
    loop {
        ticks.tick().await;
        let started = Instant::now();
        let turn = timeout(config.period * 2, once(&leases, &config, &mut seen)).await;
        known.send_replace(matches!(turn, Ok(Ok(_))));
        let lost = match turn {
            Ok(Ok(true)) => {
                let before = sender.send_replace(Some(started));
                if before.is_none() {
                    tracing::info!(lease = config.name, identity = config.identity, "this operator leads");
                }
                false
            }
            Ok(Ok(false)) => true,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the lease could not be read or renewed");
                !held(&sender, config.length)
            }
            Err(_) => {
                tracing::debug!("the lease was not answered in time");
                !held(&sender, config.length)
            }
        };
        if lost && sender.send_replace(None).is_some() {
            tracing::info!(lease = config.name, "this operator leads no longer");
        }
    }
}

/// Whether the lease that we last renewed can still be ours.
fn held(sender: &watch::Sender<Option<Instant>>, length: Duration) -> bool {
    sender.borrow().is_some_and(|at| at.elapsed() < length)
}

/// One look, and what follows from it. Whether the lease is ours afterwards.
async fn once(leases: &Api<Lease>, config: &LeaseConfig, seen: &mut Seen) -> Result<bool, kube::Error> {
    let present = leases.get_opt(&config.name).await?;
    let version = present.as_ref().and_then(ResourceExt::resource_version);
    if version != seen.version {
        *seen = Seen { version, since: Instant::now() };
    }
    let spec = present.as_ref().and_then(|l| l.spec.as_ref());
    let standing = evaluate(spec, &config.identity, seen.since.elapsed());
    if standing == Standing::Theirs {
        return Ok(false);
    }
    let wanted = next(present.as_ref(), config, standing);
    let written = match present {
        None => leases.create(&PostParams::default(), &wanted).await,
        Some(_) => leases.replace(&config.name, &PostParams::default(), &wanted).await,
    };
    match written {
        Ok(lease) => {
            *seen = Seen { version: lease.resource_version(), since: Instant::now() };
            Ok(true)
        }
        // Another one was faster.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

fn next(present: Option<&Lease>, config: &LeaseConfig, standing: Standing) -> Lease {
    let old = present.and_then(|l| l.spec.clone()).unwrap_or_default();
    let now = MicroTime(now());
    let taken = standing == Standing::Free;
    Lease {
        metadata: present.map_or_else(
            || ObjectMeta {
                name: Some(config.name.clone()),
                namespace: Some(config.namespace.clone()),
                ..ObjectMeta::default()
            },
            |lease| lease.metadata.clone(),
        ),
        spec: Some(LeaseSpec {
            holder_identity: Some(config.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(config.length.as_secs()).unwrap_or(i32::MAX)),
            acquire_time: if taken { Some(now.clone()) } else { old.acquire_time },
            lease_transitions: Some(
                old.lease_transitions.unwrap_or_default() + i32::from(taken && present.is_some()),
            ),
            renew_time: Some(now),
            ..old
        }),
    }
}

/// The wall clock: for people who read the lease. Nothing is decided by it.
fn now() -> Timestamp {
    Timestamp::now()
}

/// Gives the lease back, so that the next operator need not wait.
///
/// # Errors
/// What the API server says.
pub async fn give_back(client: Client, config: &LeaseConfig) -> Result<(), kube::Error> {
    let leases: Api<Lease> = Api::namespaced(client, &config.namespace);
    let Some(mut lease) = leases.get_opt(&config.name).await? else { return Ok(()) };
    let Some(spec) = lease.spec.as_mut().filter(|s| s.holder_identity.as_deref() == Some(&config.identity))
    else {
        return Ok(());
    };
    spec.holder_identity = None;
    leases.replace(&config.name, &PostParams::default(), &lease).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn whose_a_lease_is() {
        let short = Duration::from_secs(1);
        assert_eq!(evaluate(None, "a", short), Standing::Free);
        assert_eq!(evaluate(Some(&held_by("a")), "a", Duration::from_hours(1)), Standing::Ours);
        assert_eq!(evaluate(Some(&held_by("b")), "a", short), Standing::Theirs);
        assert_eq!(evaluate(Some(&held_by("b")), "a", Duration::from_secs(15)), Standing::Theirs);
        assert_eq!(evaluate(Some(&held_by("b")), "a", Duration::from_secs(16)), Standing::Free);
        assert_eq!(evaluate(Some(&held_by("")), "a", short), Standing::Free, "it was given back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_is_sent_only_if_it_ends_before_the_lease_can() {
        let (sender, renewed) = watch::channel(Some(Instant::now()));
        let (_, known) = watch::channel(true);
        let leadership = Leadership { known, renewed, length: Duration::from_secs(15) };
        assert!(leadership.may_take(Duration::from_secs(10)));
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(!leadership.may_take(Duration::from_secs(10)));
        assert!(leadership.leads());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(!leadership.leads(), "nobody has renewed it");
        sender.send_replace(Some(Instant::now()));
        assert!(leadership.may_take(Duration::from_secs(10)));
    }
}
