//! The program `sofa-operator`: what it is told at its start, and what runs in it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use futures::FutureExt;
use kube::runtime::events::Reporter;
use kube::{Client, Config};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::admin::database::Databases;
use crate::admin::direct::Direct;
use crate::admin::proxied::Proxied;
use crate::api::objects::OPERATOR;
use crate::controllers::{self, Admins, Context, Listings, Settings};
use crate::kube_io::{
    Children, Leadership, LeaseConfig, Ledger, Objects, Scope, check_crds, client, give_back, lead,
};
use crate::metrics::Metrics;
use crate::server::{self, Leader, Missing, Shown};
use crate::telemetry::{self, LogFormat};

/// How long the end of what is under way is waited for: the longest command and its status.
const LAST_WORDS: Duration = Duration::from_secs(15);
/// How many watches there are for each part of the scope: of what the operator made, and of its clusters.
const WATCHES: usize = 16;
/// How often what is missing is looked for.
const LOOK: Duration = Duration::from_secs(5);

/// Runs SOFARegistry, DRM and schedulers on Kubernetes.
#[derive(Debug, Clone, Parser)]
#[command(name = "sofa-operator", version)]
pub struct Args {
    /// Namespaces to look after, separated by commas; none: all
    #[arg(long, env = "SOFA_NAMESPACES", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// The operator's own namespace: its lease and the push groups are there
    #[arg(long, env = "SOFA_NAMESPACE", default_value = "sofa-system")]
    namespace: String,
    /// Who this process is, for the lease: another name for each
    #[arg(long, env = "SOFA_IDENTITY")]
    identity: Option<String>,
    /// How log lines look
    #[arg(long, env = "SOFA_LOG_FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,
    /// What is logged: error, warn, info, debug, trace, or module=level
    #[arg(long, env = "SOFA_LOG", default_value = "info")]
    log_level: String,
    /// Where health, figures and plans are shown
    #[arg(long, env = "SOFA_HTTP", default_value = "0.0.0.0:8080")]
    http: SocketAddr,
    /// Seconds between two looks at a cluster at rest
    #[arg(long, env = "SOFA_SLOW_PACE", default_value = "60", value_parser = clap::value_parser!(u64).range(5..=3600))]
    slow_pace: u64,
    /// Milliseconds between two looks at a cluster with something under way
    #[arg(long, env = "SOFA_FAST_PACE", default_value = "1000", value_parser = clap::value_parser!(u64).range(100..=60_000))]
    fast_pace: u64,
    /// How many clusters are looked at at a time, and a quarter more of those that have a new spec
    #[arg(long, env = "SOFA_WORKERS", default_value = "8", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// The name of the lease
    #[arg(long, env = "SOFA_LEASE", default_value = "sofa-operator")]
    lease: String,
    /// How admin ports are reached: straight, or through the API server
    #[arg(long, env = "SOFA_TRANSPORT", value_enum, default_value = "direct")]
    transport: TransportArg,
    /// An HTTP proxy for requests to admin ports
    #[arg(long, env = "SOFA_ADMIN_PROXY")]
    admin_proxy: Option<String>,
}

