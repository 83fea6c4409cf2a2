//! Apps from rows and hellos; who is usurped and who is not.

use super::*;
use crate::api::v1alpha1::Role;

const NOW: Moment = Moment::from_millis(1_795_223_049_000);

fn server(ordinal: u32) -> Member {
    Member::new(Role::Server, ordinal)
}

fn host_of(member: Member) -> String {
    format!("pj-{member}.pj-server")
}

fn ago(seconds: u64) -> Moment {
    NOW.before(Duration::from_secs(seconds))
}

/// The workers of app 1 that a server has heard of, and how many seconds ago; it began an hour ago.
fn hello(ordinal: u32, workers: &[(&str, u64)]) -> (Member, Hello) {
    let worker = |(address, seconds): &(&str, u64)| Worker {
        address: (*address).to_owned(),
        last_active: ago(*seconds),
        protocol: "HTTP".to_owned(),
        client: String::new(),
        version: String::new(),
        tag: None,
        system_metrics: serde_json::Value::Null,
        light: 0,
        heavy: 0,
        overloading: false,
    };
    let told = Hello {
        address: format!("{}:10010", host_of(server(ordinal))),
        born: ago(3600),
        version: "4.3.9".to_owned(),
        server_time: Some(NOW),
        apps: [(1, workers.iter().map(worker).collect())].into(),
    };
    (server(ordinal), told)
}

/// App 1 on a server since so many seconds, with one instance that is older than that.
fn rows(owner: u32, seconds: u64) -> Rows {
    Rows {
        apps: vec![AppRow {
            id: 1,
            name: "lab".to_owned(),
            current_server: Some(format!("{}:10010", host_of(server(owner)))),
            modified_at: Some(ago(seconds)),
        }],
        pending: vec![PendingRow { app: 1, count: 1 }],
        ..Rows::default()
    }
}

fn read(rows: &Rows, hellos: &[(Member, Hello)]) -> Apps {
    let hellos: BTreeMap<Member, Hello> = hellos.iter().cloned().collect();
    let pings = hellos.keys().map(|m| (*m, true)).collect();
    read_apps(rows, &hellos, &pings, host_of, NOW)
}

/// A server that tells a version with which moving was not measured is named; one that tells none is not.
#[test]
fn servers_of_another_version_are_named() {
    for (version, unmeasured) in [
        ("4.3.8", false),
        ("4.3.9", false),
        ("4.3.7", true),
        ("5.1.1", true),
        ("4.3.9-own", true),
        ("v4.3.7", true),
        ("4.3.9.1", true),
        ("UNKNOWN", false),
        ("", false),
    ] {
        let (other, mut told) = hello(1, &[]);
        version.clone_into(&mut told.version);
        let apps = read(&rows(0, 600), &[hello(0, &[("a", 3)]), (other, told)]);
        assert_eq!(apps.unmeasured.contains_key(&other), unmeasured, "{version}");
        assert!(!apps.unmeasured.contains_key(&server(0)));
    }
}

#[test]
fn owners_workers_and_what_is_due() {
    let mut rows = rows(0, 600);
    rows.pending.clear();
    rows.apps.push(AppRow { id: 2, name: "idle".to_owned(), ..AppRow::default() });
    rows.apps.push(AppRow { id: 3, current_server: Some("elsewhere:10010".to_owned()), ..AppRow::default() });
    rows.due = vec![
        DueRow { app: 1, at: NOW.after(Duration::from_mins(1)) },
        DueRow { app: 2, at: NOW.after(Duration::from_secs(61)) },
        DueRow { app: 3, at: ago(5) },
    ];
    rows.lost = vec![
        LostRow { app: 1, instance: 7, workflow: None },
        LostRow { app: 1, instance: 8, workflow: Some(0) },
        LostRow { app: 1, instance: 9, workflow: Some(4) },
    ];
    let hellos = [
        hello(0, &[("a:1", 3), ("b:1", 29), ("c:1", 30), ("d:1", 60)]),
        hello(1, &[("c:1", 10), ("e:1", 45)]),
    ];
    let mut pings: BTreeMap<Member, bool> = [(server(0), true), (server(1), false)].into();
    pings.insert(server(2), false);
    let apps = read_apps(&rows, &hellos.into_iter().collect(), &pings, host_of, NOW);
    let first = &apps.apps[&1];
    assert_eq!((first.owner, first.moved_at), (Some(server(0)), Some(ago(600))));
    assert_eq!(first.fresh, [(server(0), 2), (server(1), 1)].into());
    assert_eq!(first.alive, 4, "a, b, c and e; d is gone");
    let due: Vec<bool> = apps.apps.values().map(|app| app.due).collect();
    assert_eq!(due, [true, false, true]);
    assert_eq!((apps.apps[&2].owner, apps.apps[&3].owner), (None, None));
    assert_eq!(apps.apps[&2].fresh, BTreeMap::new(), "none is named that has none");
    assert_eq!(apps.pinged, [server(0)].into());
    assert_eq!((apps.lost, apps.flipping), (2, false), "a workflow is run again as a whole");
    assert!(apps.usurped.is_empty());
}

