//! The rules on the spec of a `RegistryCluster`.
//!
//! May import `cel` and `common`.

use super::cel::CelRule;
use super::common::{Role, no_per_pod_rules, port_rules, storage_rules};

const ROLES: [Role; 3] = [Role::Meta, Role::Data, Role::Session];

/// Whether the members of `spec` are rows of a database: said, or by the version.
fn in_database(spec: &str) -> String {
    format!(
        "((has({spec}.membership) && {spec}.membership != 'Auto') ? {spec}.membership == 'Database'
          : {spec}.version.startsWith('6.'))"
    )
}

pub(super) fn registry_rules() -> Vec<CelRule> {
    let mut rules = membership_rules();
    rules.extend([
        CelRule::new(
            ".dataCenter",
            "self.dataCenter == oldSelf.dataCenter",
            "dataCenter cannot be changed, it is part of every key that is published: put it back, or make a new \
             cluster",
        ),
        CelRule::new(
            ".meta",
            "!has(self.meta) || !has(self.meta.replicas)
             || (self.meta.replicas % 2 == 1 && self.meta.replicas <= 7)",
            "meta.replicas must be 1, 3, 5 or 7: an even number bears no more failures than one less",
        ),
        CelRule::new(
            ".meta",
            format!(
                "{} || !has(self.meta) || !has(self.meta.storage) || !has(self.meta.storage.type)
                 || self.meta.storage.type != 'Ephemeral'",
                in_database("self")
            ),
            "meta.storage.type must be Claim where the metas are a raft group: a meta that comes back without its log \
             is a new member",
        ),
    ]);
    rules.extend(storage_rules(&ROLES));
    rules.extend(port_rules(&ROLES));
    rules.extend(no_per_pod_rules(&[Role::Meta, Role::Data]));
    rules
}

fn membership_rules() -> Vec<CelRule> {
    vec![
        CelRule::new(
            ".membership",
            "(has(self.membership) && self.membership != 'Auto') || self.version.startsWith('5.')
             || self.version.startsWith('6.')",
            "membership: Auto knows the open-source versions 5.x and 6.x only: say RaftByAddress, RaftSelfHealing or \
             Database for this version",
        ),
        CelRule::new(
            ".membership",
            "!self.version.startsWith('5.') || !has(self.membership)
             || self.membership in ['Auto', 'RaftByAddress']",
            "membership of version 5.x is RaftByAddress: say that or Auto, or correct the version",
        ),
        CelRule::new(
            ".membership",
            "!self.version.startsWith('6.') || !has(self.membership) || self.membership in ['Auto', 'Database']",
            "membership of version 6.x is Database: say that or Auto, or correct the version",
        ),
        CelRule::new(
            "",
            format!("!{} || has(self.database)", in_database("self")),
            "database is missing: version 6.x and membership Database keep the members in it: give its host, name and \
             secretRef",
        ),
        CelRule::new(
            ".version",
            format!("{} == {}", in_database("self"), in_database("oldSelf")),
            "version and membership: a raft group (5.x) cannot become a cluster in a database (6.x), nor the other \
             way: put the version back, or make a new cluster and move the clients",
        ),
    ]
}
