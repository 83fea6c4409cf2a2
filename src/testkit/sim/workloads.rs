//! What happens to a cluster: a story each, of what persons and nature do.

use serde_json::{Value, json};

use crate::api::v1alpha1::Role;
use crate::testkit::Millis;

/// How a workload begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Start {
    /// With nothing but the object, 5.x.
    Empty5,
    /// With nothing but the object, 6.x.
    Empty6,
    /// With a cluster of 5.x that serves.
    Serving5,
    /// With a cluster of 6.x that serves.
    Serving6,
}

/// One thing that happens.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// A person changes the spec, by a merge patch.
    Edit(Value),
    /// A person deletes the object.
    Delete,
    /// Somebody evicts a pod.
    Evict(String),
    /// The volumes of these pods are lost with them: their claims and they are deleted.
    LoseVolumes(&'static [&'static str]),
    /// A person has the raft data of this pod set aside.
    SetAside(&'static str),
    /// A person confirms the incident in the status, with the survivor that is named first.
    Confirm,
    /// All nodes lose power.
    PowerLoss,
    /// They have it again.
    PowerBack,
}

/// When it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The operator has nothing left to do.
    Rest,
    /// So long after what happened before.
    After(Millis),
    /// The first pod of this role is made from the new template.
    Changed(Role),
}

/// One thing that happens, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// When.
    pub when: When,
    /// What.
    pub act: Act,
}

/// A story.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// What it is called.
    pub name: &'static str,
    /// How it begins.
    pub start: Start,
    /// What happens.
    pub steps: Vec<Step>,
    /// Whether no client may be told that a value is gone, at any time.
    pub gapless: bool,
}

impl Start {
    /// The spec of it: three metas, two data nodes, two sessions.
    #[must_use]
    pub fn spec(self) -> Value {
        let mut spec = json!({"dataCenter": "DefaultDataCenter", "version": "5.4.3",
            "image": "localhost/sofa-registry:5.4.3", "meta": {"replicas": 3}, "data": {"replicas": 2},
            "session": {"replicas": 2}});
        if matches!(self, Self::Empty6 | Self::Serving6) {
            spec["version"] = "6.3.0".into();
            spec["image"] = "localhost/sofa-registry:6.3.0".into();
            spec["database"] = json!({"host": "db.example", "name": "registrymetadb", "secretRef": {"name": "registry-database"}});
        }
        spec
    }
}

fn edit(when: When, patch: Value) -> Step {
    Step { when, act: Act::Edit(patch) }
}

fn replicas(when: When, role: &str, count: u32) -> Step {
    edit(when, json!({role: {"replicas": count}}))
}

/// All stories.
#[must_use]
pub fn workloads() -> Vec<Workload> {
    of_one_line().into_iter().chain(of_both_lines()).collect()
}

fn story(name: &'static str, start: Start, gapless: bool, steps: Vec<Step>) -> Workload {
    Workload { name, start, steps, gapless }
}

