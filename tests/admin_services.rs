//! What drmdata, `AntScheduler` and PowerJob say. PowerJob's answers are recorded, and described where they
//! could be of another shape (`tests/fixtures/powerjob`).

#![expect(clippy::unwrap_used, reason = "a test's helpers fail as its test functions do")]

use std::fs;

use serde_json::json;
use sofa_operator::admin::answer::{Answer, Unreadable};
use sofa_operator::admin::drm::{Failing, check_service, connections, listens};
use sofa_operator::admin::registry::wire::Outcome;
use sofa_operator::admin::scheduler::powerjob::{
    Worker, health, heartbeat, heartbeat_taken, hello, ping, ping_body, retried, retry_query,
};
use sofa_operator::types::Moment;

fn described(name: &str) -> Answer {
    Answer::new(200, fs::read(format!("tests/fixtures/powerjob/described-{name}.json")).unwrap())
}

fn recorded(name: &str) -> Answer {
    Answer::new(200, fs::read(format!("tests/fixtures/powerjob/recorded-{name}.json")).unwrap())
}

#[test]
fn a_real_server_is_understood() {
    let told = hello(&recorded("hello-debug")).unwrap();
    assert_eq!(told.address, "powerjob-server-0.powerjob-server:10010");
    assert_eq!((told.version.as_str(), told.server_time.is_some()), ("4.3.9", true));
    let workers = &told.apps[&1];
    assert_eq!(workers.len(), 3);
    assert!(workers.iter().all(|w| w.protocol == "HTTP" && w.system_metrics.is_object()), "{workers:?}");
    assert_eq!(ping(&recorded("ping")), Ok(()));
    assert_eq!(health(&recorded("health")), Ok(true));
}

