//! A witness: it writes down what really happens to the pods, to push and to the peers of the metas while a story plays, and
//! judges it by the contract at the end (`verdict.rs`). It knows nothing of what the operator believes but what its status says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod as KubePod};
use kube::api::ListParams;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::field::{Field, SERVERS};
use crate::harness::{Reply, eventually, is_ready};
use crate::verdict::{self, Moment, Pod, Stop, Told, role};

/// How often it looks; the peers and volumes of the metas, which change slowly, every so many looks.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS_AT_METAS: u32 = 3;
/// How long an answer may take: the API server waits for half a minute for a pod that has just gone, and nothing would be seen
/// meanwhile.
const ANSWER: Duration = Duration::from_secs(2);
/// `verdict::role` of a SessionServer and of a MetaServer.
const SESSION: usize = 2;
const META: usize = 0;

/// It watches until it is asked.
pub(crate) struct Witness {
    log: Arc<Mutex<Vec<Moment>>>,
    task: JoinHandle<()>,
    cluster: &'static str,
}

impl Witness {
    /// Begins to watch.
    pub(crate) fn of(field: &Field) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(watch(field.clone(), Arc::clone(&log)));
        Self { log, task, cluster: field.cluster }
    }

    /// What was stopped, in order.
    pub(crate) fn stops(&self) -> Vec<Stop> {
        verdict::stops(self.cluster, &self.log.lock().expect("a log"))
    }

    /// Waits until a server is stopped.
    pub(crate) async fn first_stop(&self, field: &Field, within: Duration) -> Result<()> {
        eventually("the first server is stopped", within, async || {
            if !self.stops().is_empty() {
                return Ok(());
            }
            bail!("{}", field.summary().await)
        })
        .await
    }

    /// Ends the watch and judges: nothing of the contract was broken that can be seen from outside.
    pub(crate) fn judge(self) -> Result<Vec<Stop>> {
        self.task.abort();
        let log = self.log.lock().expect("a log");
        let broken = verdict::judge(self.cluster, &log);
        ensure!(broken.is_empty(), "{broken:#?}\n{}", verdict::tell(&log));
        Ok(verdict::stops(self.cluster, &log))
    }

    /// The same of a restart of all servers: each was stopped once.
    pub(crate) fn judge_restart(self) -> Result<Vec<Stop>> {
        let log = Arc::clone(&self.log);
        let stops = self.judge()?;
        let told = || verdict::tell(&log.lock().expect("a log"));
        ensure!(stops.len() == SERVERS, "{} stops of {SERVERS} servers\n{}", stops.len(), told());
        Ok(stops)
    }
}

