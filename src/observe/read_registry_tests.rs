//! The recorded answers of 5.4.3 and 6.3.0, read into views.

use std::fs;
use std::path::Path;

use super::*;
use crate::admin::registry::wire::PushSwitch;

const AT: Moment = Moment::from_millis(7_000);

/// The recorded answer `name` of `version`.
fn recorded(version: &str, name: &str) -> Answer {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/registry").join(version);
    let bytes = fs::read(path.join(format!("{name}.http"))).unwrap_or_else(|e| panic!("{name}: {e}"));
    let split = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = str::from_utf8(&bytes[..split]).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let location = head.lines().find_map(|l| l.strip_prefix("Location: ")).map(str::to_owned);
    Answer { status, location, body: bytes[split + 4..].to_vec(), cut: false }
}

fn told(version: &str, answers: &[(Question, &str)]) -> Told {
    answers.iter().map(|(question, name)| (*question, Ok(recorded(version, name)))).collect()
}

fn heard(told: &Told) -> Heard<'_> {
    Heard { told, data_center: "DefaultDataCenter", at: AT }
}

fn meta(version: &str, who: &str) -> MetaView {
    let speech = if version == "5.4.3" { Speech::Raft } else { Speech::Database };
    let of = |question| {
        let name = match question {
            Question::Health => "health",
            Question::Peers => "query-peer",
            Question::Metas => "meta-nodes",
            Question::Datas => "data-nodes",
            Question::Sessions => "session-nodes",
            Question::Push => "push-switch",
            Question::Renew => "renew-switch",
            _ => "slot-status",
        };
        format!("meta-{name}-{who}")
    };
    let told: Told = Question::of(Role::Meta, speech)
        .iter()
        .filter(|q| **q != Question::Blacklist)
        .map(|q| (*q, Ok(recorded(version, &of(*q)))))
        .collect();
    let fact = heard(&told).meta(speech);
    assert_eq!(fact.at(), AT);
    fact.value().unwrap_or_else(|| panic!("{version} {who}: {fact:?}")).clone()
}

#[test]
fn metas_of_5() {
    let leader = meta("5.4.3", "leader");
    assert_eq!(leader.standing, Standing::Leader);
    assert_eq!(leader.peers.as_ref().map(Addresses::len), Some(3));
    let lists = leader.lists.unwrap();
    assert_eq!(Some(&lists.metas), leader.peers.as_ref());
    assert!(!lists.datas.is_empty() && !lists.sessions.is_empty());
    assert!(leader.push.is_some() && leader.warm && leader.slots_stable && !leader.gray);
    assert_eq!(leader.renew_off, Some(false), "never set means on");
    assert_eq!(meta("5.4.3", "follower").standing, Standing::Follower);
    // Without a leader it tells its own peers and nothing of the store.
    let names = [
        (Question::Health, "meta-health-no-leader"),
        (Question::Peers, "meta-query-peer-no-leader"),
        (Question::Datas, "meta-data-nodes-no-leader"),
        (Question::Push, "meta-push-switch-no-leader"),
    ];
    let told = told("5.4.3", &names);
    let fact = heard(&told).meta(Speech::Raft);
    let alone = fact.value().unwrap();
    assert_eq!(
        (alone.standing, &alone.lists, alone.push, alone.renew_off),
        (Standing::Outside, &None, None, None)
    );
    assert!(alone.peers.is_some());
    assert_eq!(alone.store, Store::Lost, "it answers 500");
    assert_eq!(leader.store, Store::Reached);
}

#[test]
fn the_renewal_is_off_only_if_both_parts_are() {
    let names = [(Question::Health, "meta-health-leader"), (Question::Renew, "meta-renew-switch-disabled")];
    let told = told("5.4.3", &names);
    assert_eq!(heard(&told).meta(Speech::Raft).value().unwrap().renew_off, Some(true));
}