/// Bodies as the stand-in writes them, as JSON, and as nobody should understand them.
#[test]
fn the_body_of_check_service_decides() {
    let works =
        ["passed:true\nstartup:true\ndatabase:true\nTaskManageFacade:true\n", "true", r#"{"a":true}"#];
    for body in works {
        assert_eq!(check_service(body), Ok(None), "{body}");
    }
    let fails = [
        ("passed:false\nstartup:true\nTaskManageFacade:false Addresses unavailable\n", Failing::DataMaster),
        ("com.alipay.TaskManageFacade check:FALSE", Failing::DataMaster),
        ("check:false no provider\nlast error: Addresses unavailable", Failing::DataMaster),
        ("passed:false\nstartup:true\ndatabase:false no available connection\n", Failing::DataSource),
        (r#"{"dataSource":false,"TaskManageFacade":true}"#, Failing::DataSource),
        ("passed:false\nstartup:false not over\n", Failing::Other),
        ("database:true\npassed:true\nstartup:false", Failing::Other),
        ("false", Failing::Other),
    ];
    for (body, expected) in fails {
        assert_eq!(check_service(body), Ok(Some(expected)), "{body}");
    }
    let nothing = [
        "",
        "\n\n",
        "Internal Server Error\n",
        "curl: (7) Failed to connect to localhost port 9500",
        "<html data-ready=true></html>",
        "construed",
        "untrue",
        "startup:true-ish",
    ];
    for body in nothing {
        assert!(matches!(check_service(body), Err(Unreadable::NotUnderstood(_))), "{body:?}");
    }
}

const HEADER: &str =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const HEADER6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

/// A row as the kernel writes it; 9880 is 2698.
fn row(local: &str, state: &str) -> String {
    format!(
        "   7: {local} 0A00000A:C350 {state} 00000000:00000000 00:00000000 00000000 10001        0 48310 1 0000000000000000 20 4 30 10 -1\n"
    )
}

#[test]
fn connections_of_one_port_are_counted() {
    let v6 = |port: &str| format!("0000000000000000FFFF00000500000A:{port}");
    let text = [
        HEADER,
        &row("00000000:2698", "0A"),
        &row("0500000A:2698", "01"),
        &row("0500000A:2699", "01"),
        &row("0500000A:2698", "06"),
        HEADER6,
        &row(&v6("2698"), "01"),
        &row(&v6("2698"), "08"),
    ]
    .concat();
    assert_eq!(connections(&text, 9880), Ok(2));
    assert_eq!(connections(&text, 9881), Ok(1));
    assert_eq!(connections(&text, 12200), Ok(0));
    assert_eq!((listens(&text, 9880), listens(&text, 9881)), (Ok(true), Ok(false)));
    assert_eq!(connections(&[HEADER, HEADER6].concat(), 9880), Ok(0), "nobody is connected");
}

#[test]
fn half_a_table_is_no_count() {
    let whole = [HEADER, &row("0500000A:2698", "01")].concat();
    let wrong = [
        String::new(),
        "cat: /proc/net/tcp: Permission denied\n".to_owned(),
        row("0500000A:2698", "01"),
        whole.trim_end().to_owned(),
        whole.replace(" 00:00000000 00000000 10001        0 48310 1 0000000000000000 20 4 30 10 -1", ""),
        whole.replace("0500000A:2698", "0500000A"),
        whole.replace("0500000A:2698", "0500:2698"),
        whole.replace("0500000A:2698", "0500000A:26980"),
        whole.replace("   7:", "   seven:"),
        whole.replace(" 01 ", " 1 "),
        [whole.as_str(), "cat: /proc/net/tcp6: No such file or directory\n"].concat(),
    ];
    assert_eq!(connections(&whole, 9880), Ok(1));
    for text in wrong {
        assert!(connections(&text, 9880).is_err(), "{text}");
        assert!(listens(&text, 9880).is_err(), "{text}");
    }
}

#[test]
fn a_hello_names_the_workers() {
    let told = hello(&described("hello-debug")).unwrap();
    assert_eq!(told.address, "pj-server-1.pj-server:10010");
    assert_eq!((told.born.as_millis(), told.version.as_str()), (1_795_222_800_000, "4.3.9"));
    assert_eq!(told.server_time.map(Moment::as_millis), Some(1_795_223_049_000));
    assert_eq!(told.apps.keys().copied().collect::<Vec<_>>(), [1, 2]);
    let [first, second] = told.apps[&1].as_slice() else { unreachable!("two workers") };
    assert_eq!((first.address.as_str(), first.protocol.as_str()), ("10.0.0.7:27777", "HTTP"));
    assert_eq!((first.light, first.heavy, first.overloading), (1, 0, false));
    assert_eq!((first.tag.as_deref(), first.client.as_str()), (Some("blue"), "KingPenguin"));
    assert_eq!(first.last_active.as_millis(), 1_795_223_040_000);
    assert_eq!(first.system_metrics["cpuLoad"], 0.5);
    assert_eq!((second.heavy, second.overloading, second.tag.as_deref()), (2, true, None));
    assert!(told.apps[&2].is_empty());
}

/// Where a part stands as a text with JSON in it, it is read all the same; an envelope is not needed.
#[test]
fn a_hello_may_have_its_parts_elsewhere() {
    let told = hello(&described("hello-address-in-text")).unwrap();
    assert_eq!((told.address.as_str(), told.version.as_str()), ("pj-server-0.pj-server:10010", "UNKNOWN"));
    let body: serde_json::Value = described("hello-debug").json().unwrap();
    let bare = Answer::new(200, body["data"].to_string());
    assert_eq!(hello(&bare).unwrap(), hello(&described("hello-debug")).unwrap());
}

#[test]
fn what_is_no_hello_is_not_understood() {
    let body: serde_json::Value = described("hello-debug").json().unwrap();
    let without = |pointer: &str, field: &str| {
        let mut body = body.clone();
        body.pointer_mut(pointer).and_then(|v| v.as_object_mut()).unwrap().remove(field).unwrap();
        Answer::new(200, body.to_string())
    };
    let wrong = [
        described("hello-without-debug"),
        without("/data", "serverInfo"),
        without("/data", "defaultAddress"),
        without("/data", "appId2ClusterInfo"),
        without("/data/serverInfo", "bornTime"),
        without("/data/appId2ClusterInfo/1", "allWorkers"),
        without("/data/appId2ClusterInfo/1/allWorkers/10.0.0.7:27777", "lastActiveTime"),
        Answer::new(200, r#"{"success":false,"message":"x"}"#),
        Answer::new(200, ""),
        Answer::new(200, "null"),
        Answer::new(404, ""),
        Answer { cut: true, ..described("hello-debug") },
    ];
    for answer in wrong {
        assert!(hello(&answer).is_err(), "{}", String::from_utf8_lossy(&answer.body));
    }
}

#[test]
fn a_ping_is_answered_or_not() {
    assert_eq!(ping(&described("ping")), Ok(()));
    for answer in [
        Answer::new(200, r#"{"success":false}"#),
        Answer::new(200, "pong"),
        Answer::new(500, "x"),
        Answer::new(200, ""),
    ] {
        assert!(ping(&answer).is_err(), "{answer:?}");
    }
    assert_eq!(ping_body(Moment::from_millis(7)), json!({"currentTime": 7}));
}

#[test]
fn health_is_up_or_down() {
    assert_eq!(health(&Answer::new(200, r#"{"status":"UP"}"#)), Ok(true));
    assert_eq!(health(&Answer::new(503, r#"{"status":"DOWN"}"#)), Ok(false));
    for answer in [
        Answer::new(503, "Service Unavailable"),
        Answer::new(503, r#"{"status":"UP"}"#),
        Answer::new(200, r#"{"status":"FINE"}"#),
        Answer::new(404, r#"{"status":"UP"}"#),
    ] {
        assert!(health(&answer).is_err(), "{answer:?}");
    }
}

/// The body that was measured (powerjob §1.6, step 2), with all that the server that has the worker knows of it.
#[test]
fn a_worker_is_told_to_another_server() {
    let told = hello(&described("hello-debug")).unwrap();
    let body = heartbeat(&told.apps[&1][0], 1, "lab", Moment::from_millis(1_795_223_050_000));
    assert_eq!(
        body,
        json!({
            "workerAddress": "10.0.0.7:27777", "appName": "lab", "appId": 1, "heartbeatTime": 1_795_223_050_000_i64,
            "protocol": "HTTP", "client": "KingPenguin", "version": "", "tag": "blue",
            "systemMetrics": told.apps[&1][0].system_metrics, "lightTaskTrackerNum": 1, "heavyTaskTrackerNum": 0,
            "overload": false, "containerInfos": [],
        })
    );
    let bare = Worker { system_metrics: serde_json::Value::Null, ..told.apps[&1][0].clone() };
    assert_eq!(heartbeat(&bare, 1, "lab", Moment::default())["systemMetrics"], json!({}));
    for answer in [Answer::new(200, ""), Answer::new(200, "null"), Answer::new(200, r#"{"success":true}"#)] {
        assert_eq!(heartbeat_taken(&answer), Ok(()), "{answer:?}");
    }
    for answer in
        [Answer::new(500, ""), Answer::new(404, ""), Answer::new(200, r#"{"success":false,"message":"x"}"#)]
    {
        assert!(heartbeat_taken(&answer).is_err(), "{answer:?}");
    }
}

#[test]
fn an_instance_is_run_again_or_refused() {
    assert_eq!(retry_query(3, 9), [("instanceId", "9".to_owned()), ("appId", "3".to_owned())]);
    assert_eq!(retried(&Answer::new(200, r#"{"success":true,"data":null}"#)), Ok(Outcome::Accepted));
    let words = "Workflow's instance do not support retry!";
    let refused = Answer::new(200, json!({"success": false, "message": words}).to_string());
    assert_eq!(retried(&refused), Ok(Outcome::Refused(words.to_owned())));
    assert!(retried(&Answer::new(200, "ok")).is_err());
}
