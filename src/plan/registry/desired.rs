//! What each role should have now: its replicas, and the template from which a pod is made that is lost meanwhile.

use super::ROLES;
use super::picture::Picture;
use crate::api::v1alpha1::Role;
use crate::plan::decision::Command;
use crate::plan::desired::{Desired, DesiredRole, TemplateChoice};
use crate::plan::machine::Turn;

impl Picture<'_> {
    /// What each role should have now. Nothing in it disturbs anybody when it is applied.
    pub(crate) fn desired(&self, turn: &Turn) -> Desired {
        let mut desired = Desired { meta_names: self.replicas(Role::Meta), ..Desired::default() };
        if self.facts_are_fresh().is_err() {
            self.keep_all(&mut desired);
        } else if self.deleting() {
            self.end_in_order(&mut desired, turn);
        } else {
            for role in ROLES {
                if let Some(wanted) = self.desired_role(role, turn.command.as_ref()) {
                    desired.roles.insert(role, wanted);
                }
            }
        }
        let metas = desired.roles.get(&Role::Meta).map_or(0, |r| r.replicas);
        desired.meta_names = desired.meta_names.max(metas);
        desired
    }

    fn keep_all(&self, desired: &mut Desired) {
        for (role, workload) in &self.w.kubernetes.workloads {
            let kept = DesiredRole { replicas: workload.replicas, template: TemplateChoice::Keep };
            desired.roles.insert(*role, kept);
        }
    }

    fn desired_role(&self, role: Role, command: Option<&Command>) -> Option<DesiredRole> {
        let Some(workload) = self.w.kubernetes.workloads.get(&role) else {
            return self
                .may_begin(role)
                .then(|| DesiredRole { replicas: self.wanted(role), template: TemplateChoice::Target });
        };
        let replicas = match command {
            Some(Command::Scale { role: scaled, replicas }) if *scaled == role => *replicas,
            _ => workload.replicas,
        };
        let is_its_turn = match command {
            Some(Command::StopPods { targets, .. }) => targets.iter().any(|t| t.member.role == role),
            Some(Command::Scale { role: scaled, .. }) => *scaled == role,
            _ => false,
        };
        let is_target = self.target(role).is_some_and(|t| t.revision == workload.revision);
        let has_no_drift = self.drifted(role).next().is_none();
        let template = if is_its_turn || is_target || has_no_drift {
            TemplateChoice::Target
        } else {
            TemplateChoice::Keep
        };
        Some(DesiredRole { replicas, template })
    }

    /// Whether a role that has no workload yet may get one: a 5.x server that starts before its elders never recovers, a 6.x
    /// one ends (measured: sofaregistry §1, fact 2).
    fn may_begin(&self, role: Role) -> bool {
        match role {
            Role::Meta => true,
            Role::Data => self.converged(Role::Meta).is_ok(),
            _ => self.converged(Role::Meta).is_ok() && self.converged(Role::Data).is_ok(),
        }
    }

    /// Sessions end first, metas last; none while push of ours is still to be opened.
    fn end_in_order(&self, desired: &mut Desired, turn: &Turn) {
        self.keep_all(desired);
        if !self.is_deaf_to_opening(&turn.memory) {
            return;
        }
        for role in [Role::Session, Role::Data, Role::Meta] {
            if let Some(kept) = desired.roles.get_mut(&role) {
                kept.replicas = 0;
            }
            if self.pods(role).next().is_some() {
                return;
            }
        }
    }
}
