//! The stream of events: from the journal as far as it reaches, then live; never a gap that it does not tell of, nothing
//! twice.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::access::Room;
use super::{own_feed, render};
use crate::app::scalars::StoredName;
use crate::app::{App, Commit, Fact, FieldEvent};
use api::event::{AllocationStateEvent, EventDocument, FeedResetEvent};
use kernel::id::Sequence;

/// How often a silent stream says that it is there.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How many events are read from the journal at once.
const READ_AT_ONCE: u32 = 500;

/// The events after `after`, or from now on, until the service stops or the journal cannot be read.
pub(super) fn events(
    room: Room,
    after: Option<Sequence>,
    topology: Option<StoredName>,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let app = room.app.clone();
    // Listening begins before the head is read, so that no event is missed.
    let commits = app.subscribe();
    let stop = app.stopping();
    let sent = after.unwrap_or_else(|| app.head());
    let news = app.field_events();
    let may_be_gone = after.is_some();
    let waiting = VecDeque::new();
    let tail = Tail { app, commits, stop, sent, waiting, may_lag: true, may_be_gone, is_replaced: false };
    unfold((tail, news, topology, room), |(mut tail, mut news, topology, room)| async move {
        loop {
            // A change of the switches has no place among the events, and is not repeated.
            let event = tokio::select! {
                next = tail.next() => match next? {
                    FeedItem::Reset(reset, sent) => Some(reset_event(&reset, sent)),
                    FeedItem::Fact(fact) if is_of(&fact, topology.as_ref()) => {
                        own_feed::shown(&room, &fact).await.map(|document| sse_event(&document))
                    }
                    FeedItem::Fact(_) => None,
                },
                said = news.recv() => {
                    said.ok().filter(|said| own_feed::sees_news(&room, said)).and_then(|said| turned(&said, topology.as_ref()))
                }
            };
            if let Some(event) = event {
                return Some((Ok(event), (tail, news, topology, room)));
            }
        }
    })
}

/// An allocation's new condition, as far as it is of the topology.
fn turned(news: &FieldEvent, wanted: Option<&StoredName>) -> Option<Event> {
    let FieldEvent::Turned { id, topology, at, condition } = news else { return None };
    if wanted.is_some_and(|wanted| wanted.0 != *topology) {
        return None;
    }
    let document = AllocationStateEvent {
        kind: AllocationStateEvent::KIND.to_owned(),
        allocation: id.to_string(),
        topology: topology.to_string(),
        at: render::instant(*at),
        state: render::state(condition.state),
        reason: condition.reason.as_ref().map(ToString::to_string),
    };
    let event = Event::default().event(AllocationStateEvent::KIND);
    Some(event.data(serde_json::to_string(&document).unwrap_or_default()))
}

fn sse_event(document: &EventDocument) -> Event {
    let event = Event::default().id(document.sequence.to_string()).event(document.kind.as_str());
    // Documents have no line ends in their JSON.
    event.data(serde_json::to_string(document).unwrap_or_default())
}

fn reset_event(reset: &FeedResetEvent, sent: Sequence) -> Event {
    let event = Event::default().id(sent.0.to_string()).event(FeedResetEvent::KIND);
    event.data(serde_json::to_string(reset).unwrap_or_default())
}

/// Whether an event is of a topology, as far as it says.
pub(super) fn is_of(fact: &Fact, wanted: Option<&StoredName>) -> bool {
    wanted.is_none_or(|wanted| fact.topology().is_none_or(|topology| *topology == wanted.0))
}

/// What a reader of the feed gets.
enum FeedItem {
    Fact(Arc<Fact>),
    /// What it asked for is not there; it goes on after that event.
    Reset(FeedResetEvent, Sequence),
}

impl FeedItem {
    fn reset(first: Sequence, head: Sequence, sent: Sequence) -> Self {
        let kind = FeedResetEvent::KIND.to_owned();
        Self::Reset(FeedResetEvent { kind, first_sequence: first.0, head: head.0 }, sent)
    }
}

/// A reader of the feed.
struct Tail {
    app: App,
    commits: Receiver<Commit>,
    stop: CancellationToken,
    /// The last event that was taken up.
    sent: Sequence,
    /// Events after it that are to be sent, each the one after the other.
    waiting: VecDeque<FeedItem>,
    /// Whether the journal may have events that the commits to come do not.
    may_lag: bool,
    /// Whether the event after `sent` may not be kept any more, or `sent` not be in the journal: it was said from outside.
    may_be_gone: bool,
    /// Whether the journal has other events than those that were sent.
    is_replaced: bool,
}

impl Tail {
    /// The next event, or that there is a gap.
    async fn next(&mut self) -> Option<FeedItem> {
        loop {
            if let Some(item) = self.waiting.pop_front() {
                return Some(item);
            }
            if self.stop.is_cancelled() {
                return None;
            }
            if self.may_be_gone || self.is_replaced {
                if let Some(reset) = self.reset_if_gone().await? {
                    return Some(reset);
                }
            } else if self.may_lag {
                self.read().await?;
            } else {
                self.listen().await?;
            }
        }
    }

    /// Goes on where the journal begins, or at its head, if what comes after the last event is not there.
    async fn reset_if_gone(&mut self) -> Option<Option<FeedItem>> {
        let bounds = self.app.journal_bounds().await;
        let (first, head) =
            bounds.inspect_err(|error| tracing::error!(%error, "a stream cannot read the journal")).ok()?;
        self.may_be_gone = false;
        if !self.is_replaced && self.sent.next() >= first && self.sent <= head {
            return Some(None);
        }
        let at_head = std::mem::take(&mut self.is_replaced) || self.sent > head;
        self.sent = if at_head { head } else { Sequence(first.0.saturating_sub(1)) };
        Some(Some(FeedItem::reset(first, head, self.sent)))
    }

    /// What the journal has; live again once it has no more.
    async fn read(&mut self) -> Option<()> {
        let facts = self.app.facts_after(self.sent, READ_AT_ONCE).await;
        let facts = facts.inspect_err(|error| tracing::error!(%error, "a stream cannot read the journal")).ok()?;
        if let Some(first) = facts.first().map(|fact| fact.sequence).filter(|first| *first > self.sent.next()) {
            // Deleted meanwhile.
            self.sent = Sequence(first.0 - 1);
            self.waiting.push_back(FeedItem::reset(first, self.app.head(), self.sent));
        }
        self.may_lag = !facts.is_empty();
        facts.into_iter().for_each(|fact| self.take_up(fact));
        Some(())
    }

    /// What is committed.
    async fn listen(&mut self) -> Option<()> {
        let commit = tokio::select! {
            commit = self.commits.recv() => commit,
            () = self.stop.cancelled() => return None,
        };
        match commit {
            Ok(commit) if commit.replaces_all => self.is_replaced = true,
            Ok(commit) => commit.facts.iter().for_each(|fact| self.take_up(Arc::clone(fact))),
            Err(RecvError::Lagged(_)) => self.may_lag = true,
            Err(RecvError::Closed) => return None,
        }
        Some(())
    }

    /// Takes up the next event; one that was sent already is left, one that comes too early is read from the journal in
    /// its turn.
    fn take_up(&mut self, fact: Arc<Fact>) {
        if fact.sequence == self.sent.next() {
            self.sent = fact.sequence;
            self.waiting.push_back(FeedItem::Fact(fact));
        } else if fact.sequence > self.sent {
            self.may_lag = true;
        }
    }
}
