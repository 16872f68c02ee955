//! What is done about the difference: the instance that leads the controller executes the steps, the others read what it did.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::super::super::Mode;
use super::super::controller_status::{Condition, LspState};
use super::switch_io::{StepResults, count_one, execute_steps, read_allocations};
use super::{Occasion, Worker};
use crate::southbound::DriverError;
use kernel::Command;
use kernel::controller::RulesOnDelete;
use kernel::id::AllocationId;
use kernel::intent::{Agenda, Dpid, RuleStep, StepOutcome, SwitchFault, Task};

/// How long it is trusted that nobody else has written to a switch that was looked at.
const TRUSTED_FOR: Duration = Duration::from_millis(250);
/// Of how many allocations the rules are read one by one; of more, all of the switch.
const OBSERVED_ONE_BY_ONE: usize = 16;

/// How many groups in a row may not be there when they are read back.
const GROUPS_MISSED_MAX: u32 = 4;

impl Worker {
    /// The steps that are left.
    pub(super) fn agenda(&self) -> Agenda {
        Agenda::new(self.plan.tables(), &self.seen, &self.lost)
    }

    /// Executes every step that can be executed; whether none is left.
    pub(super) async fn execute_steps(&mut self) -> Result<bool, DriverError> {
        let mut agenda = self.agenda();
        let now = Instant::now();
        for id in agenda.serves().filter(|id| self.plan.has(*id)).collect::<BTreeSet<_>>() {
            self.unsettled.entry(id).or_insert(now);
        }
        let Some(term) = self.term else { return self.observe(&agenda).await };
        if !agenda.is_empty() && self.has_changed_unseen(&agenda).await? {
            self.read_doubtful(Occasion::Time).await?;
            agenda = self.agenda();
        }
        while let Some(stage) = agenda.next_stage() {
            // A step of an old configuration, or of a term that is over, must not be executed any more.
            if !self.is_current().await || self.app.term_of(&self.controller.name) != Some(term) {
                return Ok(false);
            }
            let switches: Vec<Dpid> = stage.keys().copied().collect();
            let driver = &self.driver;
            let mut lists = Vec::with_capacity(stage.len());
            for (dpid, tasks) in stage {
                let tasks = tasks.into_iter().map(|task| Task { step: task.step.in_term(term), ..task });
                lists.push(execute_steps(driver, dpid, tasks.collect()));
            }
            let done = tokio::select! {
                done = join_all(lists) => done,
                () = self.app.deposed(&self.controller.name, term) => {
                    self.doubtful.extend(switches);
                    return Ok(false);
                }
            };
            let mut away = None;
            for (dpid, done) in done {
                away = self.apply_outcomes(dpid, done, &mut agenda).err().or(away);
            }
            if let Some(error) = away {
                return Err(error);
            }
        }
        Ok(self.agenda().is_empty() && self.is_all_known())
    }

    /// Whether a switch that is to be written to has got or lost rules since it was looked at: what is foreign there is to be
    /// known before anything is placed.
    async fn has_changed_unseen(&mut self, agenda: &Agenda) -> Result<bool, DriverError> {
        let is_due = |dpid: &Dpid| self.looked_at.get(dpid).is_none_or(|at| at.elapsed() > TRUSTED_FOR);
        let due: Vec<Dpid> = agenda.switches_put().into_iter().filter(is_due).collect();
        let driver = &self.driver;
        let mut questions = Vec::with_capacity(due.len());
        for dpid in due {
            questions.push(count_one(driver, dpid));
        }
        let mut has_changed = false;
        for (dpid, count) in join_all(questions).await {
            let known = self.seen.get(&dpid).map_or(0, |table| table.rules().len() as u64);
            let foreign = self.plan.foreign(dpid).map_or(0, |foreign| foreign.count);
            match count {
                Ok(count) if count == known + foreign => drop(self.looked_at.insert(dpid, Instant::now())),
                Ok(_) => {
                    has_changed = true;
                    self.doubtful.insert(dpid);
                }
                Err(error) => self.on_error(dpid, error)?,
            }
        }
        Ok(has_changed)
    }

