//! Repair after a few changes, from the lowest level upwards. What must stay true: every link whose level is wrong is in
//! the queue.

use std::cmp::Reverse;

use super::{FlowIx, MaxMin, REPAIRS_PER_LINK};
use crate::id::LinkIx;
use crate::scheduler::log_steps::{FREE, LogStep};

impl MaxMin {
    /// Whether all levels are right again; if not, a filling from zero is cheaper.
    pub(super) fn repair(&mut self) -> bool {
        let mut repairs = self.loads.len().saturating_mul(REPAIRS_PER_LINK);
        while let Some(Reverse((_, link))) = self.queue.pop() {
            let Some(aim) = self.aim(link) else { continue };
            let key = aim.min(self.level(LinkIx(link)));
            if self.queue.peek().is_some_and(|Reverse((next, _))| *next < key) {
                self.queue.push(Reverse((key, link)));
                continue;
            }
            if repairs == 0 {
                return false;
            }
            repairs -= 1;
            self.move_link(link, aim);
        }
        true
    }

    /// Where a link's level belongs, or at least nearer to it; `None` if it is right.
    fn aim(&mut self, link: u32) -> Option<LogStep> {
        let (load, is_loose) = (self.loads.get_mut(link as usize)?, self.is_loose.get(link as usize)?);
        if *is_loose || !load.is_wrong() {
            load.is_queued = false;
            return None;
        }
        Some(load.next_level(self.grid).unwrap_or_else(|| self.find_level(link)))
    }

    /// Sets a link's level, and that of the flows that it stops.
    fn move_link(&mut self, link: u32, aim: LogStep) {
        let at = link as usize;
        let Some(level) = self.levels.get_mut(at) else { return };
        let old = std::mem::replace(level, aim);
        let mut drift = std::mem::take(&mut self.drift);
        drift.clear();
        if let (Some(load), Some(members)) = (self.loads.get_mut(at), self.members.get(at)) {
            load.set_level(aim, self.grid);
            for ix in members {
                let Some(flow) = self.flows.get(ix.at()) else { continue };
                load.count(flow.upto(), flow.weight);
                if flow.level > aim || (flow.level == old && old < aim) {
                    drift.push(*ix);
                }
            }
        }
        for ix in &drift {
            let (Some(flow), Some(path)) = (self.flows.get(ix.at()), self.paths.get(ix.at())) else { continue };
            let level = if old < aim { self.lowest(path) } else { aim };
            self.move_flow(*ix, level, flow.wants);
        }
        self.drift = drift;
        if let Some(load) = self.loads.get_mut(at) {
            load.is_queued = false;
        }
        self.look_again(LinkIx(link));
    }

    /// Sets a flow's level and demand, and adds the difference to every link of its path.
    pub(super) fn move_flow(&mut self, ix: FlowIx, level: LogStep, wants: LogStep) {
        let slack = self.slack();
        let Some(flow) = self.flows.get_mut(ix.at()) else { return };
        let (before, given) = (flow.upto(), flow.given());
        let wanted = std::mem::replace(&mut flow.wants, wants);
        flow.level = level;
        let (after, weight) = (flow.upto(), flow.weight);
        let is_within = after <= flow.bound && flow.bound <= after.saturating_add(2 * slack);
        let bound = if wanted == wants && is_within { flow.bound } else { after.saturating_add(slack).min(wants) };
        let bounded = std::mem::replace(&mut flow.bound, bound);
        if flow.given() != given {
            self.mark_moved(ix);
        }
        if bounded != bound {
            self.bind(ix, bounded, bound);
        }
        if before == after {
            return self.tighten();
        }
        let charge = |step| u128::from(self.grid.value(step)) * u128::from(weight);
        let (less, more) = (charge(before), charge(after));
        for link in self.paths.get(ix.at()).iter().flat_map(|path| path.iter()) {
            if self.is_loose.get(link.at()).is_none_or(|is_loose| *is_loose) {
                continue;
            }
            let Some(load) = self.loads.get_mut(link.at()) else { continue };
            load.above = (load.above + more).saturating_sub(less);
            load.discount(before, weight);
            load.count(after, weight);
            load.queue_up(link.0, &mut self.queue);
        }
        self.tighten();
    }

    /// Sets another bound of a flow on the links of its path.
    fn bind(&mut self, ix: FlowIx, before: LogStep, after: LogStep) {
        let Some(weight) = self.flows.get(ix.at()).map(|flow| u128::from(flow.weight)) else { return };
        let charge = |step| u128::from(self.grid.value(step)) * weight;
        let (less, more) = (charge(before), charge(after));
        for link in self.paths.get(ix.at()).iter().flat_map(|path| path.iter()) {
            let (Some(load), Some(is_loose)) = (self.loads.get_mut(link.at()), self.is_loose.get_mut(link.at())) else {
                continue;
            };
            load.most = (load.most + more).saturating_sub(less);
            if load.most > load.capacity {
                if *is_loose {
                    self.tighter.push(*link);
                }
            } else if load.level() == FREE {
                *is_loose = true;
            }
        }
    }

