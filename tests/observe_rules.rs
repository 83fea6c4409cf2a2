//! What is asked of each server and what is made of its answers: rules that the recorded answers alone do not show.

use sofa_operator::admin::answer::Answer;
use sofa_operator::admin::registry::wire::SessionCounts;
use sofa_operator::api::v1alpha1::Role;
use sofa_operator::observe::{Counts, Question, Speech, Told, Unknown};

/// Every figure that a gate needs is asked for: who is listed, the switch, what clients have; the health first.
#[test]
fn each_role_is_asked_for_all_that_its_gates_need() {
    use Question::{
        Blacklist, Connections, Counts, Datas, Health, Metas, Peers, Push, Renew, Sessions, Slots,
    };
    let cases: [(Role, Speech, &[Question]); 8] = [
        (Role::Meta, Speech::Raft, &[Health, Peers, Metas, Datas, Sessions, Push, Renew]),
        (Role::Meta, Speech::Database, &[Health, Metas, Datas, Sessions, Push, Slots, Blacklist]),
        (Role::Data, Speech::Raft, &[Health, Metas, Datas, Counts]),
        (Role::Data, Speech::Database, &[Health, Metas, Counts]),
        (Role::Session, Speech::Raft, &[Health, Push, Metas, Datas, Counts]),
        (Role::Session, Speech::Database, &[Health, Push, Metas, Datas, Counts, Connections]),
        (Role::Drmdata, Speech::Raft, &[]),
        (Role::Server, Speech::Database, &[]),
    ];
    for (role, speech, questions) in cases {
        assert_eq!(Question::of(role, speech), questions, "{role:?} {speech:?}");
    }
}

/// A meta of a raft group that is in no group is asked for its peers alone (measured: sofaregistry §14); who does not answer is
/// asked nothing more.
#[test]
fn a_meta_outside_its_group_is_not_asked_for_its_store() {
    let health = |status, raft: &str| {
        let success = status == 200;
        let message = format!("MetaServerBoot raftServerStart:true, raftStatus:{raft}");
        Ok(Answer::new(status, format!(r#"{{"success":{success},"message":"{message}"}}"#)))
    };
    let asked = |role, speech, health: Result<Answer, Unknown>| {
        let mut told = Told::new();
        let mut order = Vec::new();
        while let Some(question) = Question::next(role, speech, &told) {
            order.push(question);
            told.insert(
                question,
                if question == Question::Health { health.clone() } else { Err(Unknown::TimedOut) },
            );
        }
        order
    };
    let raft = |health| asked(Role::Meta, Speech::Raft, health);
    assert_eq!(raft(health(500, "false")), [Question::Health, Question::Peers]);
    assert_eq!(raft(Ok(Answer::new(200, "what?"))), [Question::Health, Question::Peers]);
    for standing in ["Leader", "Follower"] {
        assert_eq!(raft(health(200, standing)), Question::of(Role::Meta, Speech::Raft));
    }
    for role in [Role::Meta, Role::Data, Role::Session] {
        for speech in [Speech::Raft, Speech::Database] {
            assert_eq!(asked(role, speech, Err(Unknown::Refused)), [Question::Health]);
        }
    }
    let other = asked(Role::Data, Speech::Raft, health(200, "false"));
    assert_eq!(other, Question::of(Role::Data, Speech::Raft), "each is asked, also when one does not answer");
    assert_eq!(asked(Role::Drmdata, Speech::Raft, health(200, "")), []);
}

/// Clients are back when each figure is at least the asked share of what it was.
#[test]
fn each_figure_of_the_clients_has_to_be_back() {
    let all = |n| Counts { publishers: n, subscribers: n, watchers: n, connections: Some(n) };
    let before = all(1000);
    for (now, percent, back) in
        [(900, 90, true), (899, 90, false), (1000, 100, true), (0, 0, true), (10, 90, false)]
    {
        assert_eq!(all(now).recovered(before, percent), back, "{now} of 1000, {percent} %");
    }
    assert!(all(0).recovered(all(0), 90), "nothing was there");
    let short: [fn(&mut Counts); 4] = [
        |c| c.publishers = 899,
        |c| c.subscribers = 899,
        |c| c.watchers = 899,
        |c| c.connections = Some(899),
    ];
    for (index, lose) in short.into_iter().enumerate() {
        let mut now = before;
        lose(&mut now);
        assert!(!now.recovered(before, 90), "figure {index}");
    }
    let uncounted = Counts { connections: None, ..before };
    assert!(uncounted.recovered(before, 90) && before.recovered(uncounted, 90), "it does not decide");
}

/// Metas tell of the members whom they store, the others of the list that they follow (measured: sofaregistry).
#[test]
fn each_question_has_its_path() {
    let cases = [
        (Question::Health, Role::Data, "/health/check"),
        (Question::Peers, Role::Meta, "/manage/queryPeer"),
        (Question::Metas, Role::Meta, "/digest/meta/node/query"),
        (Question::Metas, Role::Session, "/digest/meta/serverList/query"),
        (Question::Datas, Role::Meta, "/digest/data/node/query"),
        (Question::Datas, Role::Data, "/digest/data/serverList/query"),
        (Question::Sessions, Role::Meta, "/digest/session/node/query"),
        (Question::Push, Role::Session, "/digest/pushSwitch"),
        (Question::Renew, Role::Meta, "/renewSwitch/get"),
        (Question::Counts, Role::Data, "/digest/datum/count"),
        (Question::Counts, Role::Session, "/digest/data/count"),
        (Question::Connections, Role::Session, "/connections/query"),
    ];
    for (question, role, path) in cases {
        assert_eq!(question.path(role), path, "{question:?} {role:?}");
    }
}

/// Only the list of the data nodes that are kept out is asked for by its name.
#[test]
fn only_the_blacklist_has_a_query() {
    assert_eq!(Question::Blacklist.query().len(), 1);
    assert_eq!(Question::Blacklist.query()[0].0, "dataInfoId");
    assert!(Question::Blacklist.query()[0].1.ends_with("#@#9600#@#CONFIG"));
    assert!(Question::Health.query().is_empty() && Question::Counts.query().is_empty());
}

/// What a session counts is taken as it is told; connections are counted elsewhere.
#[test]
fn counts_are_taken_over() {
    let told = SessionCounts { publishers: 3, subscribers: 5, watchers: 7 };
    let counts = Counts { publishers: 3, subscribers: 5, watchers: 7, connections: None };
    assert_eq!(Counts::from(told), counts);
}
