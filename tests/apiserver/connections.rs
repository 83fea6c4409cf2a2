//! How many connections the operator's client has to a real API server.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ListParams, WatchParams};
use kube::{Api, Config};
use sofa_operator::kube_io::client;

/// More than the API server answers at a time on one connection.
const WATCHES: usize = 120;
const REQUESTS: usize = 300;
/// Three for the watches, one for all else.
const CONNECTIONS: usize = 4;
/// How soon those are gone that were opened before it was known that one does.
const LIMIT: Duration = Duration::from_secs(20);
/// The states of a TCP connection in `/proc/net/tcp`: it is there.
const ESTABLISHED: &str = "01";

/// With more watches open than fit on a connection, hundreds of requests at a time are answered, on a handful of connections.
pub(crate) async fn few(config: &Config) -> Result<()> {
    let port = config.cluster_url.port_u16().context("the address of the API server has no port")?;
    let before = connections(port)?;
    let namespaces: Api<Namespace> = Api::all(client(config, WATCHES)?);
    let params = WatchParams::default();
    let work = async {
        let watches = try_join_all((0..WATCHES).map(|_| namespaces.watch(&params, "0"))).await?;
        let list = ListParams::default();
        try_join_all((0..REQUESTS).map(|_| namespaces.list(&list))).await?;
        Ok::<_, kube::Error>(watches)
    };
    let _watches = tokio::time::timeout(LIMIT, work).await.context("not all are answered")??;
    let since = Instant::now();
    loop {
        let ours = connections(port)?.difference(&before).count();
        if (1..=CONNECTIONS).contains(&ours) {
            return Ok(());
        }
        ensure!(since.elapsed() < LIMIT, "{ours} connections");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The connections of this process to a port, by their inodes.
fn connections(port: u16) -> Result<BTreeSet<u64>> {
    let own: BTreeSet<u64> = fs::read_dir("/proc/self/fd")?
        .filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .collect();
    let to_port = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (remote, state, inode) = (fields.get(2)?, fields.get(3)?, fields.get(9)?.parse().ok()?);
        let is_there = *state == ESTABLISHED && own.contains(&inode);
        (is_there && remote.ends_with(&format!(":{port:04X}"))).then_some(inode)
    };
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(fs::read_to_string);
    Ok(tables.into_iter().flatten().flat_map(|t| t.lines().filter_map(to_port).collect::<Vec<_>>()).collect())
}