/// Stories that are told of one line, or have another name in each.
fn of_one_line() -> Vec<Workload> {
    use Start::{Empty5, Empty6, Serving5, Serving6};
    use When::{After, Changed, Rest};
    let at_once = After(0);
    let image = |version: &str| json!({"image": format!("localhost/sofa-registry:{version}-r2")});
    vec![
        story("rolling-change-5", Serving5, true, vec![edit(at_once, image("5.4.3"))]),
        story("first-start-5", Empty5, true, vec![]),
        story("first-start-6", Empty6, true, vec![]),
        story("rolling-change-6", Serving6, true, vec![edit(at_once, image("6.3.0"))]),
        story(
            "meta-evicted-5",
            Serving5,
            true,
            vec![Step { when: at_once, act: Act::Evict("prod-meta-1".to_owned()) }],
        ),
        story(
            "single-meta-5",
            Serving5,
            false,
            vec![
                replicas(at_once, "meta", 1),
                Step { when: Rest, act: Act::Evict("prod-meta-0".to_owned()) },
            ],
        ),
        story(
            "power-loss-5",
            Serving5,
            false,
            vec![
                edit(at_once, json!({"recovery": {"metaMajority": {"mode": "Automatic"}}})),
                Step { when: Rest, act: Act::PowerLoss },
                Step { when: After(60_000), act: Act::PowerBack },
            ],
        ),
        story(
            "power-loss-6",
            Serving6,
            false,
            vec![
                Step { when: at_once, act: Act::PowerLoss },
                Step { when: After(60_000), act: Act::PowerBack },
            ],
        ),
        story(
            "volumes-lost-5",
            Serving5,
            false,
            vec![
                Step { when: at_once, act: Act::LoseVolumes(&["prod-meta-1", "prod-meta-2"]) },
                Step { when: After(60_000), act: Act::Confirm },
            ],
        ),
        story("every-meta-moves-5", Serving5, true, every_meta_moves()),
        story("set-aside-5", Serving5, true, vec![Step { when: at_once, act: Act::SetAside("prod-meta-1") }]),
        story("delete-5", Serving5, false, vec![Step { when: at_once, act: Act::Delete }]),
        story(
            "delete-in-rollout-5",
            Serving5,
            false,
            vec![
                edit(at_once, json!({"restart": "now"})),
                Step { when: Changed(Role::Data), act: Act::Delete },
            ],
        ),
    ]
}

/// As when nodes are drained: one meta after the other moves, twice, so that the leader is the last one at least once.
fn every_meta_moves() -> Vec<Step> {
    let metas = ["prod-meta-0", "prod-meta-1", "prod-meta-2"];
    let evicted = |name: &&str| Step { when: When::Rest, act: Act::Evict((*name).to_owned()) };
    metas.iter().chain(&metas).map(evicted).collect()
}

/// Stories that are told of 5.x and of 6.x.
fn of_both_lines() -> Vec<Workload> {
    use Start::{Serving5, Serving6};
    use When::{After, Changed, Rest};
    let at_once = After(0);
    let mut list = Vec::new();
    for (line, start, name) in [("5.4.3", Serving5, 5), ("6.3.0", Serving6, 6)] {
        let pick = |five: &'static str, six: &'static str| if name == 5 { five } else { six };
        list.extend([
            story(
                pick("restart-request-5", "restart-request-6"),
                start,
                true,
                vec![edit(at_once, json!({"restart": "new certificate"}))],
            ),
            story(
                pick("scale-meta-5", "scale-meta-6"),
                start,
                true,
                vec![replicas(at_once, "meta", 5), replicas(Rest, "meta", 3)],
            ),
            story(
                pick("scale-data-5", "scale-data-6"),
                start,
                true,
                vec![replicas(at_once, "data", 3), replicas(Rest, "data", 2)],
            ),
            story(
                pick("scale-session-5", "scale-session-6"),
                start,
                true,
                vec![replicas(at_once, "session", 3), replicas(Rest, "session", 2)],
            ),
            story(
                pick("push-hold-5", "push-hold-6"),
                start,
                true,
                vec![
                    edit(at_once, json!({"push": {"hold": true}})),
                    edit(Rest, json!({"push": {"hold": false}})),
                ],
            ),
            story(
                pick("pause-5", "pause-6"),
                start,
                true,
                vec![
                    edit(at_once, json!({"restart": "now"})),
                    edit(Changed(Role::Data), json!({"paused": true})),
                    edit(After(300_000), json!({"paused": false})),
                ],
            ),
            story(
                pick("bad-image-5", "bad-image-6"),
                start,
                true,
                vec![
                    edit(at_once, json!({"image": format!("nowhere.invalid/sofa-registry:{line}")})),
                    edit(Changed(Role::Meta), json!({"restart": "and more"})),
                    edit(After(240_000), json!({"image": format!("localhost/sofa-registry:{line}-r3")})),
                ],
            ),
        ]);
    }
    list
}
