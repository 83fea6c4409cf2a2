//! A `RegistryCluster`, checked.
//!
//! May import `types`, `api` and the other modules of `validate`.

use super::component::{Part, component};
use super::database::database;
use super::input::{Context, proposed_raft_group, storage_class};
use super::parts::{SizedStorage, ValidComponent};
use super::problem::{Invalid, Notes};
use super::valid::{Common, Product, RecoveryRules, ValidRegistry};
use super::{image, rollout, sentences};
use crate::api::v1alpha1::{
    Membership, MembershipKind, Reason, RegistryClusterSpec, RenewSwitch, Role, StorageKind,
};
use crate::types::{Line, PlaceName, Version};

/// Commercial versions from this one on follow new addresses by themselves (operations guide).
const SELF_HEALING: (u32, u32, u32) = (2, 9, 0);
/// Up to this version publishers are lost when a client publishes one of several again (sofaregistry.md §1 fact 8).
const LAST_THAT_LOSES: (u32, u32, u32) = (5, 4, 3);
const REGION: &str = "DEFAULT_ZONE";

/// The spec of a `RegistryCluster` with everything resolved.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn validate_registry(
    spec: &RegistryClusterSpec,
    context: &Context,
) -> Result<ValidRegistry, Vec<Invalid>> {
    let mut notes = Notes::default();
    rollout::name(context, &mut notes);
    image::check("image", &spec.image, &spec.version, &mut notes);
    let membership = membership(spec, &mut notes);
    change(spec, membership, context, &mut notes);
    let database = spec
        .database
        .as_ref()
        .filter(|_| membership == Some(MembershipKind::Database))
        .map(|d| database(d, Product::Registry, &context.references.database, &mut notes));
    if database.is_none() && membership == Some(MembershipKind::Database) {
        notes.wrong("database", sentences::REGISTRY_DATABASE);
    }
    let [meta, data, session] = components(spec, membership, &mut notes);
    for component in [&meta, &data, &session] {
        storage_class(component, context, &mut notes);
    }
    let sites = spec.remote_sites.clone().unwrap_or_default();
    let cidrs = sites.iter().flat_map(|site| site.cidrs.clone().unwrap_or_default());
    let network = rollout::network(spec.network_policy.as_ref(), cidrs, context, &mut notes);
    let rollout = rollout::rollout(spec.rollout.as_ref(), &mut notes);
    let disable_renew = disable_renew(spec, &mut notes);
    let recovery = recovery(spec, context, &mut notes);
    let region = spec.region.clone().or_else(|| REGION.parse::<PlaceName>().ok());
    let (Some(membership), Some(region), true) = (membership, region, notes.problems.is_empty()) else {
        return Err(notes.problems);
    };
    Ok(ValidRegistry {
        common: Common {
            identity: context.identity.clone(),
            product: Product::Registry,
            version: spec.version.clone(),
            rollout,
            paused: spec.paused.unwrap_or_default(),
            restart: spec.restart.clone(),
            profile: spec.profile.unwrap_or_default(),
            network,
            deletion: spec.deletion_policy.unwrap_or_default(),
            warnings: notes.warnings,
            waiting: notes.waiting,
        },
        membership,
        raft_group: raft_group(context),
        data_center: spec.data_center.clone(),
        region,
        meta,
        data,
        session,
        database,
        hold: spec.push.as_ref().and_then(|push| push.hold).unwrap_or_default(),
        push_group: spec.push_group.clone(),
        remote_sites: sites,
        recovery,
        disable_renew,
    })
}

/// The raft group that was fixed, or the one to fix now.
fn raft_group(context: &Context) -> String {
    context.environment.raft_group.clone().unwrap_or_else(|| proposed_raft_group(context.identity))
}

/// How the metas know their members; `None` where the version does not tell.
fn membership(spec: &RegistryClusterSpec, notes: &mut Notes) -> Option<MembershipKind> {
    let kind = spec.membership_kind();
    let sentence = match (spec.version.line(), kind) {
        (_, None) => Some(sentences::MEMBERSHIP_UNKNOWN),
        (Line::OpenSource5, Some(kind)) if kind != MembershipKind::RaftByAddress => {
            Some(sentences::MEMBERSHIP_5)
        }
        (Line::OpenSource6, Some(kind)) if kind != MembershipKind::Database => Some(sentences::MEMBERSHIP_6),
        _ => None,
    };
    if let Some(sentence) = sentence {
        notes.wrong("membership", sentence);
    }
    if spec.version.line() == Line::Other {
        recommend(&spec.version, spec.membership.unwrap_or_default(), notes);
    }
    kind
}

