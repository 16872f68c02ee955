//! What the controller knows comes in: links that break or come back, and what the ports carry.

use std::sync::Arc;
use std::time::Duration;

use super::super::App;
use super::board::Board;
use super::hand::Hand;
use crate::kernel::controller::Controller;

/// How often links are looked at.
const LINKS_EVERY: Duration = Duration::from_millis(500);

pub(super) async fn run(_app: App, _controller: Arc<Controller>, _hand: Arc<Hand>, _board: Arc<Board>) {
    loop {
        tokio::time::sleep(LINKS_EVERY).await;
    }
}