impl Args {
    fn scope(&self) -> Scope {
        let names: Vec<String> =
            self.namespaces.iter().map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).collect();
        if names.is_empty() { Scope::Everywhere } else { Scope::Namespaces(names) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TransportArg {
    Direct,
    Proxy,
}

/// Runs the operator until it is told to stop.
///
/// # Errors
/// What keeps it from starting.
pub async fn run(args: Args) -> Result<()> {
    let level = telemetry::begin(args.log_format, &args.log_level)?;
    // Another library may have installed it: it is the same one.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let config = Config::infer().await.context("no way to a Kubernetes API server was found")?;
    let way =
        |watches| client(&config, watches).context("the way to the Kubernetes API server cannot be used");
    let client = way(args.scope().parts().len() * WATCHES)?;
    let objects = Objects::new(client.clone());
    let missing = Arc::new(Mutex::new(Missing::default()));
    let metrics = Arc::new(Metrics::default());
    let lease =
        LeaseConfig::new(&args.namespace, &args.lease, &args.identity.clone().unwrap_or_else(identity));
    let (leadership, contending) = lead(client.clone(), lease.clone());
    let admins = match args.transport {
        TransportArg::Direct => Admins::Direct(Direct::new(args.admin_proxy.as_deref())?),
        // Of its own: a pod that is silent holds a request for seconds.
        TransportArg::Proxy => Admins::Proxied(Proxied::new(way(0)?)),
    };
    let (pages, databases) = (Direct::for_pages()?, Arc::default());
    let operator = Operator { args, client, objects, admins, pages, databases, metrics, missing, leadership };
    let stop = CancellationToken::new();
    let listener = TcpListener::bind(operator.args.http)
        .await
        .with_context(|| format!("{} cannot be listened on", operator.args.http))?;
    let serving =
        tokio::spawn(server::serve(listener, operator.shown(level), stop.clone().cancelled_owned()));
    let contending = tokio::spawn(contending);
    let looking = tokio::spawn(operator.clone().look_for_what_is_missing());
    let mut working = std::pin::pin!(operator.clone().work(stop.clone()));
    tokio::select! {
        () = told_to_stop() => {}
        result = &mut working => return result,
    }
    tracing::info!("told to stop: what is under way is finished");
    stop.cancel();
    if tokio::time::timeout(LAST_WORDS, working).await.is_err() {
        tracing::warn!(
            "what is under way was not finished in time: the next operator goes on from the status"
        );
    }
    contending.abort();
    looking.abort();
    if let Err(error) = give_back(operator.client, &lease).await {
        tracing::debug!(%error, "the lease could not be given back");
    }
    serving.await.context("the server of the endpoints")??;
    Ok(())
}

async fn told_to_stop() {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return futures::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// A name for this process that no other one has.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}", host.trim(), std::process::id())
}

#[derive(Clone)]
struct Operator {
    args: Args,
    client: Client,
    objects: Objects,
    admins: Admins,
    pages: Direct,
    databases: Arc<Databases>,
    metrics: Arc<Metrics>,
    missing: Arc<Mutex<Missing>>,
    leadership: Leadership,
}

impl Operator {
    fn note(&self, change: impl FnOnce(&mut Missing)) {
        change(&mut self.missing.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What the endpoints show. Plans are made with caches of their own: none.
    fn shown(&self, level: telemetry::LogLevel) -> Shown {
        let (wake, _nobody) = mpsc::unbounded_channel();
        let children = Arc::new(Children::new(Arc::default(), wake));
        let context = Arc::new(self.context(children, Arc::default()));
        let metrics = Arc::clone(&self.metrics);
        Shown {
            missing: Arc::clone(&self.missing),
            figures: Arc::new(move || metrics.text().unwrap_or_default()),
            explain: Arc::new(move |kind, namespace, name| {
                let context = Arc::clone(&context);
                async move { controllers::explain(&context, kind, &namespace, &name).await }.boxed()
            }),
            level,
        }
    }

    fn context(&self, children: Arc<Children>, ledger: Arc<Ledger>) -> Context {
        let args = &self.args;
        let reporter = Reporter { controller: OPERATOR.to_owned(), instance: args.identity.clone() };
        Context {
            settings: Settings {
                namespace: args.namespace.clone(),
                scope: args.scope(),
                slow_pace: Duration::from_secs(args.slow_pace),
                fast_pace: Duration::from_millis(args.fast_pace),
                workers: args.workers,
            },
            objects: self.objects.clone(),
            children,
            ledger,
            listings: Listings::default(),
            admins: self.admins.clone(),
            databases: Arc::clone(&self.databases),
            pages: self.pages.clone(),
            leadership: self.leadership.clone(),
            reporter,
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// Looks for what is missing, for ever.
    async fn look_for_what_is_missing(self) {
        let mut ticks = tokio::time::interval(LOOK);
        let mut complete = false;
        loop {
            ticks.tick().await;
            self.metrics.leads(self.leadership.leads());
            let leader = if self.leadership.leads() {
                Leader::Us
            } else if self.leadership.is_known() {
                Leader::Another
            } else {
                Leader::Unknown
            };
            self.note(|missing| missing.leader = leader);
            if complete {
                continue;
            }
            let faults: Vec<String> =
                check_crds(&self.objects).await.iter().map(ToString::to_string).collect();
            complete = faults.is_empty();
            for fault in &faults {
                tracing::warn!(fault, "the operator cannot work yet");
            }
            self.note(|missing| missing.crds = Some(faults));
        }
    }

    /// Looks after all clusters while this process leads.
    async fn work(mut self, stop: CancellationToken) -> Result<()> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = self.leadership.gained() => {}
            }
            self.note(|missing| missing.leader = Leader::Us);
            let term = stop.child_token();
            let mut leadership = self.leadership.clone();
            tokio::select! {
                ended = self.term(term.clone()) => ended?,
                () = async {
                    leadership.lost().await;
                    term.cancel();
                    futures::future::pending::<()>().await;
                } => {}
            }
            self.note(|missing| missing.listed = false);
        }
    }

    /// One term of leadership: caches are filled, clusters are looked after until it ends.
    async fn term(&self, end: CancellationToken) -> Result<()> {
        let (wake, woken) = mpsc::unbounded_channel();
        let ledger = Arc::new(Ledger::default());
        let children = Arc::new(Children::new(Arc::clone(&ledger), wake));
        let context = Arc::new(self.context(Arc::clone(&children), ledger));
        let (ready, mut listed) = watch::channel(false);
        let scope = self.args.scope();
        let following = children.follow(&self.client, &scope, ready);
        let working = async {
            // The sender is in `following`, which never ends.
            let _listed = listed.wait_for(|listed| *listed).await;
            self.note(|missing| missing.listed = true);
            controllers::run(context, woken, end.clone()).await;
        };
        tokio::select! {
            () = following => {}
            () = working => {}
            () = async {
                end.cancelled().await;
                tokio::time::sleep(LAST_WORDS).await;
            } => {}
        }
        Ok(())
    }
}