    /// Reads what another instance, which leads the controller, has written of what is to be; whether all of it.
    async fn observe(&mut self, agenda: &Agenda) -> Result<bool, DriverError> {
        let mut waiting: BTreeMap<Dpid, BTreeSet<AllocationId>> = BTreeMap::new();
        for (dpid, id) in agenda.concerned() {
            waiting.entry(dpid).or_default().insert(id);
        }
        for (dpid, ids) in waiting {
            if ids.len() > OBSERVED_ONE_BY_ONE {
                self.doubtful.insert(dpid);
                continue;
            }
            let driver = &self.driver;
            match read_allocations(driver, dpid, &ids).await {
                Ok((rules, meters, groups)) => {
                    if let Some(table) = self.seen.get_mut(&dpid) {
                        table.refresh(
                            &ids,
                            rules,
                            &meters,
                            &groups,
                            self.plan.foreign(dpid),
                            driver.settings().numbering,
                        );
                    }
                }
                Err(error) => self.on_error(dpid, error)?,
            }
        }
        for id in agenda.serves().filter(|id| self.plan.has(*id)).collect::<BTreeSet<_>>() {
            if !self.plan.is_held(id, &self.seen) && self.status.condition_of(id).state == LspState::Active {
                self.set_condition(id, &Condition { state: LspState::Rerouting, ..Condition::ACTIVE });
            }
        }
        Ok(self.agenda().is_empty() && self.is_all_known())
    }

    /// The rules of a controller that is to be deleted are gone.
    pub(super) async fn forget_controller(&self) {
        let is_all_read = self.switches().await.iter().all(|dpid| self.seen.contains_key(dpid));
        if self.term.is_none() || !is_all_read || !self.troubles.is_empty() || !self.doubtful.is_empty() {
            return;
        }
        let rules = RulesOnDelete::Removed(self.controller.revision);
        let command = Command::DeleteController { name: self.controller.name.clone(), rules };
        if let Err(error) = self.app.submit_one(command, Mode::Commit, None).await {
            tracing::warn!(controller = %self.controller.name, %error, "a controller could not be forgotten yet");
        }
    }

    fn is_all_known(&self) -> bool {
        self.plan.tables().iter().all(|(dpid, table)| table.is_empty() || self.seen.contains_key(dpid))
    }

    /// Whether a switch is one that takes no such group. Where groups are read back, a refusal is that there is none; so is a
    /// switch that was slow, or another program's doing, but hardly so many times.
    fn takes_no_group(&mut self, dpid: Dpid, fault: SwitchFault) -> bool {
        match fault {
            SwitchFault::Switch { .. } => true,
            SwitchFault::ReadBackDiffers => {
                let missed = self.groups_missed.entry(dpid).or_default();
                *missed += 1;
                *missed >= GROUPS_MISSED_MAX
            }
            _ => false,
        }
    }

    fn apply_outcomes(&mut self, dpid: Dpid, done: StepResults, agenda: &mut Agenda) -> Result<(), DriverError> {
        for (task, outcome) in done.outcomes {
            match outcome {
                StepOutcome::InForce => {
                    if matches!(task.step, RuleStep::AddGroup(_)) {
                        self.groups_missed.remove(&dpid);
                    }
                    self.seen.entry(dpid).or_default().apply_step(&task.step);
                    continue;
                }
                StepOutcome::Refused(fault) => {
                    if let RuleStep::AddGroup(group) = &task.step
                        && self.takes_no_group(dpid, fault)
                    {
                        let controller = &self.controller.name;
                        if group.buckets().is_empty() {
                            tracing::warn!(%controller, %dpid, %fault, "a switch takes no groups");
                            self.plan.set_groupless(dpid);
                        } else {
                            tracing::warn!(%controller, %dpid, %fault, "a switch takes no groups for split flows");
                            self.plan.set_splitless(dpid);
                        }
                        // Either way it splits none.
                        self.status.set_splitless(dpid);
                    }
                    if let Some(id) = task.serves {
                        self.faults.insert(id, fault);
                    }
                }
                StepOutcome::Unknown => {}
            }
            agenda.failed(&task);
            self.doubtful.insert(dpid);
        }
        match done.error {
            Some(error) => self.on_error(dpid, error),
            None => Ok(()),
        }
    }
}
