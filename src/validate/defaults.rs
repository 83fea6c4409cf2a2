//! Tables: what a component has where its spec says nothing.
//!
//! Sources: the operations guide's list of resources and its table of heaps (§1.3.4), and what was measured
//! (`docs/measured/sofaregistry.md` §2, §8, §9, §11; `docs/measured/powerjob.md` §1.2, §1.3).
//!
//! May import `types`, `api` and `valid`.

use super::parts::Check;
use super::valid::Product;
use crate::api::v1alpha1::{Profile, Role};
use crate::types::{Line, Version};

/// Ports of a role with the names that a spec may use.
pub(super) const fn ports(product: Product, role: Role) -> &'static [(&'static str, u16)] {
    match (product, role) {
        (_, Role::Meta) => {
            &[("session", 9610), ("data", 9611), ("meta", 9612), ("raft", 9614), ("http", 9615)]
        }
        (_, Role::Data) => &[("session", 9620), ("sync", 9621), ("http", 9622)],
        (_, Role::Session) => &[("client", 9600), ("sync", 9601), ("http", 9603)],
        (_, Role::Drmdata) => {
            &[("http", 80), ("data", 9870), ("client", 9880), ("rpc", 12200), ("health", 9500)]
        }
        (Product::PowerJob, Role::Server) => &[("http", 7700), ("remote", 10010), ("akka", 10086)],
        (_, Role::Server) => &[("http", 8080), ("server", 9000), ("client", 9001), ("rpc", 12200)],
        (Product::Drm, Role::Console) => &[("http", 80), ("management", 8341), ("rpc", 12200)],
        (_, Role::Console) => &[("http", 8080), ("rpc", 12200)],
    }
}

/// How many servers.
pub(super) const fn replicas(profile: Profile, role: Role) -> u32 {
    match (profile, role) {
        (Profile::Small, _) => 1,
        (Profile::Guide, Role::Meta | Role::Data) => 3,
        (Profile::Guide, _) => 2,
    }
}

/// Processors that are kept free, in thousandths; memory that is kept free and the memory limit, in MiB.
pub(super) fn sizes(profile: Profile, role: Role, version: &Version) -> (u32, u64, u64) {
    match (profile, role) {
        // Enough to start and to serve a few clients (sofaregistry.md §8); the same as in the tests on the real servers.
        (Profile::Small, Role::Meta | Role::Data | Role::Session) if version.line() == Line::OpenSource5 => {
            (50, 384, 640)
        }
        (Profile::Small, _) => (50, 512, 768),
        (Profile::Guide, Role::Data) => (8000, 8192, 8192),
        (Profile::Guide, Role::Meta | Role::Session) => (4000, 8192, 8192),
        (Profile::Guide, _) => (2000, 4096, 4096),
    }
}

/// Less memory than this, in MiB, is not enough: what the servers were measured with (sofaregistry.md §8, powerjob.md
/// §1.2). Nothing is known of the others.
pub(super) fn least_memory(product: Product, version: &Version) -> Option<u64> {
    match product {
        Product::Registry if version.line() == Line::OpenSource5 => Some(512),
        Product::Registry => Some(640),
        Product::PowerJob => Some(512),
        Product::Drm | Product::AntScheduler => None,
    }
}

/// What a JVM of these servers takes beside its heap, in MiB: threads, classes, `RocksDB`. Measured at most 290.
const BESIDE_HEAP: u64 = 384;
/// The guide's table for DRM, DSRConsole and the schedulers: memory in MiB, heap in MB.
const HEAPS: [(u64, u64); 5] =
    [(14_336, 12_000), (10_240, 9_000), (8_192, 6_000), (4_096, 3_000), (2_048, 1_000)];

/// The heap for a memory limit, both in MiB.
///
/// For `SOFARegistry` 3/4 of the memory, for the others the highest row of the guide's table that fits. Below what the
/// guide speaks of, enough is left for what is no heap: 3/4 of 640 MiB would get a server killed.
pub(super) fn heap(product: Product, memory: u64) -> u32 {
    let beside = memory.saturating_sub(BESIDE_HEAP).max(memory / 4);
    let mib = match product {
        Product::Registry => (memory / 4 * 3).min(beside),
        Product::Drm | Product::AntScheduler | Product::PowerJob => HEAPS
            .iter()
            .find(|(least, _)| *least <= memory)
            .map_or_else(|| (memory / 2).min(beside), |row| row.1),
    };
    u32::try_from(mib).unwrap_or(u32::MAX)
}

