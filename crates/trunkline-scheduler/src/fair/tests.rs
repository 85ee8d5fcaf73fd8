use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn key(due_ms: u64, arrival: u64) -> Key {
    (Duration::from_millis(due_ms), arrival)
}

/// Serves `count` items of cost 10 and returns whose.
fn serve(queue: &mut FairQueue<u64>, count: usize) -> Vec<u32> {
    let mut served = Vec::new();
    for _ in 0..count {
        let Some(head) = queue.take() else {
            break;
        };
        queue.charge(head.tenant, 10);
        queue.done(head.tenant);
        served.push(head.tenant.0);
    }
    served
}

#[test]
fn the_earliest_deadline_goes_first_across_tenants() {
    let mut queue = FairQueue::new(100);
    queue.insert(TenantId(1), key(30, 1), 1);
    queue.insert(TenantId(2), key(10, 2), 2);
    queue.insert(TenantId(1), key(20, 3), 3);
    assert_eq!(queue.len(), 3);
    assert_eq!(serve(&mut queue, 9), [2, 1, 1]);
    assert!(queue.is_empty());
}

#[test]
fn a_tenant_with_early_deadlines_runs_ahead_by_the_lead_only() {
    let mut queue = FairQueue::new(20);
    for n in 0..10 {
        queue.insert(TenantId(1), key(0, n), n);
        queue.insert(TenantId(2), key(1000, 100 + n), n);
    }
    assert_eq!(serve(&mut queue, 8), [1, 1, 1, 2, 1, 2, 1, 2]);
}

#[test]
fn a_tenant_that_was_away_saves_no_credit_and_keeps_its_debt() {
    let mut queue = FairQueue::new(0);
    queue.insert(TenantId(1), key(0, 0), 0);
    queue.insert(TenantId(2), key(1, 1), 1);
    serve(&mut queue, 2);
    for n in 0..5 {
        queue.insert(TenantId(1), key(0, 10 + n), n);
    }
    serve(&mut queue, 3);
    for n in 0..5 {
        queue.insert(TenantId(2), key(0, 20 + n), n);
    }
    // Tenant 1 was served 40, tenant 2 only 10, but its pause does not count.
    assert_eq!(serve(&mut queue, 3), [1, 2, 1]);
}

#[test]
fn a_taken_item_keeps_its_tenants_place() {
    let mut queue = FairQueue::new(0);
    queue.insert(TenantId(1), key(0, 0), 0);
    queue.insert(TenantId(2), key(1, 1), 1);
    queue.charge(TenantId(2), 30);
    let head = queue.take().unwrap();
    queue.insert(TenantId(2), key(2, 2), 2);
    queue.insert(head.tenant, head.key, head.item);
    queue.done(head.tenant);
    for n in 0..5 {
        queue.insert(TenantId(1), key(9, 10 + n), n);
    }
    // Tenant 1 is behind by 30, as before its item was taken.
    assert_eq!(serve(&mut queue, 5), [1, 1, 1, 2, 1]);
}

#[test]
fn tenants_that_are_gone_are_forgotten() {
    let mut queue = FairQueue::new(0);
    for n in 0..1000 {
        queue.insert(TenantId(n), key(0, u64::from(n)), u64::from(n));
        serve(&mut queue, 1);
    }
    assert!(queue.tenants.len() < 100);
}

proptest! {
    /// The bound that the settings state: the lead and one serving.
    #[test]
    fn two_that_wait_are_served_alike(
        lead in 0..200_u64,
        servings in prop::collection::vec((0..3_u32, 0..50_u64, 1..40_u64), 1..200),
    ) {
        let mut queue = FairQueue::new(lead);
        let mut served = [0; 3];
        let mut arrival = 0;
        for tenant in 0..3 {
            for _ in 0..200 {
                arrival += 1;
                queue.insert(TenantId(tenant), key(u64::from(tenant) * 7, arrival), arrival);
            }
        }
        for (urgent, due, cost) in servings {
            arrival += 1;
            queue.insert(TenantId(urgent), key(due, arrival), arrival);
            let head = queue.take().unwrap();
            queue.charge(head.tenant, cost);
            queue.done(head.tenant);
            served[head.tenant.0 as usize] += cost;
            let most = served.iter().max().unwrap();
            let least = served.iter().min().unwrap();
            prop_assert!(most - least <= lead + 40, "{served:?}");
        }
    }
}
