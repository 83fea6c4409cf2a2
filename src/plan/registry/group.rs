//! Our entries in the push group's object: that we hold push closed, and that we are the one that acts.

use super::picture::Picture;
use crate::api::v1alpha1::PushOwner;
use crate::observe::Actor;
use crate::plan::decision::GroupChange;
use crate::plan::memory::Memory;
use crate::types::DnsLabel;

impl Picture<'_> {
    /// The group that counts now: the one for which push was closed, else that of the spec. A new `spec.pushGroup` counts
    /// only when push is open again, so that no group is left with a holder that has forgotten it.
    pub(crate) fn effective_group<'b>(&'b self, memory: &'b Memory) -> Option<&'b DnsLabel> {
        if memory.push.owner == Some(PushOwner::Operator) {
            memory.push.group.as_ref()
        } else {
            self.t.push_group.as_ref()
        }
    }

    /// Whether no entry of ours is left in the group's object: a dead holder would keep the others closed for ever.
    pub(crate) fn has_left_the_group(&self) -> bool {
        let Some(group) = &self.w.group else { return true };
        crate::observe::read(Some(group), self.cutoff).is_ok_and(|v| !v.we_hold && v.actor != Actor::Us)
    }

    /// What has to be changed in the group's object now.
    pub(crate) fn group_change(&self, memory: &Memory) -> Option<GroupChange> {
        let group = self.effective_group(memory)?;
        let view = self.w.group.as_ref().and_then(|g| crate::observe::read(Some(g), self.cutoff).ok())?;
        let hold = !self.deleting() && self.holds_group(memory);
        let act = hold && view.actor != Actor::Other;
        let right = view.we_hold == hold && (view.actor == Actor::Us) == act;
        (!right).then(|| GroupChange { group: group.clone(), hold, act })
    }
}