#[test]
fn metas_of_6() {
    let leader = meta("6.3.0", "leader");
    assert_eq!(leader.standing, Standing::Leader);
    assert!(leader.lists.is_some() && leader.push.is_some());
    assert!(!leader.slots_stable, "slots were on their way when this was recorded");
    let still = String::from_utf8(recorded("6.3.0", "meta-slot-status-leader").body).unwrap();
    let still = still.replace(r#""slotTableStable":false"#, r#""slotTableStable":true"#);
    let answers: Told = [
        (Question::Health, Ok(recorded("6.3.0", "meta-health-leader"))),
        (Question::Slots, Ok(Answer::new(200, still))),
    ]
    .into();
    assert!(heard(&answers).meta(Speech::Database).value().unwrap().slots_stable);
    assert_eq!(leader.peers, Some(Addresses::new()), "no raft");
    let follower = meta("6.3.0", "follower");
    assert_eq!((follower.standing, follower.push, follower.slots_stable), (Standing::Follower, None, false));
    assert!(follower.lists.is_none(), "a follower sends its callers away");
    assert_eq!(leader.push, Some(PushSwitch::NeverSet), "as it was recorded first");
}

#[test]
fn data_nodes() {
    for (version, speech) in [("5.4.3", Speech::Raft), ("6.3.0", Speech::Database)] {
        let names = [
            (Question::Health, "data-health"),
            (Question::Metas, "data-meta-list"),
            (Question::Datas, "data-data-list"),
            (Question::Counts, "data-datum-count"),
        ];
        let told = told(version, &names);
        let fact = heard(&told).data(speech);
        let data = fact.value().unwrap();
        assert!(data.serving && data.publishers.is_some_and(|p| p > 0), "{version}");
        assert_eq!(data.metas.as_ref().map(Addresses::len), Some(if speech == Speech::Raft { 3 } else { 1 }));
        assert_eq!(data.others.is_some(), speech == Speech::Raft, "broken in 6.3.0");
    }
}

#[test]
fn sessions() {
    for (version, connections) in [("5.4.3", None), ("6.3.0", Some(1))] {
        let mut names = vec![
            (Question::Health, "session-health"),
            (Question::Push, "session-push-switch-open-leader"),
            (Question::Metas, "session-meta-list"),
            (Question::Datas, "session-data-list"),
            (Question::Counts, "session-data-count"),
        ];
        // 5.4.3 has no such endpoint: 404.
        names.push((Question::Connections, "session-connections"));
        let told = told(version, &names);
        let fact = heard(&told).session();
        let session = fact.value().unwrap();
        assert!(session.serving && session.metas.is_some() && session.datas.is_some(), "{version}");
        assert_eq!(session.push, Some(PushSwitch::Open));
        assert_eq!(session.counts.unwrap().connections.is_some(), connections.is_some(), "{version}");
    }
}

#[test]
fn what_is_not_told_is_unknown() {
    for why in [Unknown::Refused, Unknown::TimedOut] {
        let told: Told = [(Question::Health, Err(why))].into();
        assert_eq!(heard(&told).meta(Speech::Raft), Fact::unknown(why, AT));
        assert_eq!(heard(&told).data(Speech::Raft), Fact::unknown(why, AT));
        assert_eq!(heard(&told).session(), Fact::unknown(why, AT));
    }
    assert_eq!(heard(&Told::new()).session(), Fact::unknown(Unknown::NotAsked, AT));
    let html: Told = [(Question::Health, Ok(Answer::new(200, "<html>")))].into();
    assert_eq!(heard(&html).meta(Speech::Database), Fact::unknown(Unknown::Unreadable, AT));
    assert_eq!(heard(&html).data(Speech::Raft), Fact::unknown(Unknown::Unreadable, AT));
    let mut half = told("5.4.3", &[(Question::Health, "session-health")]);
    half.insert(Question::Push, Err(Unknown::TimedOut));
    half.insert(Question::Counts, Ok(recorded("5.4.3", "unknown-path")));
    let fact = heard(&half).session();
    let session = fact.value().unwrap();
    assert_eq!((session.push, session.counts, &session.datas), (None, None, &None), "and never a pass");
}

#[test]
fn ids_that_may_be_missing() {
    let data = |publishers| DataView { serving: true, metas: None, others: None, publishers };
    let session = |publishers| SessionView {
        serving: true,
        push: None,
        metas: None,
        datas: None,
        counts: Some(Counts { publishers, ..Counts::default() }),
    };
    let world = |held: &[Option<u64>], had: &[u64]| {
        let member = |role, i: usize| Member::new(role, u32::try_from(i).unwrap());
        RegistryWorld {
            datas: held
                .iter()
                .enumerate()
                .map(|(i, p)| (member(Role::Data, i), Fact::known(data(*p), AT)))
                .collect(),
            sessions: had
                .iter()
                .enumerate()
                .map(|(i, p)| (member(Role::Session, i), Fact::known(session(*p), AT)))
                .collect(),
            ..RegistryWorld::default()
        }
    };
    let ids = |held: &[Option<u64>], had: &[u64], speech| {
        orphaned_ids(&world(held, had), speech).and_then(|f| f.value().copied())
    };
    assert_eq!(ids(&[Some(10), Some(10)], &[4, 6], Speech::Raft), Some(0));
    assert_eq!(ids(&[Some(10), Some(9)], &[4, 6], Speech::Raft), Some(1));
    assert_eq!(ids(&[Some(11), Some(10)], &[4, 6], Speech::Raft), Some(0));
    assert_eq!(ids(&[Some(7), Some(7), Some(6)], &[10], Speech::Database), Some(0), "two copies on 6.x");
    assert_eq!(ids(&[Some(7), Some(7), Some(6)], &[10], Speech::Raft), Some(4));
    assert_eq!(ids(&[Some(10), None], &[10], Speech::Raft), None);
    assert_eq!(ids(&[], &[10], Speech::Raft), None, "nobody told anything of the data");
}
