use proptest::prelude::*;

use super::*;
use crate::TenantId;
use crate::tests::{call, ms};

fn job(class: Class, length: usize, deadline: u64) -> Job<u32> {
    Job {
        origin: Origin {
            call: call(0),
            epoch: Epoch(0),
            tenant: TenantId(0),
        },
        class,
        deadline: ms(deadline),
        length,
        work: 0,
    }
}

fn settings() -> BatchSettings {
    BatchSettings {
        buckets: vec![10, 20, 40],
        max_batch_cost: 80,
        max_rider_cost: 80,
        max_batch_jobs: 6,
        ..BatchSettings::default()
    }
}

fn queue() -> BatchQueue<u32> {
    BatchQueue::new(settings()).unwrap()
}

fn ids<T>(batch: &Batch<T>) -> Vec<JobId> {
    batch.jobs.iter().map(|(id, _)| *id).collect()
}

#[test]
fn a_batch_is_padded_to_its_head_and_stays_under_the_cost() {
    let mut queue = queue();
    let mut push = |length, deadline| {
        let job = job(Class::TurnCritical, length, deadline);
        queue.push(ms(0), job).unwrap()
    };
    let long = push(35, 500);
    let head = push(15, 100);
    let short = push(3, 200);
    let middle: Vec<JobId> = (0..3).map(|n| push(20, 300 + n)).collect();
    let batch = queue.pop(ms(0)).unwrap();
    assert_eq!((batch.length, batch.cost()), (20, 80));
    assert_eq!(ids(&batch), [head, short, middle[0], middle[1]]);
    let batch = queue.pop(ms(0)).unwrap();
    assert_eq!(ids(&batch), [middle[2]]);
    assert_eq!(ids(&queue.pop(ms(0)).unwrap()), [long]);
    assert!(queue.pop(ms(0)).is_none() && queue.is_empty());
    let metrics = queue.metrics();
    assert_eq!(metrics.cost_popped, 80 + 20 + 40);
    assert_eq!(metrics.padding_popped, 140 - 35 - 15 - 3 - 60);
}

#[test]
fn lower_classes_ride_along_only_as_far_as_it_costs_nothing() {
    let cautious = BatchSettings {
        max_rider_cost: 30,
        ..settings()
    };
    let mut queue = BatchQueue::new(cautious).unwrap();
    for _ in 0..5 {
        queue.push(ms(0), job(Class::Background, 10, 0)).unwrap();
    }
    queue
        .push(ms(0), job(Class::TurnCritical, 10, 100))
        .unwrap();
    let batch = queue.pop(ms(0)).unwrap();
    let classes: Vec<Class> = batch.jobs.iter().map(|(_, job)| job.class).collect();
    let expected = [Class::TurnCritical, Class::Background, Class::Background];
    assert_eq!(classes, expected);
}

#[test]
fn each_class_heads_its_share_of_the_batches() {
    let alone = BatchSettings {
        max_batch_jobs: 1,
        ..settings()
    };
    let mut queue = BatchQueue::new(alone).unwrap();
    let mut heads = PerClass::<i32>::default();
    for class in Class::ALL {
        queue.push(ms(0), job(class, 10, 100)).unwrap();
    }
    for _ in 0..200 {
        let class = queue.pop(ms(0)).unwrap().jobs[0].1.class;
        heads[class] += 1;
        queue.push(ms(0), job(class, 10, 100)).unwrap();
    }
    // 20, 10 and 5 percent of 200, where those due at the very end may still be owed.
    for (class, share) in Class::ALL.into_iter().zip([130, 40, 20, 10]) {
        assert!((heads[class] - share).abs() <= 3, "{heads:?}");
    }
}

#[test]
fn tenants_share_a_class() {
    let alone = BatchSettings {
        max_batch_jobs: 1,
        fair_lead_cost: 20,
        ..settings()
    };
    let mut queue = BatchQueue::new(alone).unwrap();
    for (tenant, deadline) in [(1, 10), (2, 1000)] {
        for _ in 0..20 {
            let mut job = job(Class::Playing, 10, deadline);
            job.origin.tenant = TenantId(tenant);
            queue.push(ms(0), job).unwrap();
        }
    }
    let mut served = [0_i32; 2];
    for _ in 0..30 {
        let batch = queue.pop(ms(0)).unwrap();
        served[batch.jobs[0].1.origin.tenant.0 as usize - 1] += 10;
        assert!(served[0] - served[1] <= 30 && served[1] <= served[0]);
    }
}

#[test]
fn a_cancelled_call_is_in_no_batch() {
    let mut queue = queue();
    let mine = queue.push(ms(0), job(Class::Playing, 10, 0)).unwrap();
    let mut other = job(Class::Playing, 10, 0);
    other.origin.call = call(1);
    let other = queue.push(ms(0), other).unwrap();
    let mut later = job(Class::Playing, 10, 0);
    later.origin.epoch = Epoch(3);
    let later = queue.push(ms(0), later).unwrap();
    assert_eq!(queue.cancel_call(call(0), Epoch(2)).len(), 1);
    assert_eq!(queue.cancel(mine), None);
    assert_eq!(ids(&queue.pop(ms(0)).unwrap()), [other, later]);
    assert_eq!(queue.cancel(later), None);
    assert_eq!(queue.metrics().cancelled, 1);
}

