//! When each object is probed: one ordered queue for all of them. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// An object's id.
pub type Id = Arc<str>;

/// The queue. Times are since the plane started.
#[derive(Debug, Default)]
pub struct Schedule {
    entries: BTreeMap<Id, Entry>,
    queue: BTreeSet<(Duration, Id)>,
    running: usize,
}

#[derive(Debug)]
struct Entry {
    interval: Duration,
    /// When it is, or was last, due.
    due: Duration,
    running: bool,
    /// It was put in anew while it ran: `due` is still to come.
    renewed: bool,
}

impl Schedule {
    /// Puts an object in, or changes it: due at `first`, then once an interval.
    pub fn put(&mut self, id: &Id, interval: Duration, first: Duration) {
        let before = self.entries.remove(id);
        if let Some(before) = &before {
            self.queue.remove(&(before.due, Arc::clone(id)));
        }
        let running = before.is_some_and(|before| before.running);
        if !running {
            self.queue.insert((first, Arc::clone(id)));
        }
        self.entries.insert(Arc::clone(id), Entry { interval, due: first, running, renewed: running });
    }

    /// Takes an object out. When it is being probed, [`Schedule::done`] is still owed.
    pub fn remove(&mut self, id: &str) {
        if let Some((id, entry)) = self.entries.remove_entry(id) {
            self.queue.remove(&(entry.due, id));
        }
    }

    /// When the next object is due.
    #[must_use]
    pub fn next(&self) -> Option<Duration> {
        self.queue.first().map(|(due, _)| *due)
    }

    /// Probes that run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running
    }

    /// Takes the object that has been due longest, if one is due; its probe starts now.
    pub fn take(&mut self, now: Duration) -> Option<Id> {
        if self.next()? > now {
            return None;
        }
        let (_, id) = self.queue.pop_first()?;
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.running = true;
        }
        self.running += 1;
        Some(id)
    }

    /// The probe of an object has ended. It is due again one interval after it was due; turns that were missed are left out.
    pub fn done(&mut self, id: &Id, now: Duration) {
        self.running = self.running.saturating_sub(1);
        let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.running) else { return };
        entry.running = false;
        if !std::mem::take(&mut entry.renewed) {
            entry.due += entry.interval;
            if entry.due <= now {
                let late = (now - entry.due).as_nanos() / entry.interval.as_nanos().max(1);
                entry.due += entry.interval * u32::try_from(late + 1).unwrap_or(u32::MAX);
            }
        }
        self.queue.insert((entry.due, Arc::clone(id)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::World;

    const SECOND: Duration = Duration::from_secs(1);

    fn id(number: usize) -> Id {
        format!("mo-{number:04}").into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_objects_take_their_turns_evenly() {
        let world = World::seeded(7);
        let mut schedule = Schedule::default();
        for number in 0..1000 {
            schedule.put(&id(number), SECOND, world.up_to(SECOND));
        }
        let tick = Duration::from_millis(10);
        let mut now = Duration::ZERO;
        let mut counts: BTreeMap<Id, usize> = BTreeMap::new();
        let mut most = 0;
        for _ in 0..6_000 {
            now += tick;
            let mut started = 0;
            while let Some(id) = schedule.take(now) {
                *counts.entry(Arc::clone(&id)).or_default() += 1;
                started += 1;
                schedule.done(&id, now);
            }
            most = most.max(started);
            assert!(schedule.queue.len() == 1000 && schedule.entries.len() == 1000, "the queue does not grow");
        }
        assert!(counts.len() == 1000 && counts.values().all(|count| (59..=61).contains(count)));
        assert!(most <= 30, "{most} of 1000 in one hundredth of an interval");
    }

    #[test]
    fn what_is_late_is_not_made_up_for() {
        let mut schedule = Schedule::default();
        schedule.put(&id(1), SECOND, SECOND);
        assert_eq!(schedule.take(SECOND / 2), None);
        assert_eq!(schedule.take(SECOND), Some(id(1)));
        assert_eq!(schedule.take(SECOND * 60), None, "it runs");
        schedule.done(&id(1), SECOND * 7 / 2);
        assert_eq!(schedule.next(), Some(SECOND * 4));
        schedule.take(SECOND * 4);
        schedule.done(&id(1), SECOND * 5);
        assert_eq!(schedule.next(), Some(SECOND * 6), "its turn at 5 is over");
        assert_eq!(schedule.running(), 0);
    }

    #[test]
    fn objects_change_and_go_while_they_run() {
        let mut schedule = Schedule::default();
        schedule.put(&id(1), SECOND, SECOND);
        schedule.take(SECOND);
        schedule.put(&id(1), SECOND * 10, SECOND * 2);
        assert_eq!(schedule.next(), None, "never two at a time");
        schedule.done(&id(1), SECOND * 3);
        assert_eq!(schedule.take(SECOND * 3), Some(id(1)), "the new settings are tried at once");
        schedule.remove("mo-0001");
        schedule.done(&id(1), SECOND * 4);
        assert!(schedule.next().is_none() && schedule.running() == 0 && schedule.entries.is_empty());
    }

    #[test]
    fn one_that_comes_back_while_its_last_probe_runs() {
        let mut schedule = Schedule::default();
        schedule.put(&id(1), SECOND, SECOND);
        schedule.take(SECOND);
        schedule.remove("mo-0001");
        schedule.put(&id(1), SECOND, SECOND * 2);
        schedule.done(&id(1), SECOND);
        assert_eq!(schedule.take(SECOND * 2), Some(id(1)));
        assert_eq!((schedule.running(), schedule.next()), (1, None));
    }
}
