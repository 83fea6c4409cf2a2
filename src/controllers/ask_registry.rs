//! What a registry says: its servers, the push switches of its other sites, its push group and the record of its first start.
//!
//! All servers are asked at once, each its questions one after the other; a server that does not answer the first one is not
//! asked the others. What was not heard is unknown and never a pass.

use std::collections::BTreeSet;

use futures::future::join_all;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde_json::Value;

use super::clock::now;
use super::context::Context;
use super::gather::{ANSWER_LIMIT, heard, port, server};
use crate::admin::answer::Answer;
use crate::admin::registry::wire::PushSwitch;
use crate::admin::registry::{v5, v6};
use crate::admin::transport::{Call, Content, Method, Server};
use crate::api::v1alpha1::{ClusterStatus, PushGroup, PushState, RegistryCluster, RegistrySite, Role};
use crate::kube_io::{KubeError, kind};
use crate::observe::{
    Actor, Fact, GroupView, Heard, Question, RegistryWorld, Speech, Told, Unknown, askable, genesis_name,
    note_told, orphaned_ids,
};
use crate::types::DnsLabel;
use crate::validate::{Identity, ValidCluster, ValidRegistry};

/// The record of the first start.
pub(super) async fn first_start(
    context: &Context,
    identity: &Identity,
) -> Result<Option<ConfigMap>, KubeError> {
    let records = Api::<ConfigMap>::namespaced(context.objects.client().clone(), &identity.namespace);
    Ok(records.get_opt(&genesis_name(&identity.name)).await?)
}

/// Asks every server that may answer all that is to be asked of it.
pub(super) async fn ask_all(context: &Context, valid: &ValidRegistry, world: &mut RegistryWorld) {
    let speech = Speech::from(valid.membership);
    let asked = askable(world).into_iter().map(|(member, address)| async move {
        let at = now();
        let told = ask(context, &server(valid, member, address), member.role, speech).await;
        (member, told, at)
    });
    for (member, told, at) in join_all(asked).await {
        let heard = Heard { told: &told, data_center: valid.data_center.as_str(), at };
        note_told(world, member, speech, &heard);
    }
    world.orphaned_ids = orphaned_ids(world, speech);
}

async fn ask(context: &Context, server: &Server, role: Role, speech: Speech) -> Told {
    let mut told = Told::new();
    while let Some(question) = Question::next(role, speech, &told) {
        let call = Call {
            to: server,
            method: Method::Get,
            path: question.path(role),
            content: Content::Fields(question.query()),
            limit: ANSWER_LIMIT,
        };
        told.insert(question, heard(context, call).await);
    }
    told
}

/// The push switches of the sites that are closed together with this cluster.
pub(super) async fn ask_sites(context: &Context, valid: &ValidRegistry, world: &mut RegistryWorld) {
    let closed_too = valid.remote_sites.iter().filter(|site| site.close_push == Some(true));
    let asked = closed_too.map(|site| async move {
        let at = now();
        let switch = ask_site(context, valid, site).await;
        let fact = match switch {
            Ok(switch) => Fact::known(switch, at),
            Err(why) => Fact::unknown(why, at),
        };
        (site.name.clone(), fact)
    });
    world.sites = join_all(asked).await.into_iter().collect();
}

/// The first meta of a site that tells.
async fn ask_site(
    context: &Context,
    valid: &ValidRegistry,
    site: &RegistrySite,
) -> Result<PushSwitch, Unknown> {
    let mut last = Unknown::NotAsked;
    for server in site_servers(valid, site) {
        let call = Call {
            to: &server,
            method: Method::Get,
            path: Question::Push.path(Role::Meta),
            content: Content::Fields(&[]),
            limit: ANSWER_LIMIT,
        };
        match heard(context, call).await {
            Ok(answer) => match push_switch(&answer, Speech::from(valid.membership)) {
                Some(switch) => return Ok(switch),
                None => last = Unknown::Unreadable,
            },
            Err(why) => last = why,
        }
    }
    Err(last)
}