/// The size of a volume, in MiB: the same as `Profile::storage_size`, which the rules of the CRDs are written with.
pub(super) const fn storage(profile: Profile, role: Role) -> u64 {
    match (profile, role) {
        (Profile::Small, _) => 1024,
        (Profile::Guide, Role::Meta) => 240 * 1024,
        (Profile::Guide, _) => 40 * 1024,
    }
}

/// What readiness asks.
pub(super) fn readiness(product: Product, role: Role, health: u16) -> Check {
    match (product, role) {
        (_, Role::Meta | Role::Data | Role::Session) => Check::Http("/health/check".to_owned()),
        (_, Role::Drmdata) => Check::Command(drmdata_check(health)),
        (Product::PowerJob, _) => Check::Http("/actuator/health".to_owned()),
        (_, Role::Server) => Check::Tcp("client"),
        (_, Role::Console) => Check::Tcp("http"),
    }
}

/// What liveness asks.
///
/// A meta is asked for nothing but its port: all of them fail their health check while there is no leader. drmdata is
/// asked for its clients' port: its health check fails when its database does, and restarting all of them would then
/// disconnect every client. PowerJob's `/actuator/health` says the same of its database; `/server/hello` does not, but while
/// every thread that answers waits 30 s for the database nobody answers that either, and with the database away for a minute
/// both servers were restarted for it (seen in pods).
pub(super) fn liveness(product: Product, role: Role) -> Check {
    match role {
        Role::Data | Role::Session => Check::Http("/health/check".to_owned()),
        Role::Drmdata => Check::Tcp("client"),
        Role::Server if product != Product::PowerJob => Check::Tcp("client"),
        Role::Meta | Role::Server | Role::Console => Check::Tcp("http"),
    }
}

/// What the end of the start asks, where that is not what readiness or liveness asks.
pub(super) fn startup(product: Product, role: Role) -> Option<Check> {
    let is_powerjob = product == Product::PowerJob && role == Role::Server;
    is_powerjob.then(|| Check::Http("/server/hello".to_owned()))
}

/// The guide greps the body for `false`: its status is 200 also when a part of it fails. An empty answer, or one without
/// a line that says true, counts as a failure too.
fn drmdata_check(port: u16) -> Vec<String> {
    let script = format!(
        "body=$(curl -s -m 2 localhost:{port}/checkService) && case $body in *false*) exit 1 ;; *true*) exit 0 ;; esac; \
         exit 1"
    );
    ["sh", "-c", &script].map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Bytes;

    #[test]
    fn volumes_are_as_large_as_the_crds_say() {
        for profile in [Profile::Guide, Profile::Small] {
            for role in Role::ALL {
                let size = Bytes::from_mebibytes(storage(profile, role));
                assert_eq!(size.to_string(), profile.storage_size(role), "{profile:?} {role:?}");
            }
        }
    }

    #[test]
    fn heaps_are_the_guides() {
        for (product, memory, heap_mib) in [
            (Product::Registry, 8192, 6144),
            (Product::Registry, 4096, 3072),
            (Product::Registry, 768, 384),
            (Product::Registry, 640, 256),
            (Product::Registry, 512, 128),
            (Product::Registry, 256, 64),
            (Product::Drm, 2048, 1000),
            (Product::Drm, 4096, 3000),
            (Product::Drm, 6144, 3000),
            (Product::Drm, 8192, 6000),
            (Product::AntScheduler, 10_240, 9000),
            (Product::AntScheduler, 14_336, 12_000),
            (Product::AntScheduler, 65_536, 12_000),
            (Product::PowerJob, 1024, 512),
            (Product::PowerJob, 768, 384),
        ] {
            assert_eq!(heap(product, memory), heap_mib, "{product:?} {memory}");
        }
    }
}