async fn watch(field: Field, log: Arc<Mutex<Vec<Moment>>>) {
    let began = Instant::now();
    let mut now = Moment::default();
    for look in 0_u32.. {
        // What is not known is not written down: nothing is known of a moment without an answer.
        if see(&field, &mut now, look.is_multiple_of(LOOKS_AT_METAS)).await.is_ok() {
            now.at = began.elapsed();
            let mut log = log.lock().expect("a log");
            let same = |last: &Moment| Moment { at: now.at, ..last.clone() } == now;
            if !log.last().is_some_and(same) {
                log.push(now.clone());
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// One look. The object first: what it says was written down before what the pods then show.
async fn see(field: &Field, now: &mut Moment, metas_too: bool) -> Result<()> {
    let object = timeout(ANSWER, field.object()).await??;
    let pods = timeout(ANSWER, field.ground.pods().list(&ListParams::default())).await??.items;
    now.told = told(&object);
    now.pods = pods.iter().filter_map(|p| seen(field.cluster, p)).collect();
    let working = |wanted: usize| -> Vec<String> {
        let of_role = now.pods.iter().filter(|(name, _)| role(field.cluster, name) == Some(wanted));
        of_role.filter(|(_, pod)| pod.ready).map(|(name, _)| name.clone()).collect()
    };
    let (sessions, metas) = (working(SESSION), working(META));
    now.closed.retain(|name, _| sessions.contains(name));
    for session in sessions {
        match is_closed(field, &session).await {
            Some(closed) => now.closed.insert(session, closed),
            None => now.closed.remove(&session),
        };
    }
    if metas_too {
        if let Some(peers) = peers(field, &metas).await {
            now.peers = peers;
        }
        let claims = timeout(ANSWER, field.ground.claims().list(&ListParams::default())).await??.items;
        now.blank =
            if now.peers.is_empty() { BTreeSet::new() } else { blank(field.cluster, &now.pods, &claims) };
    }
    Ok(())
}

fn seen(cluster: &str, pod: &KubePod) -> Option<(String, Pod)> {
    let name = pod.metadata.name.clone().filter(|name| role(cluster, name).is_some())?;
    let seen = Pod {
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        stopping: pod.metadata.deletion_timestamp.is_some(),
        ready: is_ready(pod),
        address: pod.status.as_ref().and_then(|s| s.pod_ip.clone()),
    };
    Some((name, seen))
}

fn told(object: &Value) -> Told {
    let (spec, status) = (&object["spec"], &object["status"]);
    let (rollout, push) = (&status["rollout"], &status["push"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let texts = |list: &Value, field: &str| -> BTreeSet<String> {
        list.as_array().into_iter().flatten().map(|item| text(&item[field])).collect()
    };
    let steps = rollout["steps"].as_array().into_iter().flatten();
    let waits = status["waitingOn"].as_array().is_some_and(|waits| !waits.is_empty());
    Told {
        generation: object["metadata"]["generation"].as_u64().unwrap_or_default(),
        paused: spec["paused"] == true,
        hold: spec["push"]["hold"] == true,
        present: status["observedGeneration"] == object["metadata"]["generation"],
        rollout: text(&rollout["id"]),
        state: text(&rollout["state"]),
        done: steps.flat_map(|s| s["done"].as_array().into_iter().flatten()).map(text).collect(),
        act: rollout["act"]["kind"]
            .as_str()
            .map(|k| (k.to_owned(), texts(&rollout["act"]["targets"], "podUid"))),
        waits: waits || rollout["halted"].is_string(),
        owner: push["owner"].as_str().map(str::to_owned),
        says_why: push["why"].is_string(),
        incident: status["incident"].is_object(),
    }
}

/// What a server answers, if it does so in time.
async fn ask(field: &Field, pod: &str, port: u16, path: &str) -> Option<Reply> {
    let reply = timeout(ANSWER, field.ground.get(pod, port, path)).await.ok()?;
    reply.ok().filter(|r| r.status == 200)
}

async fn is_closed(field: &Field, session: &str) -> Option<bool> {
    let said = ask(field, session, 9603, "/digest/pushSwitch").await?;
    Some(said.body.contains("closed") || said.json()["stopPush"] == "true")
}

/// The peers of the first meta that leads. What it is asked is its own raft configuration, which needs no store.
async fn peers(field: &Field, metas: &[String]) -> Option<BTreeSet<String>> {
    for meta in metas {
        let Some(health) = ask(field, meta, 9615, "/health/check").await else { continue };
        if health.body.contains("raftStatus:Leader") {
            return serde_json::from_str(&ask(field, meta, 9615, "/manage/queryPeer").await?.body).ok();
        }
    }
    None
}

/// Metas whose process may run and whose volume no member's mark is on.
fn blank(cluster: &str, pods: &BTreeMap<String, Pod>, claims: &[PersistentVolumeClaim]) -> BTreeSet<String> {
    let marked = |pod: &str| {
        let claim = format!("home-{pod}");
        let found = claims.iter().find(|c| c.metadata.name.as_deref() == Some(&claim));
        found
            .and_then(|c| c.metadata.annotations.as_ref()?.get("middleware.sofastack.io/raft-member"))
            .is_some()
    };
    let runs = pods.iter().filter(|(name, p)| role(cluster, name) == Some(META) && p.address.is_some());
    runs.map(|(name, _)| name).filter(|name| !marked(name)).cloned().collect()
}