#[test]
fn a_full_queue_gives_the_job_back_or_displaces_a_less_urgent_one() {
    let few = BatchSettings {
        max_waiting_jobs: 2,
        ..settings()
    };
    let mut queue = BatchQueue::new(few).unwrap();
    let mut waiting = job(Class::Background, 10, 0);
    waiting.work = 7;
    queue.push(ms(0), waiting).unwrap();
    queue.push(ms(0), job(Class::Playing, 10, 0)).unwrap();
    let mut refused = job(Class::Background, 10, 0);
    refused.work = 8;
    let refused = queue.push(ms(0), refused).unwrap_err();
    assert_eq!(refused.job.work, 8);
    assert!(matches!(refused.error, SchedulerError::Overloaded { .. }));
    queue.push(ms(0), job(Class::Playing, 10, 0)).unwrap();
    let shed = queue.take_shed();
    assert_eq!(
        (shed[0].job.work, shed[0].reason),
        (7, ShedReason::Displaced)
    );
    assert!(queue.push(ms(0), job(Class::Playing, 10, 0)).is_err());
}

#[test]
fn what_waited_in_vain_is_shed_with_the_reason() {
    let mut queue = queue();
    queue.push(ms(0), job(Class::Speculative, 10, 0)).unwrap();
    queue.push(ms(0), job(Class::Playing, 10, 0)).unwrap();
    assert_eq!(queue.pop(ms(3000)).unwrap().jobs.len(), 1);
    assert_eq!(queue.take_shed()[0].reason, ShedReason::WaitedTooLong);
}

#[test]
fn a_job_longer_than_the_longest_bucket_is_refused() {
    let mut queue = queue();
    let refused = queue.push(ms(0), job(Class::Playing, 41, 0)).unwrap_err();
    let error = SchedulerError::TooCostly {
        cost: 41,
        limit: 40,
    };
    assert_eq!(refused.error, error);
    let mut bad = settings();
    bad.buckets = vec![20, 10];
    assert!(matches!(
        BatchQueue::<u32>::new(bad),
        Err(SchedulerError::Settings(_))
    ));
}

#[derive(Debug, Clone)]
enum Op {
    Push(usize, u32, u8, usize, u64),
    Pop(u64),
    Cancel(u64),
    CancelCall(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..4_usize, 0..3_u32, 0..4_u8, 0..45_usize, 0..500_u64)
            .prop_map(|(class, tenant, call, length, due)| Op::Push(class, tenant, call, length, due)),
        2 => (0..400_u64).prop_map(Op::Pop),
        1 => (0..80_u64).prop_map(Op::Cancel),
        1 => (0..4_u8).prop_map(Op::CancelCall),
    ]
}

/// Does it all and says what was in each batch. Each job must come back once.
fn drive(ops: &[Op]) -> String {
    let few = BatchSettings {
        max_waiting_jobs: 12,
        max_rider_cost: 40,
        ..settings()
    };
    let mut queue = BatchQueue::new(few).unwrap();
    let (mut now, mut pushed, mut trace) = (ms(0), 0, String::new());
    let mut out = BTreeSet::new();
    let mut back = |job: &Job<u32>| assert!(out.insert(job.work), "twice");
    for op in ops {
        match op {
            Op::Push(class, tenant, number, length, due) => {
                let mut job = job(Class::ALL[*class], *length, *due);
                job.origin.tenant = TenantId(*tenant);
                job.origin.call = call(*number);
                job.work = pushed;
                pushed += 1;
                if let Err(refused) = queue.push(now, job) {
                    back(&refused.job);
                }
            }
            Op::Pop(wait) => {
                now += ms(*wait);
                if let Some(batch) = queue.pop(now) {
                    assert!(batch.cost() <= 80 && !batch.jobs.is_empty());
                    assert!(batch.jobs.iter().all(|(_, job)| job.length <= batch.length));
                    batch.jobs.iter().for_each(|(_, job)| back(job));
                    trace += &format!("{batch:?}\n");
                }
            }
            Op::Cancel(id) => queue.cancel(JobId(*id)).iter().for_each(&mut back),
            Op::CancelCall(number) => queue
                .cancel_call(call(*number), Epoch(0))
                .iter()
                .for_each(&mut back),
        }
        queue.take_shed().iter().for_each(|shed| back(&shed.job));
    }
    while let Some(batch) = queue.pop(now) {
        batch.jobs.iter().for_each(|(_, job)| back(job));
        queue.take_shed().iter().for_each(|shed| back(&shed.job));
    }
    queue.take_shed().iter().for_each(|shed| back(&shed.job));
    assert_eq!(out.len(), pushed as usize, "a job was lost");
    assert_eq!(queue.metrics().waiting_cost, 0);
    trace
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_job_comes_back_once_and_the_same_calls_give_the_same_batches(
        ops in prop::collection::vec(op(), 1..200),
    ) {
        prop_assert_eq!(drive(&ops), drive(&ops));
    }
}