    /// Queues a link whose capacity changed.
    pub(super) fn look_again(&mut self, link: LinkIx) {
        let (Some(load), Some(is_loose)) = (self.loads.get_mut(link.at()), self.is_loose.get_mut(link.at())) else {
            return;
        };
        if load.most <= load.capacity && load.level() == FREE {
            *is_loose = true;
        } else if *is_loose {
            self.tighter.push(link);
            self.tighten();
        } else {
            load.queue_up(link.0, &mut self.queue);
        }
    }

    /// Counts the members of links again that may become bottlenecks.
    fn tighten(&mut self) {
        while let Some(link) = self.tighter.pop() {
            let (Some(load), Some(is_loose), Some(members)) =
                (self.loads.get_mut(link.at()), self.is_loose.get_mut(link.at()), self.members.get(link.at()))
            else {
                continue;
            };
            *is_loose = false;
            load.set_level(FREE, self.grid);
            let flows = members.iter().filter_map(|ix| self.flows.get(ix.at()));
            load.above = flows.map(|flow| u128::from(self.grid.value(flow.upto())) * u128::from(flow.weight)).sum();
            load.queue_up(link.0, &mut self.queue);
        }
    }

    /// The last step at which a link carries all of its flows.
    fn find_level(&mut self, link: u32) -> LogStep {
        let mut crowd = std::mem::take(&mut self.crowd);
        crowd.clear();
        let (Some(load), Some(members)) = (self.loads.get(link as usize), self.members.get(link as usize)) else {
            return FREE;
        };
        let must_fall = load.is_over();
        let mut total = 0;
        for ix in members {
            let Some(flow) = self.flows.get(ix.at()).filter(|flow| flow.wants > 0) else { continue };
            // Flows that this link stops and no lower one: for a fall that is enough.
            let stop = match flow.level {
                level if level < load.level() => level,
                _ if must_fall => FREE,
                _ => self.paths.get(ix.at()).map_or(FREE, |path| self.lowest_but(path, LinkIx(link))),
            };
            let upto = stop.saturating_add(1).min(flow.wants);
            total += u128::from(self.grid.value(upto)) * u128::from(flow.weight);
            crowd.push((upto, flow.weight));
        }
        let level = if total <= load.capacity { FREE } else { self.last_fitting(load.capacity, &mut crowd) };
        self.crowd = crowd;
        level
    }

    fn lowest_but(&self, path: &[LinkIx], except: LinkIx) -> LogStep {
        path.iter().filter(|link| **link != except).map(|link| self.level(*link)).min().unwrap_or(FREE)
    }

    /// The last step at which a crowd of flows fits, each up to a step of its own; they do not all fit. Halves the steps, and
    /// with them the crowd: flows that end below count as a sum, flows that rise above by their weight.
    fn last_fitting(&self, capacity: u128, crowd: &mut [(LogStep, u32)]) -> LogStep {
        let cost = |step: LogStep, weight: u128| u128::from(self.grid.value(step)) * weight;
        let (mut fits, mut bursts) = (0, crowd.iter().map(|(upto, _)| *upto).max().unwrap_or(FREE));
        let (mut below, mut rising) = (0_u128, 0_u128);
        let mut crowd = crowd;
        while bursts - fits > 1 {
            let middle = fits + (bursts - fits) / 2;
            let cut = partition(crowd, |(upto, _)| *upto <= middle);
            let (ending, going) = std::mem::take(&mut crowd).split_at_mut(cut);
            let ended: u128 = ending.iter().map(|(upto, weight)| cost(*upto, u128::from(*weight))).sum();
            let weight: u128 = going.iter().map(|(_, weight)| u128::from(*weight)).sum();
            if below + ended + cost(middle, rising + weight) <= capacity {
                (fits, below, crowd) = (middle, below + ended, going);
            } else {
                (bursts, rising, crowd) = (middle, rising + weight, ending);
            }
        }
        fits
    }
}

/// Moves the elements for which `first` holds to the front; answers how many there are.
fn partition<T>(items: &mut [T], first: impl Fn(&T) -> bool) -> usize {
    let mut count = 0;
    for at in 0..items.len() {
        if items.get(at).is_some_and(&first) {
            items.swap(at, count);
            count += 1;
        }
    }
    count
}
