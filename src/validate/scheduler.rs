//! A `SchedulerCluster`, checked.
//!
//! May import `types`, `api` and the other modules of `validate`.

use super::component::{Part, component, console};
use super::database::database;
use super::input::{Context, login, registry};
use super::problem::{Invalid, Notes};
use super::valid::{Common, PowerJobRules, Product, ValidScheduler};
use super::{image, rollout, sentences};
use crate::api::v1alpha1::{Engine, Reason, Role, SchedulerClusterSpec, Strategy, Switch};

/// The spec of a `SchedulerCluster` with everything resolved.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn validate_scheduler(
    spec: &SchedulerClusterSpec,
    context: &Context,
) -> Result<ValidScheduler, Vec<Invalid>> {
    let mut notes = Notes::default();
    rollout::name(context, &mut notes);
    image::check("image", &spec.image, &spec.version, &mut notes);
    if let Some(own) = spec.console.as_ref().and_then(|console| console.image.as_ref()) {
        image::check("console.image", own, &spec.version, &mut notes);
    }
    engine(spec, &mut notes);
    let product = match spec.engine {
        Engine::AntScheduler => Product::AntScheduler,
        Engine::PowerJob => Product::PowerJob,
    };
    let part = |role| Part {
        product,
        role,
        profile: spec.profile.unwrap_or_default(),
        version: &spec.version,
        image: &spec.image,
    };
    let server = component(spec.server.as_ref(), part(Role::Server), &mut notes);
    let console = (spec.engine == Engine::AntScheduler)
        .then(|| console(spec.console.as_ref(), part(Role::Console), &mut notes));
    let database =
        spec.database.as_ref().map(|spec| database(spec, product, &context.references.database, &mut notes));
    let registry = spec.registry_ref.as_ref().map(|reference| registry(reference, context, &mut notes));
    let powerjob = powerjob(spec, context, &mut notes);
    let network = rollout::network(spec.network_policy.as_ref(), std::iter::empty(), context, &mut notes);
    let rollout = rollout::rollout(spec.rollout.as_ref(), &mut notes);
    let (Some(database), true) = (database, notes.problems.is_empty()) else {
        return Err(notes.problems);
    };
    Ok(ValidScheduler {
        common: Common {
            identity: context.identity.clone(),
            product,
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
        engine: spec.engine,
        server,
        console,
        database,
        registry,
        mq: spec.mq.clone(),
        dependencies: spec.dependencies.clone().unwrap_or_default(),
        connection_counting: spec.connection_counting.unwrap_or(Switch::Enabled),
        task_gate: spec.task_gate.as_ref().map(|gate| gate.path.clone()),
        powerjob,
    })
}

/// What one engine needs and the other has not.
fn engine(spec: &SchedulerClusterSpec, notes: &mut Notes) {
    match spec.engine {
        Engine::AntScheduler => {
            if spec.database.is_none() {
                notes.wrong("database", sentences::ANT_DATABASE);
            }
            if spec.registry_ref.is_none() {
                notes.wrong("registryRef", sentences::ANT_REGISTRY);
            }
            if spec.powerjob.is_some() {
                notes.wrong("powerjob", sentences::POWERJOB_ONLY);
            }
        }
        Engine::PowerJob => {
            if spec.database.is_none() {
                notes.wrong("database", sentences::POWERJOB_DATABASE);
            }
            let foreign = [
                ("console", spec.console.is_some()),
                ("mq", spec.mq.is_some()),
                ("registryRef", spec.registry_ref.is_some()),
                ("connectionCounting", spec.connection_counting.is_some()),
                ("taskGate", spec.task_gate.is_some()),
            ];
            if let Some((field, _)) = foreign.into_iter().find(|(_, there)| *there) {
                notes.wrong(field, sentences::ANT_ONLY);
            }
            if spec.rollout.as_ref().and_then(|rollout| rollout.strategy) == Some(Strategy::TwoGroups) {
                notes.wrong("rollout.strategy", sentences::POWERJOB_STRATEGY);
            }
        }
    }
}

/// What becomes of firings that are lost where a server is stopped without moving its apps.
pub(crate) const fn what_is_lost(retried: bool) -> &'static str {
    if retried {
        "what is lost is run again"
    } else {
        "set powerjob.retryLost, so that what is lost is run again"
    }
}

fn powerjob(spec: &SchedulerClusterSpec, context: &Context, notes: &mut Notes) -> Option<PowerJobRules> {
    if spec.engine != Engine::PowerJob {
        return None;
    }
    let rules = spec.powerjob.clone().unwrap_or_default();
    let operator_login = rules.database_secret_ref.map(|secret| {
        login("powerjob.databaseSecretRef", &secret, &context.references.operator_login, notes)
    });
    let retry_lost = rules.retry_lost.unwrap_or(Switch::Disabled);
    let version = &spec.version;
    if operator_login.is_none() {
        notes.degrade(
            Reason::AppsNotMoved,
            "powerjob.databaseSecretRef",
            "powerjob.databaseSecretRef is missing, a restart then stops each server without moving its apps first and \
             firings may get lost: give the operator a user of the database",
        );
    } else if !version.moves_apps() {
        let rest = what_is_lost(retry_lost == Switch::Enabled);
        notes.degrade(
            Reason::AppsNotMoved,
            "version",
            format!(
                "apps are moved with versions 4.3.8 and 4.3.9 only, version is {version}: a restart stops each server without moving \
                 its apps first and firings may get lost: {rest}"
            ),
        );
    }
    Some(PowerJobRules {
        moves_apps: operator_login.is_some() && version.moves_apps(),
        operator_login,
        retry_lost,
    })
}
