//! The servers' words: every text is as recorded in `tests/fixtures/registry`, and `tests/fake_registry/recorded.rs` compares them.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::spec::{ServerLine, ServerRole};
use crate::admin::answer::Answer;

/// 5.x `changePeer` that raft refused (§4, §5; the colon is a full-width one).
pub(super) const CHANGE_FAILED: &str = "Error when changePeer： CliService change peer error!";
/// 5.x `changePeer` whose second half failed (§6).
pub(super) const CHANGE_LIST_FAILED: &str = "Error when changePeer： Proxy invoke interface com.alipay.sofa.registry.server.meta.repository.RepositoryService method replaceAll got error!";
/// 5.x `resetPeer` that took effect, and could not write the list for lack of a leader (§6, §12).
pub(super) const RESET_LIST_FAILED: &str = "Error when resetPeer： Proxy invoke interface com.alipay.sofa.registry.server.meta.repository.RepositoryService method replaceAll got error!";
/// 5.x without the form field (§4).
pub(super) const NO_ADDRESSES: &str = "Empty ipAddressList from input: null";

pub(super) fn value(value: &Value) -> Answer {
    Answer::new(200, value.to_string())
}

pub(super) fn success() -> Answer {
    Answer::new(200, r#"{"success":true,"message":null}"#)
}

/// A refusal: 200 all the same (§1, fact 4). `None`: `"message":null`.
pub(super) fn refusal(message: Option<&str>) -> Answer {
    let message = message.map_or_else(|| "null".to_owned(), |m| Value::from(m).to_string());
    Answer::new(200, format!(r#"{{"success":false,"message":{message}}}"#))
}

/// Jetty's page for an exception in a resource.
pub(super) fn failed(path: &str) -> Answer {
    Answer::new(
        500,
        format!(
            "<html>\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html;charset=utf-8\"/>\n\
             <title>Error 500 Request failed.</title>\n</head>\n<body><h2>HTTP ERROR 500</h2>\n\
             <p>Problem accessing {path}. Reason:\n<pre>    Request failed.</pre></p><hr>\
             <a href=\"http://eclipse.org/jetty\">Powered by Jetty:// 9.4.19.v20190610</a><hr/>\n\n</body>\n</html>\n"
        ),
    )
}

pub(super) fn not_found() -> Answer {
    Answer::new(404, "")
}

pub(super) fn wrong_method() -> Answer {
    Answer::new(405, "")
}

/// 6.x: nobody leads (§7; the reason is in a header).
pub(super) fn no_leader() -> Answer {
    Answer::new(400, "")
}

/// 6.x: ask the leader (§7).
pub(super) fn redirect(leader: Ipv4Addr, path: &str) -> Answer {
    Answer { status: 307, location: Some(format!("http://{leader}:9615{path}")), ..Answer::default() }
}

fn health(healthy: bool, message: &str) -> Answer {
    Answer::new(
        if healthy { 200 } else { 500 },
        format!(r#"{{"success":{healthy},"message":{}}}"#, Value::from(message)),
    )
}

/// §3. `status`: `Leader`, `Follower` or `false`.
pub(super) fn meta5_health(status: &str) -> Answer {
    health(
        status != "false",
        &format!(
            "MetaServerBoot sessionRegisterServer:true, dataRegisterServerStart:true, otherMetaRegisterServerStart:true, \
             httpServerStart:true, raftServerStart:true, raftClientStart:true, raftManagerStart:true, raftStatus:{status}"
        ),
    )
}

/// §3.
pub(super) fn data5_health(scheduler: bool, working: bool) -> Answer {
    let status = if working { "WORKING" } else { "INITIAL" };
    health(
        working,
        &format!(
            "DataServerBoot severForSession:true, severForDataSync:true, httpServer:true, schedulerStarted:{scheduler}, \
             status:{status}"
        ),
    )
}

/// §3.
pub(super) fn session5_health() -> Answer {
    health(
        true,
        "SessionServerBoot RaftClientManager:true, MetaServerStart:true, SchedulerStart:true, HttpServerStart:true, \
         SessionServerStart:true, ConnectDataServer:true",
    )
}

/// §3. Healthy is who knows a leader.
pub(super) fn meta6_health(
    leads: bool,
    warm: bool,
    leader: Option<Ipv4Addr>,
    metas: &[Ipv4Addr],
    center: &str,
) -> Answer {
    let role = if leads { "leader" } else { "follower" };
    let name = leader.map_or_else(|| "null".to_owned(), |l| l.to_string());
    let list: Vec<String> =
        metas.iter().map(|m| format!("META-Node{{{m},region=null,dc={center}}}")).collect();
    health(
        leader.is_some(),
        &format!(
            "MetaServerBoot sessionRegisterServer:true, dataRegisterServerStart:true, otherMetaRegisterServerStart:true, \
             httpServerStart:true, remoteMetaRegisterServerStart:true, role:{role}, warmuped:{warm}, leader:{name}, \
             meta-servers:[{}]",
            list.join(", ")
        ),
    )
}

/// §3: it says nothing of slots.
pub(super) fn data6_health() -> Answer {
    health(
        true,
        "DataServerBoot severForSession:true, severForDataSync:true, httpServer:true, schedulerStarted:true",
    )
}

/// §3.
pub(super) fn session6_health() -> Answer {
    health(
        true,
        "SessionServerBoot , MetaServerStart:true, SchedulerStart:true, HttpServerStart:true, SessionServerStart:true, \
         ServerForSessionSyncStart:true, ConnectDataServer:true, ConsoleServer:true",
    )
}

/// One entry of `/digest/*/node/query` (§4): its fields differ by line and role.
pub(super) fn node(line: ServerLine, role: ServerRole, ip: Ipv4Addr, center: &str) -> Value {
    let url5 = json!({"protocol": null, "host": "", "ipAddress": ip, "port": 0, "path": "", "serializerIndex": 1,
        "parameters": null, "addressString": format!("{ip}:0")});
    let url6 = json!({"protocol": null, "ipAddress": ip, "port": 0, "serializerIndex": 1});
    let address = format!("{ip}:0");
    match (line, role) {
        (ServerLine::V5, ServerRole::Meta) => {
            json!({"nodeType": "META", "nodeUrl": url5, "dataCenter": center, "name": ip, "regionId": null,
                "nodeStatus": "INIT", "ip": ip})
        }
        (ServerLine::V5, ServerRole::Data) => {
            json!({"nodeUrl": url5, "nodeName": ip, "dataCenter": center, "regionId": null, "nodeStatus": "INIT",
                "registrationTimestamp": 0, "nodeType": "DATA", "ip": ip})
        }
        (ServerLine::V5, ServerRole::Session) => {
            json!({"nodeUrl": url5, "regionId": "DEFAULT_ZONE", "name": null, "nodeStatus": "INIT",
                "nodeType": "SESSION", "ip": ip})
        }
        (ServerLine::V6, ServerRole::Meta) => {
            json!({"nodeUrl": url6, "regionId": null, "dataCenter": center, "nodeName": ip, "nodeType": "META",
                "addressString": address, "ip": ip})
        }
        (ServerLine::V6, ServerRole::Data) => {
            json!({"nodeUrl": url6, "regionId": null, "dataCenter": center, "nodeName": ip,
                "registrationTimestamp": 0, "nodeType": "DATA", "addressString": address, "ip": ip})
        }
        (ServerLine::V6, ServerRole::Session) => {
            json!({"nodeUrl": url6, "regionId": "DEFAULT_ZONE", "dataCenter": null, "nodeName": ip,
                "processId": {"hostAddress": ip, "timestamp": 0, "pid": 1, "rand": 0}, "nodeType": "SESSION",
                "addressString": address, "ip": ip})
        }
    }
}

/// A list of addresses as 5.x and 6.x print them.
pub(super) fn list<'a>(addresses: impl IntoIterator<Item = &'a Ipv4Addr>) -> Answer {
    value(&addresses.into_iter().map(Ipv4Addr::to_string).collect())
}
