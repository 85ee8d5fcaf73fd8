//! One class's queue: the earliest deadline first, as long as no tenant runs too far ahead.
//!
//! Each tenant has a count of what it was served. Of the tenants that wait, those no more than a
//! lead ahead of the one served least may go; among them the earliest deadline does. A tenant that
//! comes back after a pause starts at the least count of those that wait, so that nobody saves up
//! credit, nor loses a debt by leaving.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::TenantId;

/// The order inside a tenant: deadline, then arrival.
pub(crate) type Key = (Duration, u64);

/// What is served next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head<I> {
    pub(crate) tenant: TenantId,
    pub(crate) key: Key,
    pub(crate) item: I,
}

#[derive(Debug)]
struct Tenant<I> {
    served: u64,
    items: BTreeMap<Key, I>,
    /// Items that were taken and may come back: the tenant still waits.
    taken: usize,
    /// The head under which it stands in `eligible`; `None` while it is held back or has no item.
    eligible_as: Option<Key>,
}

/// Items of many tenants.
#[derive(Debug)]
pub(crate) struct FairQueue<I> {
    lead: u64,
    /// What the least served tenant that waits had; never falls.
    floor: u64,
    len: usize,
    tenants: BTreeMap<TenantId, Tenant<I>>,
    /// Tenants that wait, by what they were served.
    by_served: BTreeSet<(u64, TenantId)>,
    /// Tenants that may go, by their earliest item.
    eligible: BTreeSet<(Key, TenantId)>,
    /// Tenants with items that are too far ahead.
    held: BTreeSet<(u64, TenantId)>,
}

impl<I: Copy> FairQueue<I> {
    /// `lead` in the unit of [`charge`](Self::charge).
    pub(crate) fn new(lead: u64) -> Self {
        Self {
            lead,
            floor: 0,
            len: 0,
            tenants: BTreeMap::new(),
            by_served: BTreeSet::new(),
            eligible: BTreeSet::new(),
            held: BTreeSet::new(),
        }
    }

    /// Items that wait, without those taken.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn insert(&mut self, tenant: TenantId, key: Key, item: I) {
        self.forget_the_served();
        self.len += 1;
        self.change(tenant, |tenant| {
            tenant.items.insert(key, item);
        });
    }

    /// Takes an item out for good.
    pub(crate) fn remove(&mut self, tenant: TenantId, key: Key) -> Option<I> {
        let mut removed = None;
        self.change(tenant, |tenant| removed = tenant.items.remove(&key));
        self.len -= usize::from(removed.is_some());
        removed
    }

    pub(crate) fn first(&self) -> Option<Head<I>> {
        let (key, tenant) = *self.eligible.first()?;
        let item = *self.tenants.get(&tenant)?.items.get(&key)?;
        Some(Head { tenant, key, item })
    }

    /// Takes the first out, to be inserted again or not; [`done`](Self::done) must follow. Until
    /// then its tenant counts as waiting.
    pub(crate) fn take(&mut self) -> Option<Head<I>> {
        let head = self.first()?;
        self.len -= 1;
        self.change(head.tenant, |tenant| {
            tenant.items.remove(&head.key);
            tenant.taken += 1;
        });
        Some(head)
    }

    /// Ends one [`take`](Self::take) of this tenant.
    pub(crate) fn done(&mut self, tenant: TenantId) {
        self.change(tenant, |tenant| {
            tenant.taken = tenant.taken.saturating_sub(1);
        });
    }

    /// Counts what a tenant was served.
    pub(crate) fn charge(&mut self, tenant: TenantId, amount: u64) {
        self.change(tenant, |tenant| tenant.served += amount);
    }

    /// Changes one tenant and puts it where it belongs.
    fn change(&mut self, id: TenantId, change: impl FnOnce(&mut Tenant<I>)) {
        let floor = self.floor;
        let tenant = self.tenants.entry(id).or_insert_with(|| Tenant {
            served: floor,
            items: BTreeMap::new(),
            taken: 0,
            eligible_as: None,
        });
        let waited = tenant.waits();
        if waited {
            self.by_served.remove(&(tenant.served, id));
        } else {
            tenant.served = tenant.served.max(floor);
        }
        match tenant.eligible_as.take() {
            Some(key) => self.eligible.remove(&(key, id)),
            None => self.held.remove(&(tenant.served, id)),
        };
        change(tenant);
        if tenant.waits() {
            self.by_served.insert((tenant.served, id));
        }
        if !tenant.items.is_empty() {
            self.held.insert((tenant.served, id));
        }
        self.let_go();
    }

    /// Raises the floor and frees those who are no longer too far ahead of it.
    fn let_go(&mut self) {
        if let Some((least, _)) = self.by_served.first() {
            self.floor = self.floor.max(*least);
        }
        while let Some((served, id)) = self.held.first().copied() {
            if served > self.floor + self.lead {
                break;
            }
            self.held.pop_first();
            let Some(tenant) = self.tenants.get_mut(&id) else {
                continue;
            };
            if let Some((key, _)) = tenant.items.first_key_value() {
                tenant.eligible_as = Some(*key);
                self.eligible.insert((*key, id));
            }
        }
    }

    /// Forgets tenants that are gone and owe nothing, so that a stream of new ones does not grow
    /// the table.
    fn forget_the_served(&mut self) {
        if self.tenants.len() > 2 * self.by_served.len() + 64 {
            let floor = self.floor;
            self.tenants
                .retain(|_, tenant| tenant.waits() || tenant.served > floor);
        }
    }
}

impl<I> Tenant<I> {
    fn waits(&self) -> bool {
        !self.items.is_empty() || self.taken > 0
    }
}

#[cfg(test)]
mod tests;