/// What the guide says of commercial versions is advice: editions differ, and the person knows theirs.
fn recommend(version: &Version, membership: Membership, notes: &mut Notes) {
    let heals = numbers(version) >= SELF_HEALING;
    match membership {
        Membership::RaftByAddress if heals => notes.warn(
            "membership",
            format!("membership of version {version} is RaftSelfHealing by the operations guide: check which one it is"),
        ),
        Membership::RaftSelfHealing if !heals => notes.warn(
            "membership",
            format!(
                "membership of version {version} is RaftByAddress by the operations guide, new addresses are then never \
                 followed: check which one it is"
            ),
        ),
        _ => {}
    }
}

/// What runs cannot become anything.
fn change(spec: &RegistryClusterSpec, to: Option<MembershipKind>, context: &Context, notes: &mut Notes) {
    let previous = context.previous;
    let by_version = |version: &Version| match version.line() {
        Line::OpenSource5 => Some(MembershipKind::RaftByAddress),
        Line::OpenSource6 => Some(MembershipKind::Database),
        Line::Other => None,
    };
    let from = previous.membership.or_else(|| previous.version.as_ref().and_then(by_version));
    if let (Some(from), Some(to)) = (from, to)
        && (from == MembershipKind::Database) != (to == MembershipKind::Database)
    {
        notes.refuse(Reason::MembershipChange, "version", sentences::MEMBERSHIP_CHANGE);
    } else if let Some(version) = &previous.version
        && version.line() != spec.version.line()
    {
        notes.refuse(
            Reason::MembershipChange,
            "version",
            format!(
                "version {} is of another line than {version}, which runs: the two cannot be mixed while one replaces \
                 the other: put the version back, or make a new cluster and move the clients",
                spec.version
            ),
        );
    }
}

fn components(
    spec: &RegistryClusterSpec,
    membership: Option<MembershipKind>,
    notes: &mut Notes,
) -> [ValidComponent; 3] {
    let part = |role| Part {
        product: Product::Registry,
        role,
        profile: spec.profile.unwrap_or_default(),
        version: &spec.version,
        image: &spec.image,
    };
    let meta = component(spec.meta.as_ref(), part(Role::Meta), notes);
    if meta.replicas.is_multiple_of(2) || meta.replicas > 7 {
        notes.wrong("meta.replicas", sentences::META_REPLICAS);
    }
    let raft = matches!(membership, Some(MembershipKind::RaftByAddress | MembershipKind::RaftSelfHealing));
    if raft && matches!(meta.storage, SizedStorage::Ephemeral { .. }) {
        notes.wrong("meta.storage.type", sentences::META_STORAGE);
    }
    let data = component(spec.data.as_ref(), part(Role::Data), notes);
    let session = component(spec.session.as_ref(), part(Role::Session), notes);
    let asked = [(Role::Data, &spec.data), (Role::Session, &spec.session)];
    for (role, spec) in asked {
        let kind = spec.as_ref().and_then(|spec| spec.storage.as_ref()).and_then(|storage| storage.kind);
        if kind == Some(StorageKind::Ephemeral) {
            let name = role.field();
            notes.warn(
                format!("{name}.storage.type"),
                format!(
                    "{name}.storage.type is Ephemeral, its logs go with each pod: use Claim to keep them"
                ),
            );
        }
    }
    [meta, data, session]
}

fn recovery(spec: &RegistryClusterSpec, context: &Context, notes: &mut Notes) -> RecoveryRules {
    let asked = spec.recovery.as_ref().and_then(|r| r.meta_majority.clone()).unwrap_or_default();
    if let Some(confirm) = &asked.confirm {
        let name = confirm.survivor.as_str();
        // The name of the member, or that of its pod.
        let own = name.strip_prefix(context.identity.name.as_str()).and_then(|rest| rest.strip_prefix('-'));
        let ordinal = own.unwrap_or(name).strip_prefix("meta-").and_then(|number| number.parse::<u32>().ok());
        if ordinal.is_none() {
            notes.wrong(
                "recovery.metaMajority.confirm.survivor",
                format!(
                    "recovery.metaMajority.confirm.survivor is '{name}', which is no meta of this cluster: take one \
                     from status.incident.survivors, such as meta-0"
                ),
            );
        }
    }
    RecoveryRules { mode: asked.mode.unwrap_or_default(), confirm: asked.confirm }
}

fn disable_renew(spec: &RegistryClusterSpec, notes: &mut Notes) -> bool {
    let loses = spec.version.line() == Line::OpenSource5 && numbers(&spec.version) <= LAST_THAT_LOSES;
    let asked = spec.workarounds.as_ref().and_then(|w| w.renew_switch).unwrap_or_default();
    if loses && asked == RenewSwitch::Never {
        notes.warn(
            "workarounds.renewSwitch",
            format!(
                "workarounds.renewSwitch is Never, version {} loses publishers when a client publishes one of several \
                 again: leave it out, or use a later version",
                spec.version
            ),
        );
    }
    loses && asked == RenewSwitch::Auto
}

fn numbers(version: &Version) -> (u32, u32, u32) {
    (version.major, version.minor, version.patch)
}