fn push_switch(answer: &Answer, speech: Speech) -> Option<PushSwitch> {
    match speech {
        Speech::Raft => v5::push_switch(answer).ok(),
        Speech::Database => v6::push_switch(answer).ok().map(|p| p.global),
    }
}

/// The metas of a site, as its spec names them.
pub(super) fn site_servers(valid: &impl ValidCluster, site: &RegistrySite) -> Vec<Server> {
    let addresses = site.meta_addresses.iter().flatten();
    addresses
        .map(|address| {
            let (host, given) = address.as_str().split_once(':').unwrap_or((address.as_str(), ""));
            let port = given.parse().unwrap_or_else(|_| port(valid, Role::Meta, "http"));
            Server { pod: None, host: host.to_owned(), port }
        })
        .collect()
}

/// The object of a push group. It is in the operator's own namespace.
pub(super) async fn push_group(context: &Context, group: &DnsLabel) -> Result<Option<PushGroup>, KubeError> {
    let groups = Api::<PushGroup>::namespaced(context.objects.client().clone(), &context.settings.namespace);
    Ok(groups.get_opt(group.as_str()).await?)
}

/// The push group that counts for a cluster now: the one for which push was closed, else that of the spec.
pub(super) async fn ask_group(
    context: &Context,
    valid: &ValidRegistry,
    status: &ClusterStatus,
    world: &mut RegistryWorld,
) {
    let held = status.push.as_ref().and_then(|push| push.group.as_ref());
    let Some(group) = held.or(valid.push_group.as_ref()) else { return };
    let at = now();
    let read = async {
        let object = push_group(context, group).await?;
        let not_closed = not_closed(context, valid, group).await?;
        Ok::<_, KubeError>((object, not_closed))
    };
    world.group = Some(match read.await {
        Ok((object, not_closed)) => {
            Fact::known(group_view(object.as_ref(), &valid.common.identity.uid, not_closed), at)
        }
        Err(_) => Fact::unknown(Unknown::TimedOut, at),
    });
}

fn group_view(object: Option<&PushGroup>, uid: &str, not_closed: BTreeSet<String>) -> GroupView {
    let spec = object.map(|o| &o.spec);
    let holders = spec.map(|s| s.holders.as_slice()).unwrap_or_default();
    GroupView {
        we_hold: holders.iter().any(|h| h.uid == uid),
        others_hold: holders.iter().any(|h| h.uid != uid),
        actor: match spec.and_then(|s| s.actor.as_ref()) {
            None => Actor::Nobody,
            Some(actor) if actor.uid == uid => Actor::Us,
            Some(_) => Actor::Other,
        },
        not_closed,
    }
}

/// The other clusters of a group that do not report push as closed on every SessionServer. One without sessions has no push.
async fn not_closed(
    context: &Context,
    valid: &ValidRegistry,
    group: &DnsLabel,
) -> Result<BTreeSet<String>, KubeError> {
    let kind = kind::<RegistryCluster>();
    let mut found = BTreeSet::new();
    for part in context.settings.scope.parts() {
        for other in context.objects.list(&kind, part.as_deref().unwrap_or_default(), "").await? {
            let text = |pointer: &str| other.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let is_of = [text("/spec/pushGroup"), text("/status/push/group")].contains(&group.as_str());
            if !is_of || text("/metadata/uid") == valid.common.identity.uid {
                continue;
            }
            let status: ClusterStatus =
                other.get("status").cloned().and_then(|s| serde_json::from_value(s).ok()).unwrap_or_default();
            let serves = status.members.iter().any(|m| m.role == Role::Session && m.pod_uid.is_some());
            let closed = status.push.is_some_and(|push| push.state == PushState::Closed);
            if serves && !closed {
                found.insert(format!("{}/{}", text("/metadata/namespace"), text("/metadata/name")));
            }
        }
    }
    Ok(found)
}