/// A server that does not answer still owns its apps: it is known by its name.
#[test]
fn an_owner_that_does_not_answer_is_still_the_owner() {
    let pings = [(server(0), false), (server(1), true)].into();
    let apps = read_apps(&rows(0, 600), &[hello(1, &[])].into_iter().collect(), &pings, host_of, NOW);
    assert_eq!(apps.apps[&1].owner, Some(server(0)));
}

#[test]
fn a_worker_is_as_old_as_its_servers_clock_says() {
    let (member, mut told) = hello(0, &[("a:1", 5)]);
    told.server_time = Some(NOW.after(Duration::from_secs(30)));
    assert!(read(&rows(0, 600), &[(member, told.clone())]).apps[&1].fresh.is_empty());
    told.server_time = None;
    assert_eq!(read(&rows(0, 600), &[(member, told)]).apps[&1].fresh, [(member, 1)].into());
}

/// The false takeover of the guide: server 0 hung for 50 s, server 1 took its app over, and it came back.
#[test]
fn a_server_that_hung_and_came_back_is_usurped() {
    let hung = hello(0, &[("a:1", 53), ("b:1", 49)]);
    let taker = hello(1, &[("a:1", 3), ("b:1", 9)]);
    assert_eq!(read(&rows(1, 28), &[hung.clone(), taker.clone()]).usurped, [server(0)].into());
    let innocent = hello(2, &[]);
    let three = [hung.clone(), taker.clone(), innocent];
    assert_eq!(read(&rows(1, 28), &three).usurped, [server(0)].into(), "the third never had it");
    let mut nothing_waits = rows(1, 28);
    nothing_waits.pending.clear();
    assert!(read(&nothing_waits, &[hung.clone(), taker.clone()]).usurped.is_empty());
    let mut again = hung;
    again.1.born = ago(10);
    assert!(read(&rows(1, 28), &[again, taker]).usurped.is_empty(), "it was stopped since");
}

/// What our own drain leaves: the workers have just gone, and the wheel still fires.
#[test]
fn a_server_that_was_drained_is_not_usurped() {
    let next = hello(1, &[("a:1", 3), ("b:1", 9)]);
    for (moved, last) in [(1, 4), (12, 9), (30, 25), (50, 44)] {
        let drained = hello(0, &[("a:1", last + 8), ("b:1", last)]);
        assert!(
            read(&rows(1, moved), &[drained, next.clone()]).usurped.is_empty(),
            "{moved} s after the move"
        );
    }
    let left = hello(0, &[("a:1", 60), ("b:1", 45)]);
    assert_eq!(read(&rows(1, 64), &[left, next]).usurped, [server(0)].into(), "nobody could stop it");
}

/// Servers that own other apps drop what they knew of the one that they lost.
#[test]
fn the_one_other_server_may_have_dropped_its_workers() {
    let taker = hello(1, &[("a:1", 3)]);
    let bare = hello(0, &[]);
    assert!(read(&rows(1, 44), &[bare.clone(), taker.clone()]).usurped.is_empty(), "a person edited the app");
    assert_eq!(read(&rows(1, 45), &[bare.clone(), taker.clone()]).usurped, [server(0)].into());
    assert!(read(&rows(1, 45), &[bare, taker, hello(2, &[])]).usurped.is_empty(), "one of two others");
}

/// The statements touch no more than the operator's login may (`spec.powerjob.databaseSecretRef`).
#[test]
fn the_statements_keep_to_the_rights_of_the_login() {
    let allowed = ["app_info", "server_info", "job_info", "instance_info"];
    for sql in [APPS_SQL, PENDING_SQL, DUE_SQL, LOST_SQL, MOVE_SQL] {
        let words: Vec<&str> = sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
        for pair in words.windows(2).filter(|w| matches!(w[0], "FROM" | "JOIN" | "UPDATE")) {
            assert!(allowed.contains(&pair[1]), "{sql}");
        }
        assert!(!sql.contains('\n') && !sql.contains("  "), "{sql}");
    }
    assert_eq!(MOVE_SQL.matches('?').count(), 3);
    assert!(APPS_SQL.contains(ZONE) && MOVE_SQL.contains(ZONE));
}
