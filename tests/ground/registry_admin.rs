//! The admin endpoints of a hand-made SOFARegistry, as far as the stories of the ground read and call them.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::harness::{Ground, Reply, eventually, seconds};

pub(crate) const META: u16 = 9615;
pub(crate) const DATA: u16 = 9622;
pub(crate) const SESSION: u16 = 9603;

impl Ground {
    /// What a MetaServer says of its part in the raft group: `Leader`, `Follower`, or an error with the whole answer.
    pub(crate) async fn raft_status(&self, meta: &str) -> Result<String> {
        let reply = self.get(meta, META, "/health/check").await?;
        match reply.json()["message"].as_str().and_then(|m| m.rsplit_once("raftStatus:")) {
            Some((_, status)) if reply.status == 200 => Ok(status.to_owned()),
            _ => bail!("{meta}: {} {}", reply.status, reply.body),
        }
    }

    /// The peers by a MetaServer's own configuration.
    pub(crate) async fn peers(&self, meta: &str) -> Result<BTreeSet<String>> {
        let reply = self.get(meta, META, "/manage/queryPeer").await?;
        Ok(serde_json::from_str(&reply.body)?)
    }

    /// `changePeer` or `resetPeer`: a failure comes as 200 with `success: false`.
    pub(crate) async fn set_peers(&self, meta: &str, call: &str, addresses: &[&str]) -> Result<()> {
        let form = format!("ipAddressList={}", addresses.join(","));
        succeeded(&self.post_form(meta, META, &format!("/manage/{call}"), &form).await?)
    }

    /// Opens or closes push. The server's words are about the STOP switch: `open` there closes push. Asking twice is
    /// harmless, and on a busy machine the metas may be without a leader for a moment: then 5.x answers 500.
    pub(crate) async fn switch_push(&self, meta: &str, open: bool) -> Result<()> {
        let word = if open { "close" } else { "open" };
        eventually(&format!("{meta} takes the push switch"), seconds(30), async || {
            succeeded(&self.get(meta, META, &format!("/stopPushDataSwitch/{word}")).await?)
        })
        .await
    }

    /// The one of `metas` that leads its raft group.
    pub(crate) async fn raft_leader<'a>(&self, metas: &[&'a str]) -> Result<&'a str> {
        eventually("a meta leads", seconds(30), async || {
            for meta in metas {
                if self.raft_status(meta).await? == "Leader" {
                    return Ok(*meta);
                }
            }
            bail!("none of {metas:?}")
        })
        .await
    }

    /// `/digest/pushSwitch` of a MetaServer (9615) or SessionServer (9603).
    pub(crate) async fn push_switch(&self, pod: &str, port: u16) -> Result<Value> {
        let reply = self.get(pod, port, "/digest/pushSwitch").await?;
        if reply.status != 200 {
            bail!("{pod}: {} {}", reply.status, reply.body.lines().next().unwrap_or_default());
        }
        Ok(reply.json())
    }

    /// Joins the MetaServer on `address` to the group by `changePeer` at `member`, and waits until it follows.
    pub(crate) async fn join(&self, member: &str, addresses: &[&str], joined: &str) -> Result<()> {
        eventually(&format!("{joined} joins"), seconds(30), async || {
            self.set_peers(member, "changePeer", addresses).await
        })
        .await?;
        eventually(&format!("{joined} follows"), seconds(20), async || self.raft_status(joined).await)
            .await?;
        Ok(())
    }
}

fn succeeded(reply: &Reply) -> Result<()> {
    if reply.status == 200 && reply.json()["success"] == true {
        return Ok(());
    }
    bail!("{} {}", reply.status, reply.body)
}
